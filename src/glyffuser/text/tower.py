"""The tower: reads from a text what a glyph of that meaning looks like.

A sentence encoder knows that "gold" and "silver" are close; it does not know that both call for the metal radical. A
small network on top of it learns that from the definitions in a minute: it predicts the glyph's radical, parts and
strokes, and the vector that it predicts them from goes to the denoising network along with the token states. As in CLIP
(Radford et al. 2021), text is mapped into a space shaped by pictures; here, what the pictures show is already known, so
no second encoder is needed to say it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.data.captions import Captions
from glyffuser.data.components import components
from glyffuser.text.cache import EncodedTexts
from glyffuser.text.prior import sentence

COMMON = 40  # glyphs that a component must occur in to be predicted; fewer in a small data set
BATCH = 512


class Reading(NamedTuple):
    """What a tower expects: logits of radicals (B, 214) and components (B, C), and the log of the stroke count (B,)."""

    radical: Tensor
    components: Tensor
    strokes: Tensor


class TextTower(ModelMixin, ConfigMixin):
    """Token states of a text -> one vector that says what its glyph looks like.

    Args:
        dim: width of the text encoder's token states.
        width: width of the vector.
        hidden: width of the layer before it.
        components: the components that it predicts, one character each.
        dropout: of the hidden layer; high, since there are few texts.
        encoder: fingerprint of the text encoder that it was trained with; other encoders' states mean something else.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(
        self,
        dim: int,
        width: int = 256,
        hidden: int = 1024,
        components: str = "",
        dropout: float = 0.6,
        encoder: str = "",
    ):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.LayerNorm(width)
        )
        self.to_radical = nn.Linear(width, 214)
        self.to_components = nn.Linear(width, len(components))
        self.to_strokes = nn.Linear(width, 1)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, d), zero where padded, and mask (B, L) -> vectors (B, width), float32."""
        return self.body(sentence(states, mask).to(self.dtype)).float()

    def read(self, vectors: Tensor) -> Reading:
        """What vectors (B, width) say about the glyph."""
        vectors = vectors.to(self.dtype)
        return Reading(self.to_radical(vectors), self.to_components(vectors), self.to_strokes(vectors)[:, 0])


@dataclass(frozen=True)
class Targets:
    """What a tower learns about N glyphs.

    radicals: from 0, -1 where there is none (N,); components: which of `names` are in each, 0 or 1 (N, C); strokes:
    logarithms of the stroke counts (N,).
    """

    radicals: Tensor
    components: Tensor
    strokes: Tensor
    names: str

    @classmethod
    def of(cls, chars: Sequence[str], radicals: np.ndarray, strokes: np.ndarray, device: torch.device) -> "Targets":
        """The targets of N glyphs, from their chars, radicals (N,) from 1, 0 = none, and strokes (N,)."""
        inside = [components(char) for char in chars]
        counts = Counter(part for parts in inside for part in parts)
        names = "".join(sorted(part for part, n in counts.items() if n >= min(COMMON, len(chars) // 10 + 1)))
        place = {part: i for i, part in enumerate(names)}
        has = torch.zeros(len(chars), len(names))
        for row, parts in enumerate(inside):
            has[row, [place[part] for part in parts if part in place]] = 1
        numbers = torch.from_numpy(radicals.astype(np.int64) - 1)
        logs = torch.from_numpy(np.log(np.maximum(strokes, 1)).astype(np.float32))
        return cls(numbers.to(device), has.to(device), logs.to(device), names)

    def loss(self, reading: Reading, rows: Tensor) -> Tensor:
        """How far off a reading of the glyphs with the numbers `rows` (B,) is, a scalar."""
        parts = F.binary_cross_entropy_with_logits(reading.components, self.components[rows], reduction="sum")
        return (
            F.cross_entropy(reading.radical, self.radicals[rows], ignore_index=-1)
            + 0.1 * parts / len(rows)  # a sum, not a mean: a glyph has some ten components out of hundreds
            + F.mse_loss(reading.strokes, self.strokes[rows])
        )


def train_tower(
    captions: Captions,
    texts: EncodedTexts,
    chars: Sequence[str],
    radicals: np.ndarray,
    strokes: np.ndarray,
    width: int,
    fingerprint: str,
    weights: Sequence[float] = (0.35, 0.4, 0.25),
    seed: int = 0,
    steps: int = 3000,
    progress: Callable[[int, int], None] | None = None,
) -> TextTower:
    """Fit a tower to the captions of a data set, drawn by `weights`; `texts` are their token states.

    chars, radicals (N,), 0 = none, and strokes (N,) are those of its N glyphs. `progress(done, total)` counts steps.
    """
    rng, device = np.random.default_rng(seed), texts.states.device
    targets = Targets.of(chars, radicals, strokes, device)
    numbers = torch.arange(len(captions.texts), device=device)
    vectors = torch.cat([sentence(*texts.batch(part)) for part in numbers.split(256)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = TextTower(texts.states.shape[1], width, components=targets.names, encoder=fingerprint).to(device)
        optimizer = torch.optim.AdamW(tower.parameters(), lr=1e-3, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            glyphs = rng.integers(len(chars), size=BATCH)
            chosen = torch.from_numpy(captions.draw(glyphs, weights, 0.0, rng)).to(device)
            rows = torch.from_numpy(glyphs).to(device)
            reading = tower.read(tower.body(vectors[chosen]))
            loss = targets.loss(reading, rows)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if progress:
                progress(step + 1, steps)
    return tower.eval().requires_grad_(False)


@torch.no_grad()
def pooled(tower: TextTower, texts: EncodedTexts) -> Tensor:
    """The vectors of all encoded texts (N, width), float16, on their device."""
    numbers = torch.arange(len(texts.starts) - 1, device=texts.starts.device)
    return torch.cat([tower(*texts.batch(part)).half() for part in numbers.split(256)])
