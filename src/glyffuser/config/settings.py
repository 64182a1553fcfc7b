"""The settings: one small dataclass per section, one comment per field, and how glyphs are drawn by default."""

from dataclasses import dataclass, field
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "weights"  # the model that comes with the package
UPSCALER = BUNDLED / "upscaler"  # and the network that enlarges its glyphs from 128 pixels to 512
AUTOENCODER = BUNDLED / "autoencoder"  # and the one that makes latents of glyphs of 128 pixels; as a setting, "bundled"
DATA = Path("data/glyphs.parquet")  # what `dataset build` writes and other commands read

# How glyphs are drawn by default; chosen by `benchmarks/choices.py` (docs/LOG.md, entry 6) and by
# the curves of `glyffuser evaluate` (entries 8 and 9); the numbers by `benchmarks/eta.py` (entries 35 and 37).
SAMPLER, STEPS, GUIDANCE = "dpm++2m-sde", 16, 3.0
ETA = 4.0  # how soon that sampler replaces noise by fresh noise
INTERVAL = (2.0, 100.0)  # noise levels between which guidance acts: below them, strokes only need cleaning up


def named_model(name: str) -> Path:
    """The folder of a model or run that a command names: "bundled", or a path."""
    return BUNDLED if name == "bundled" else Path(name)


@dataclass
class DataConfig:
    """What the model learns from."""

    path: str = str(DATA)  # the file, or the folder of shards, that `glyffuser dataset build` wrote
    definition: float = 0.3  # chance that a caption is the whole definition,
    sense: float = 0.5  # a single sense of it ("gold"), so that one-word prompts work;
    mixture: float = 0.2  # or some of its senses in another order
    drop: float = 0.1  # chance that the caption, and the radical, is dropped, for classifier-free guidance
    composition: float = 0.0  # or a description of the parts: "water at the left, every at the right"
    gloss: float = 0.0  # or what a dictionary says of one of its words: "a large natural stream of water"
    riddle: float = 0.0  # or what things of its radical are like: "it conducts electricity"
    drop_style: float = 0.1  # chance that the style is dropped, so that the model can also be asked for none
    drop_radical: float = 0.1  # chance that the radical alone is dropped, so that the network still heeds the text
    drop_parts: float = 0.8  # chance that a network that takes parts is told none; else each is told half the time
    parts_alone: float = 0.5  # chance that, where parts are told, the caption is dropped: it says much of them
    low_noise: float = 0.3  # largest share of noise in the small pictures that an upscaler is given
    balance: float = 0.0  # 0 = glyphs are seen equally often, 1 = radicals are; see data/order.py

    @property
    def kinds(self) -> tuple[float, ...]:
        """How often each kind of caption is drawn, in the order of `Captions.choices`."""
        return (self.definition, self.sense, self.mixture, *filter(None, (self.composition, self.gloss, self.riddle)))


@dataclass
class TextConfig:
    """What reads the prompt."""

    encoder: str = "minilm"  # "minilm" (from its pip package), "t5", "clip", a hub id, or a local folder
    max_length: int = 96  # longer prompts are cut, in tokens
    words_only: bool = False  # whether the network sees words alone, without punctuation and the marks around a text
    tower: int = 0  # width of the vector that a tower, fitted first, reads from a text; 0 = no tower
    tower_steps: int = 3000  # optimiser steps that the tower is fitted for
    download: bool = False  # whether a hub id may be fetched over the network


@dataclass
class ModelConfig:
    """The network (networks/unet.py, networks/transformer.py, networks/upscaler.py)."""

    kind: str = "unet"  # one of KINDS or COMPANIONS; a transformer ignores attention_levels, norm_groups and dropout
    sample_size: int = 128  # image height and width, pixels
    patch_size: int = 8  # space-to-depth factor of the stem; 1 = plain pixels
    block_out_channels: tuple[int, ...] = (128, 256)  # width of each level, finest first; a transformer has one
    layers_per_block: int = 2  # residual blocks per level; all blocks of a transformer
    attention_levels: tuple[bool, ...] = (False, True)  # which levels attend to themselves and to the text
    attention_head_dim: int = 64  # width of one attention head
    text_route: str = "both"  # how the text reaches the network: attention to its tokens, one vector, both or none
    mlp_ratio: float = 2.0  # MLP width in the transformer blocks; 0 = none, in a U-Net only
    num_class_embeds: int = 0  # 215 = the network can also be told a radical, if one is wished for; 0 = it cannot
    components: int = 0  # how many of the commonest parts of characters the network can be told by name; 0 = none
    styled: bool = False  # whether the network is also told the style of the font; the data set says which exist
    norm_groups: int = 32  # groups of the group normalisation; 0 = normalise each pixel on its own, faster on a CPU
    dropout: float = 0.0  # dropout rate inside the blocks
    detail: int = 0  # width of a U-Net's head for what is finer than a patch; 0 = none, which draws better
    latent_channels: int = 4  # channels of the latents that an autoencoder makes
    autoencoder: str = ""  # folder of the autoencoder on whose latents to work, or "bundled"; "" = on pixels
    low_size: int = 0  # height and width of the pictures that an upscaler enlarges to sample_size
    crop: int = 0  # side of the patches in which an upscaler learns and draws


@dataclass
class DiffusionConfig:
    """The process (diffusion/)."""

    schedule: str = "flow"  # how noise grows: one of SCHEDULES
    T: int = 1000  # number of timesteps
    zero_terminal: bool = False  # whether a linear or cosine schedule is rescaled to end in pure noise
    shift: float = 3.0  # resolution shift of flow matching: above 1, more training and sampling is at high noise
    prediction_type: str = "sample"  # what the network predicts: one of PREDICTION_TYPES
    timesteps: str = "logit_normal"  # how training timesteps are drawn: one of TIMESTEPS
    weighting: str = "velocity"  # how the loss is weighted: one of WEIGHTINGS


@dataclass
class TrainConfig:
    """The training loop (train/loop.py)."""

    init: str = ""  # a model folder, or "bundled", to start from where names and shapes match; "" = from scratch
    seed: int = 0  # for initial weights, data order and noise
    batch_size: int = 64  # glyphs per step, of all processes together
    accumulate: int = 1  # parts in which each process takes its share of a step, one after another, to save memory
    max_steps: int = 100_000  # optimiser steps; the learning rate decays over the last `decay` of them
    max_minutes: float = 0.0  # stop cleanly after this many minutes in all, decay included; 0 = no limit
    optimizer: str = "adamw"  # one of OPTIMIZERS
    lr: float = 8e-4  # peak learning rate
    warmup_steps: int = 200  # steps of linear warm-up
    decay: float = 0.2  # last share of the run, over which the learning rate falls to zero
    weight_decay: float = 0.01  # share of a weight lost per step, divided by lr
    beta1: float = 0.9  # of AdamW
    beta2: float = 0.99
    grad_clip: float = 1.0  # largest norm of the gradient
    ema_decay: float = 0.9995  # of the averaged weights, which are exported
    mixed_precision: str = "bf16"  # one of PRECISIONS; "bf16" becomes "no", float32, where that is faster
    compile: bool = False  # torch.compile the network (needs a C++ compiler on a CPU)
    log_every: int = 20  # steps between log lines
    preview_every: int = 1000  # steps between sample grids
    checkpoint_every: int = 500  # steps between checkpoints
    keep_checkpoints: int = 2  # how many checkpoints are kept
    tensorboard: bool = False  # also log to TensorBoard


@dataclass
class DistilConfig:
    """What a student learns from its teacher (train/distil.py). `glyffuser distil` fills this in."""

    teacher: str = ""  # a model or run folder; "" = the network learns from the glyphs alone
    method: str = "guidance"  # one of DISTILLATIONS: guided predictions in one evaluation, or few steps
    guidance: float = GUIDANCE  # scale of the teacher's guidance
    lowest: float = INTERVAL[0]  # noise level below which the teacher is not guided,
    highest: float = INTERVAL[1]  # and above which it is not
    steps: int = 4  # steps that a student of "consistency" or "moments" is to draw in
    path_steps: int = 16  # steps of the teacher's path from noise, which a student of "consistency" leaps over
    adversarial: float = 0.0  # pull of a discriminator on a few-step student, as a share of the teacher's; 0 = none


@dataclass
class AlignConfig:
    """What a model learns from pairs of glyphs, of which one was preferred (train/align.py). `glyffuser align` fills
    this in.
    """

    pairs: str = ""  # the file that `glyffuser label` wrote; "" = the network learns from the data set
    reference: str = ""  # the model or run folder that the network starts from, and is held to
    beta: float = 1000.0  # how strongly it is held: the higher, the less it may move
    digest: str = ""  # of the choices that the run began with, so that it resumes with no others; "" = any


@dataclass
class Config:
    """One run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
