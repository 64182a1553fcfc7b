"""Everything a model is given besides the noised image, in one value with named fields."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Condition:
    """What the model is given for a batch of B images.

    states: token states of the texts (B, L, D). mask: (B, L), True where a token is real.
    The rest is None for models that do not take it. radical: Kangxi numbers (B,), 0 = withheld. pooled: one vector for
    the whole text (B, W), from a tower. parts: numbers of components and of their places (B, 3, 2), 0 = none or not
    told. style: numbers of styles (B,), 0 = not told.
    """

    states: Tensor
    mask: Tensor
    radical: Tensor | None = None
    pooled: Tensor | None = None
    parts: Tensor | None = None
    style: Tensor | None = None

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, rows: Tensor | slice) -> "Condition":
        """The selected rows of the batch."""
        return self._each(lambda part: part[rows])

    def repeat(self, batch: int) -> "Condition":
        """Repeat a single row for a whole batch; keep a batch of that size unchanged. ValueError for any other size."""
        if len(self) not in (1, batch):
            raise ValueError(f"a condition of {len(self)} rows does not fit {batch} images")
        return self._each(lambda part: part.expand(batch, *part.shape[1:]))

    def pad(self, length: int) -> "Condition":
        """Append masked zero tokens up to `length`."""
        missing = length - self.mask.shape[1]
        return replace(self, states=F.pad(self.states, (0, 0, 0, missing)), mask=F.pad(self.mask, (0, missing)))

    def cat(self, other: "Condition") -> "Condition":
        """Join both into one batch, padding the shorter texts. ValueError if only one of them has some field."""
        length = max(self.mask.shape[1], other.mask.shape[1])
        one, two = self.pad(length), other.pad(length)
        joined: dict[str, Any] = {}
        for field in fields(self):
            pair = [getattr(one, field.name), getattr(two, field.name)]
            if (pair[0] is None) != (pair[1] is None):
                raise ValueError(f"one condition has {field.name}, the other has none: they cannot share a batch")
            joined[field.name] = None if pair[0] is None else torch.cat(pair)
        return Condition(**joined)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in told.items() if part is not None})


@dataclass(frozen=True, eq=False)
class Small:
    """What an upscaler is given instead of a text, for a batch of B images.

    image: the small pictures (B, C, h, w), noised. noise: how much of each is noise (B,), from 0 to 1.
    """

    image: Tensor
    noise: Tensor

    @classmethod
    def noised(cls, clean: Tensor, noise: Tensor, eps: Tensor) -> "Small":
        """Clean small pictures (B, C, h, w) with a share of noise (B,), which the model is told: conditioning
        augmentation (Ho et al. 2022, Cascaded diffusion models, section 4.2), here along the straight line of flow
        matching; eps is standard normal.
        """
        level = noise.to(clean)[:, None, None, None]
        return cls((1 - level) * clean + level * eps, noise.to(clean))
