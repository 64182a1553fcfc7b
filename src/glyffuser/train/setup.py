"""What a run needs, from its configuration alone.

`setup` reads the data set, loads the text encoder and builds the network. It knows nothing of run folders, so a run can
be looked at without being changed.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs, broadcast
from torch import Tensor

from glyffuser.base.devices import bfloat16_is_fast, default_device
from glyffuser.base.errors import UserError
from glyffuser.base.memory import keep_freed_memory
from glyffuser.base.names import COMPANIONS
from glyffuser.config import AUTOENCODER, Config, named_model
from glyffuser.data.captions import Captions, build_captions
from glyffuser.data.components import common, compositions
from glyffuser.data.dataset import GlyphData, GlyphFacts
from glyffuser.data.glosses import glosses
from glyffuser.data.pairs import read_pairs
from glyffuser.data.pictures import GlyphStream, open_dataset, read_pictures
from glyffuser.data.riddles import riddles
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import build_companion, build_network, load_companion
from glyffuser.text.cache import EncodedTexts, encode_cached
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower, pooled, train_tower
from glyffuser.train.align import PairBatches, build_reference, check_pairs, conditions, usable
from glyffuser.train.batches import Batches
from glyffuser.train.crops import Crops, Wholes
from glyffuser.train.distil import build_teacher
from glyffuser.train.latents import encoded
from glyffuser.train.parts import Parts

PATIENCE = timedelta(hours=2)  # how long processes wait for one another: only the first encodes captions
# What accelerate can also do but is not supported here: these cut weights up, and Muon needs whole matrices.
SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def setup(
    config: Config,
    progress: Callable[[int, int], None] | None = None,
    tower: TextTower | None = None,
    autoencoder: Autoencoder | None = None,
) -> Parts:
    """Build the parts of a run. Writes only caches of encoded captions and latents, beside the data set.

    Args:
        config: every setting.
        progress: called as progress(done, total) while captions are encoded, and while a tower is fitted.
        tower: the run's own, if it has begun; else that of its teacher or of the model it starts from is taken, or one
            is fitted if the settings want one, which takes a minute.
        autoencoder: the run's own, if it has begun; else the one that the settings name, if any.

    Raises: UserError for a data set, an encoder or settings that cannot be used.
    """
    c = config.train
    cpu = default_device().type == "cpu"
    if cpu and c.mixed_precision == "fp16":
        raise UserError("train.mixed_precision = fp16 needs a GPU; use bf16 or no")
    accelerator = begin(precision(c.mixed_precision), cpu)
    check_shares(config, accelerator.num_processes)
    if cpu:
        keep_freed_memory()
    if config.model.kind in COMPANIONS:
        return _setup_companion(config, accelerator)
    if config.align.pairs:
        return _setup_aligned(config, accelerator)
    _check_told(config)
    autoencoder = _autoencoder(config, autoencoder)
    t = config.text
    encoder = TextEncoder(t.encoder, t.max_length, t.download, t.words_only)
    data = open_dataset(Path(config.data.path), "train")
    _check_data(config, data.info["size"], len(data))
    characters, drawn = data.characters()  # texts are read once, however many fonts draw a character
    captions = _captions(config, characters)
    master = load_pipeline(Path(config.distil.teacher)) if config.distil.teacher else None
    tower = tower or _tower_before(config, encoder, master)
    texts, tower = _read_texts(config, characters, captions, encoder, accelerator, tower, progress)
    latents, sizes = _to_latents(config, data, autoencoder, accelerator, progress)
    process = process_of(config)
    read = None if tower is None else pooled(tower, texts)
    known = common(data.chars, config.model.components)
    styles = tuple(sorted(set(data.styles))) if config.model.styled else ()
    shared = captions.shared(drawn)
    batches = Batches(config, data, shared, texts, read, process.schedule, styles, accelerator.device, known, latents)
    torch.manual_seed(c.seed)  # here, so that nothing but the seed decides the initial weights
    network = build_network(
        **asdict(config.model) | {"components": known} | sizes,
        cross_attention_dim=encoder.dim,
        pooled_dim=config.text.tower,
        styles=styles,
        **process.to_config(),
    )
    teacher = None if master is None else build_teacher(master.to(accelerator.device), network, config.distil)
    return Parts(config, accelerator, batches, network.to(accelerator.device), encoder, tower, teacher, autoencoder)


def _check_told(config: Config) -> None:
    """UserError for settings that contradict each other, and a warning where one has no effect beside another."""
    m = config.model
    if config.distil.adversarial and config.distil.method == "guidance":
        raise UserError("a discriminator pulls only on students that draw in few steps; leave out distil.adversarial")
    if m.text_route == "none" and (m.num_class_embeds or m.components):
        warnings.warn(
            "radicals and parts are told only beside a caption, and with model.text_route=none there is none: they "
            "will have no effect",
            stacklevel=2,
        )


def _tower_before(config: Config, encoder: TextEncoder, master: GlyffuserPipeline | None) -> TextTower | None:
    """The tower of the teacher, or of the model that the run starts from, whose vectors the network can read.

    None if there is none, or if that of the model to start from does not fit the settings.
    """
    if master is not None:
        return master.tower
    if not (config.train.init and config.text.tower):
        return None
    tower = load_pipeline(named_model(config.train.init)).tower
    fits = tower is not None and (tower.config.width, tower.config.encoder) == (
        config.text.tower,
        encoder.fingerprint(),
    )
    return tower if fits else None


def _captions(config: Config, data: GlyphFacts) -> Captions:
    """The captions of all characters, as the settings say; if the network takes no text, only the empty one."""
    if config.model.text_route == "none":
        return build_captions([""] * len(data), [[] for _ in data.chars])
    further = [compositions(data.chars, data.senses)] if config.data.composition else []
    if config.data.gloss:
        further.append(glosses(data.senses))
    if config.data.riddle:
        further.append(riddles(data.radicals))
    return build_captions(data.definitions, data.senses, further)


def begin(mixed_precision: str, cpu: bool) -> Accelerator:
    """Make the accelerator, which knows device, precision and processes. Under torchrun every process has the whole
    network, and they average their gradients. UserError if accelerate is configured to cut networks up.
    """
    handlers = [
        DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
        InitProcessGroupKwargs(timeout=PATIENCE),
    ]
    accelerator = Accelerator(mixed_precision=mixed_precision, cpu=cpu, kwargs_handlers=handlers)
    if accelerator.distributed_type in SHARDED:
        raise UserError(
            f"accelerate is configured for {accelerator.distributed_type.value}, which cuts networks up; start with "
            "torchrun, or take it out of accelerate's configuration"
        )
    return accelerator


def check_shares(config: Config, processes: int) -> None:
    """UserError unless the glyphs of a step can be shared evenly among the processes, and among the parts of each."""
    size, parts = config.train.batch_size, config.train.accumulate
    shares = processes * parts
    if size % shares:
        by = f"{processes} processes" + (f" in {parts} parts each" if parts > 1 else "")
        if processes == 1:
            by = f"{parts} parts"
        raise UserError(
            f"a step of {size} glyphs cannot be shared evenly by {by}; "
            f"try --set train.batch_size={-(-size // shares) * shares}"
        )


def _autoencoder(config: Config, own: Autoencoder | None) -> Autoencoder | None:
    """The run's own autoencoder, or the one that the settings name; None if they name none.

    UserError if there is no such autoencoder, or if it does not fit the other settings.
    """
    name = config.model.autoencoder
    if not name:
        return None
    if config.distil.teacher:
        raise UserError("a latent model has no students yet; distil one that works on pixels")
    autoencoder = own or load_companion(AUTOENCODER if name == "bundled" else Path(name), Autoencoder)
    if autoencoder.config.sample_size != config.model.sample_size:
        raise UserError(
            f"the autoencoder in {name} is for {autoencoder.config.sample_size}-pixel glyphs, the model wants "
            f"{config.model.sample_size}; name one that fits with --set model.autoencoder=DIR"
        )
    return autoencoder


def _to_latents(
    config: Config,
    data: GlyphData | GlyphStream,
    autoencoder: Autoencoder | None,
    accelerator: Accelerator,
    progress: Callable[[int, int], None] | None,
) -> tuple[Tensor | None, dict[str, int]]:
    """The latents of all glyphs, and the network's settings for their size; neither without an autoencoder."""
    if autoencoder is None:
        return None, {}
    with accelerator.main_process_first():
        cache = Path(config.data.path).parent / "latents"
        images = data.images if isinstance(data, GlyphData) else data.pictures
        latents = encoded(autoencoder.to(accelerator.device), images, cache, progress)
    return latents, {"in_channels": autoencoder.config.latent_channels, "sample_size": autoencoder.latent_size}


def _setup_aligned(config: Config, accelerator: Accelerator) -> Parts:
    """The parts of a run that learns from pairs; all but the pairs come from the model that it begins as."""
    if config.distil.teacher:
        raise UserError("a student learns from its teacher, not from pairs; leave out distil.teacher")
    pairs, pipe = read_pairs(config.align.pairs), load_pipeline(config.align.reference)
    check_pairs(pairs, pipe, config)
    pipe = pipe.to(accelerator.device)
    # Without dropout, so that it begins as the reference and differs from it only by what it has learnt.
    network = deepcopy(pipe.unet).train(False).requires_grad_(True)
    cond = conditions(pipe, usable(pairs))
    batches = PairBatches(config, pairs, cond, network.process, accelerator.device)
    reference = build_reference(pipe)
    return Parts(config, accelerator, batches, network, pipe.text_encoder, pipe.tower, reference=reference)


def _setup_companion(config: Config, accelerator: Accelerator) -> Parts:
    """The parts of a run that trains a companion, which reads no text."""
    if config.distil.teacher:
        raise UserError(f"an {config.model.kind} has no teacher; leave out distil.teacher")
    pictures, process = read_pictures(config.data.path, "train"), process_of(config)
    _check_data(config, pictures.size, len(pictures))
    torch.manual_seed(config.train.seed)  # here, so that nothing but the seed decides the initial weights
    network = build_companion(**asdict(config.model), **process.to_config())
    batches = (Crops if config.model.kind == "upscaler" else Wholes)(config, pictures, process, accelerator.device)
    return Parts(config, accelerator, batches, network.to(accelerator.device))


def process_of(config: Config) -> Process:
    """The process that the settings describe; UserError if they contradict one another."""
    d = config.diffusion
    try:
        return Process(Schedule(d.schedule, d.T, d.shift, d.zero_terminal), d.prediction_type)
    except ValueError as error:
        raise UserError(f"diffusion: {error}") from error


def _read_texts(
    config: Config,
    characters: GlyphFacts,
    captions: Captions,
    encoder: TextEncoder,
    accelerator: Accelerator,
    tower: TextTower | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[EncodedTexts, TextTower | None]:
    """The token states of all captions, and the tower that reads them: the one given, or one fitted anew."""
    t, device, report = config.text, accelerator.device, progress or (lambda done, total: None)
    fitted = t.tower > 0 and tower is None
    encoding, fitting = len(captions.texts), 10 * t.tower_steps if fitted else 0  # a step takes about ten texts' time

    with accelerator.main_process_first():
        cache = Path(config.data.path).parent / "text"
        texts = encode_cached(encoder, captions.texts, cache, lambda done, _: report(done, encoding + fitting))
    texts = texts.to(device)
    if fitted:
        # Glyphs without a definition have descriptions of their parts, which are no meanings to learn to read.
        defined = np.flatnonzero([bool(definition) for definition in characters.definitions])
        if not len(defined):
            raise UserError(f"{config.data.path} defines no character to fit a tower to; --set text.tower=0")
        known = characters.facts(defined)
        tower = train_tower(
            captions.shared(defined),
            texts,
            known.chars,
            known.radicals,
            known.strokes,
            t.tower,
            encoder.fingerprint(),
            config.data.kinds,
            config.train.seed,
            t.tower_steps,
            lambda done, _: report(encoding + 10 * done, encoding + fitting),
        )
        for parameter in tower.parameters():  # all processes must hold the same one, to the last bit
            broadcast(parameter.data)
    return texts, None if tower is None else tower.to(device)


def precision(wanted: str) -> str:
    """The precision to train in: "bf16" becomes "no", which is float32, where bfloat16 is not fast."""
    return "no" if wanted == "bf16" and not bfloat16_is_fast(default_device()) else wanted


def _check_data(config: Config, size: int, glyphs: int) -> None:
    path, wanted = config.data.path, config.model.sample_size
    if size != wanted:
        raise UserError(
            f"{path} holds {size}-pixel glyphs, the model wants {wanted}; build the data set with "
            f"--size {wanted}, or --set model.sample_size={size}"
        )
    if glyphs < config.train.batch_size:
        raise UserError(f"{path} has {glyphs} training glyphs, less than one batch")
