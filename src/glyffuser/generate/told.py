"""What a network is told, from a user's words: the text, and besides it a style, parts of the character, a radical."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from glyffuser.base.errors import UserError
from glyffuser.data.components import Part, numbered
from glyffuser.data.radicals import RADICALS
from glyffuser.diffusion.conditions import Condition
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower


def condition(
    config: Mapping[str, Any],
    encoder: TextEncoder,
    tower: TextTower | None,
    device: torch.device,
    prompts: list[str],
    repeats: int = 1,
    style: str | None = None,
) -> Condition:
    """What a network of that configuration is given for prompts, each `repeats` times over: token states and the rest.

    The radical and parts are withheld (0); an empty prompt means "no text". A repeated prompt is encoded once.
    UserError for a style that the network does not know.
    """
    texts = list(dict.fromkeys(prompts))
    rows = torch.tensor([texts.index(prompt) for prompt in prompts], device=device).repeat_interleave(repeats)
    # One by one, so that not even the last bit of what a network is told of a text depends on other texts.
    read = [[part.to(device) for part in encoder.encode([text])] for text in texts]
    states, mask = (pad_sequence([one[k][0] for one in read], batch_first=True) for k in (0, 1))
    radical = pooled = parts = hand = None
    if config.get("styles") or style is not None:
        hand = torch.full((len(texts),), style_number(config, style), device=device)
    if config["num_class_embeds"]:
        radical = torch.zeros(len(texts), dtype=torch.long, device=device)
    if tower is not None:
        with torch.no_grad():
            pooled = torch.cat([tower(*one) for one in read])
    if config.get("components"):
        parts = torch.zeros(len(texts), *numbered([], "").shape, dtype=torch.long, device=device)
    return Condition(states, mask, radical, pooled, parts, hand)[rows]


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
    """The numbers of parts (1, 3, 2) for a network of that configuration; UserError if it takes none."""
    known = config.get("components", "")
    if not known:
        raise UserError("this model takes no parts; it was trained without them")
    return torch.from_numpy(numbered(parts, known))[None]


def wished(cond: Condition, radical: int) -> Tensor | None:
    """The radical that a user wishes for, 1 ... 214, or 0 for none, once for each row of the condition; None where the
    network takes none.
    """
    return None if cond.radical is None else torch.full_like(cond.radical, radical)


def check_told(
    config: Mapping[str, Any], styles: Sequence[str | None], radical: int = 0, parts: Sequence[Part] = ()
) -> None:
    """UserError for styles, a radical or parts that a network of that configuration cannot be told."""
    for style in styles:
        style_number(config, style)
    if radical and not config["num_class_embeds"]:
        raise UserError("this model takes no radical; it was trained without one")
    if not 0 <= radical <= len(RADICALS):
        raise UserError(f"the radical must be between 1 and {len(RADICALS)}, or 0 for none, not {radical}")
    if parts:
        part_numbers(config, parts)
