"""What a network can be told beside the text, in a user's words: a style, parts of the character, a radical."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.data.components import Part, numbered
from glyffuser.data.radicals import RADICALS
from glyffuser.diffusion.conditions import Condition


def style_number(config: Mapping[str, Any], style: str | None) -> int:
    """The number of a style for a network of that configuration, 0 for None; UserError for one it does not know."""
    if style is None:
        return 0
    known = list(config.get("styles") or ())
    if not known:
        raise UserError("this model knows no styles; leave out --style, or train one with --preset styles")
    if style not in known:
        raise UserError(f"this model does not know the style {style!r}; it knows {', '.join(known)}")
    return known.index(style) + 1


def part_numbers(config: Mapping[str, Any], parts: Sequence[Part]) -> Tensor:
    """The numbers of parts (1, 3, 2) for a network of that configuration; UserError where it takes none."""
    known = config.get("components", "")
    if not known:
        raise UserError("this model takes no parts; it was trained without them")
    return torch.from_numpy(numbered(parts, known))[None]


def wished(cond: Condition, radical: int) -> Tensor | None:
    """The radical that a user wishes for, 1 ... 214, or 0 for none, once for each row of the condition; None where the
    network takes none. UserError for a number out of range, and for a radical that cannot be told.
    """
    if cond.radical is None:
        if radical:
            raise UserError("this model takes no radical; it was trained without one")
        return None
    if not 0 <= radical <= len(RADICALS):
        raise UserError(f"the radical must be between 1 and {len(RADICALS)}, or 0 for none, not {radical}")
    return torch.full_like(cond.radical, radical)
