"""The contrastive model: glyphs and English meanings as vectors in one space, near where they belong together.

As in CLIP (Radford et al. 2021), two towers learn together: among the pictures and texts of a batch, those of the same
character are pulled together and the others pushed apart. Both stand on frozen networks, as one of the two does in LiT
(Zhai et al. 2022), so that minutes are enough: pictures come as the recogniser's features, texts as the text encoder's
mean token states. The loss is CLIP's softmax or SigLIP's sigmoid (Zhai et al. 2023), which judges each pair by itself.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.data.captions import Captions, build_captions
from glyffuser.data.components import compositions
from glyffuser.data.dataset import GlyphData
from glyffuser.judge.recogniser import Recogniser, one_cycle
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import sentence

# The initial log scale and bias of each loss, as in the two papers (CLIP section 2.5, SigLIP section 3.2).
BEGIN = {"softmax": (math.log(1 / 0.07), 0.0), "sigmoid": (math.log(10), -10.0)}
STEEPEST = math.log(100)  # the highest log scale, as in CLIP
BATCH = 256  # texts encoded at a time


class Contrastive(ModelMixin, ConfigMixin):
    """The recogniser's features of glyphs and the sentence vectors of texts -> unit vectors.

    Args:
        features: width of the recogniser's features; dim: width of the text encoder's token states.
        width: width of the vectors.
        hidden: widths of the hidden layers of the picture tower and of the text tower.
        dropout: for both, before and after the hidden layer; high for texts, since there are few.
        loss: "softmax" or "sigmoid"; matters only in training.
        encoder, recogniser: fingerprint and hash of those it was trained with, since others mean something else;
            empty: not recorded, so any will do.
    """

    @register_to_config
    def __init__(
        self,
        features: int = 192,
        dim: int = 384,
        width: int = 96,
        hidden: tuple[int, int] = (512, 768),
        dropout: tuple[float, float] = (0.2, 0.3),
        loss: str = "softmax",
        encoder: str = "",
        recogniser: str = "",
    ):
        super().__init__()
        # Features differ widely in size: they are first brought to one scale, by their statistics in training.
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.to_picture, self.to_text = (
            nn.Sequential(nn.Dropout(p), nn.Linear(n, h), nn.GELU(), nn.Dropout(p), nn.Linear(h, width))
            for n, h, p in zip((features, dim), hidden, dropout, strict=True)
        )
        scale, bias = BEGIN[loss]
        self.scale, self.bias = nn.Parameter(torch.tensor(scale)), nn.Parameter(torch.tensor(bias))

    def see(self, features: Tensor) -> Tensor:
        """Features of glyphs (B, features), as in `Reading` -> unit vectors (B, width), float32."""
        scaled = (features - self.mean) / self.deviation
        return F.normalize(self.to_picture(scaled.to(self.dtype)).float(), dim=1)

    def understand(self, sentences: Tensor) -> Tensor:
        """Sentence vectors (B, dim), see `sentence` -> unit vectors (B, width), float32."""
        return F.normalize(self.to_text(sentences.to(self.dtype)).float(), dim=1)

    def loss(self, pictures: Tensor, texts: Tensor, same: Tensor) -> Tensor:
        """How badly unit vectors of B pictures and B texts tell which belong together: `same` (B, B), bool. A scalar.

        Softmax: Radford et al. 2021, figure 3, with the target shared among all texts that belong to a picture, and
        vice versa. Sigmoid: Zhai et al. 2023, algorithm 1.
        """
        logits = self.scale.clamp(max=STEEPEST).exp() * pictures @ texts.T + self.bias
        if self.config.loss == "sigmoid":
            return F.binary_cross_entropy_with_logits(logits, same.float(), reduction="sum") / len(same)
        ways = ((logits, same), (logits.T, same.T))
        return torch.stack([F.cross_entropy(z, s / s.sum(dim=1, keepdim=True)) for z, s in ways]).mean()

    @torch.no_grad()
    def look(self, recogniser: Recogniser, images: np.ndarray | Tensor) -> Tensor:
        """Unit vectors (N, width) of uint8 pictures (N, H, H), ink 0, paper 255. UserError for any other pictures, or
        for a recogniser other than the one it was trained with.
        """
        if not self.sees_with(recogniser):
            raise UserError("the contrastive model was trained with another recogniser; train it again for this one")
        return self.see(recogniser.read(images).features)

    @torch.no_grad()
    def read(self, encoder: TextEncoder, texts: list[str]) -> Tensor:
        """Unit vectors (N, width) of texts. UserError for a text encoder other than the one it was trained with."""
        if not self.reads(encoder):
            raise UserError("the contrastive model reads texts with the text encoder minilm; this is a different one")
        batches = (encoder.encode(texts[i : i + BATCH], whole=True) for i in range(0, len(texts), BATCH))
        return torch.cat([self.understand(sentence(*batch)) for batch in batches])

    def reads(self, encoder: TextEncoder) -> bool:
        """Whether it was trained with this text encoder, as far as it records one."""
        return self.config.encoder in ("", encoder.fingerprint(whole=True))

    def sees_with(self, recogniser: Recogniser) -> bool:
        """Whether it was trained with this recogniser, as far as it records one."""
        return self.config.recogniser in ("", weights_hash(recogniser))


@dataclass
class ContrastiveSettings:
    """How the contrastive model is trained."""

    width: int = 96  # of the vectors
    hidden: tuple[int, int] = (512, 768)  # of the picture tower, of the text tower
    dropout: tuple[float, float] = (0.2, 0.3)
    loss: str = "softmax"  # or "sigmoid"
    kinds: tuple[float, ...] = (0.3, 0.4, 0.15, 0.15)  # of captions: definition, sense, mixture, composition
    steps: int = 800
    batch_size: int = 512
    lr: float = 2e-3  # peak of a one-cycle schedule
    weight_decay: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """What the model learns from, as read by the frozen networks.

    features (N, F): the recogniser's features of the N glyphs of a training split; codepoints (N,); captions: those of
    these glyphs; sentences (M, d): vectors of the captions' texts; encoder, recogniser: fingerprint and hash of the
    networks that read them.
    """

    features: Tensor
    codepoints: np.ndarray
    captions: Captions
    sentences: Tensor
    encoder: str
    recogniser: str


def captions_of(data: GlyphData) -> Captions:
    """The captions the model is taught from a training split: definitions, senses, mixtures, descriptions of parts."""
    return build_captions(data.definitions, data.senses, [compositions(data.chars, data.senses)])


def train_contrastive(pairs: Pairs, settings: ContrastiveSettings) -> Iterator[tuple[Contrastive, float, float]]:
    """Train; yield the network, the fraction done and the running loss every few steps.

    A picture and a text of a batch belong together if they are of the same character or have the same caption.
    """
    s, rng = settings, np.random.default_rng(settings.seed)
    torch.manual_seed(s.seed)
    sizes = {"features": pairs.features.shape[1], "dim": pairs.sentences.shape[1], "width": s.width}
    sources = {"encoder": pairs.encoder, "recogniser": pairs.recogniser}
    network = Contrastive(**sizes, hidden=s.hidden, dropout=s.dropout, loss=s.loss, **sources).train()
    network.mean.copy_(pairs.features.mean(dim=0))
    network.deviation.copy_(pairs.features.std(dim=0).clamp(min=1e-3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=s.lr, weight_decay=s.weight_decay)
    running = math.nan
    for step in range(s.steps):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(s.lr, step / s.steps)
        glyphs = rng.integers(len(pairs.features), size=s.batch_size)
        numbers = pairs.captions.draw(glyphs, s.kinds, 0.0, rng)
        characters = pairs.codepoints[glyphs]
        same = torch.from_numpy((characters[:, None] == characters) | (numbers[:, None] == numbers))
        loss = network.loss(network.see(pairs.features[glyphs]), network.understand(pairs.sentences[numbers]), same)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        running = value if math.isnan(running) else 0.98 * running + 0.02 * value
        if step % 20 == 19 and step + 1 < s.steps:
            yield network, (step + 1) / s.steps, running
    yield network.eval(), 1.0, running


def ranks(scores: Tensor, own: Tensor) -> Tensor:
    """The rank, from 1, of each of N queries' own candidate among C: scores (N, C), own (N,) numbers -> (N,)."""
    return 1 + (scores > scores.gather(1, own[:, None])).sum(dim=1)


def measure_contrastive(
    network: Contrastive, recogniser: Recogniser, data: GlyphData, encoder: TextEncoder
) -> dict[str, dict[str, float]]:
    """Retrieval among the characters of a split, ideally one it was not trained on: text to glyph, and glyph to text.

    The share of definitions whose own glyph, and of glyphs whose own definition, is among the first 1, 5 and 10 of all
    N; the median rank; N; and what chance would give for the first 10.
    """
    scores = network.read(encoder, data.definitions) @ network.look(recogniser, data.images).T
    own = torch.arange(len(data))

    def shares(found: Tensor) -> dict[str, float]:
        hits = {f"at {k}": float((found <= k).double().mean()) for k in (1, 5, 10)}
        return {**hits, "median rank": float(found.double().median()), "n": len(data), "chance at 10": 10 / len(data)}

    return {"text to glyph": shares(ranks(scores, own)), "glyph to text": shares(ranks(scores.T, own))}
