"""Which words a network looks at while it draws: content words, small words between them, or marks and punctuation."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import from_grey
from glyffuser.diffusion.process import noised
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.networks.watching import text_attention

PART = 0.9  # of T: the timestep at which the network is watched, while much of the glyph is still open
SMALL = {
    *("a", "an", "the", "of", "to", "in", "on", "at", "by", "with", "for", "from", "or", "and", "is"),
    *("are", "be", "it", "its", "that", "which", "who", "what", "as", "into", "out", "over", "up", "one", "them"),
}
CONTENT, FUNCTION, SIGN = 0, 1, 2  # kinds of tokens


def attention(
    pipe: GlyffuserPipeline, texts: Sequence[str], images: np.ndarray, seed: int, style: str | None = None
) -> dict[str, float] | None:
    """Mean attention to a token of each kind, over layers, places and glyphs; 1 is an even share.

    `images`: a finished glyph for each text, in the style given, uint8 (N, H, W); they are noised again to PART of T.
    None for a network that does not attend to the text. A kind that no text has is left out.
    """
    cond, schedule = pipe.condition(list(texts), style=style), pipe.schedule
    x0 = worked_on(pipe, from_grey(np.asarray(images)).to(pipe.device))
    eps = torch.cat([torch.randn(1, *x0.shape[1:], generator=seeded(seed, k)) for k in range(len(x0))]).to(x0)
    sigma = schedule.sigma(torch.tensor(PART * schedule.T, dtype=torch.float64))
    xt = noised(x0, eps, sigma.expand(len(x0)), schedule)
    with text_attention(pipe.unet) as maps:
        pipe.denoiser()(xt / float(schedule.alpha(sigma)), sigma, cond)
    if not maps:
        return None
    weights = torch.stack([each.mean(dim=1) for each in maps.values()]).mean(dim=0).cpu()  # (N, L), rows sum to 1
    kinds = token_kinds(pipe, texts, weights.shape[1])
    real = kinds >= 0
    even = real / real.sum(dim=1, keepdim=True)
    return {
        name: float(weights[kinds == kind].sum() / even[kinds == kind].sum())
        for kind, name in ((CONTENT, "content words"), (FUNCTION, "small words"), (SIGN, "marks and punctuation"))
        if (kinds == kind).any()
    }


def worked_on(pipe: GlyffuserPipeline, glyphs: Tensor) -> Tensor:
    """What the network works on, from finished glyphs (B, 1, H, W): latents, or the glyphs at the size it draws."""
    return F.interpolate(glyphs, pipe.size, mode="area") if pipe.vae is None else pipe.vae.to_latents(glyphs)


def token_kinds(pipe: GlyffuserPipeline, texts: Sequence[str], length: int) -> Tensor:
    """The kind of each token (N, length), -1 for padding: CONTENT, FUNCTION (a word of SMALL) or SIGN."""
    encoder = pipe.text_encoder
    kinds = torch.full((len(texts), length), -1)
    for row, text in enumerate(texts):
        found = encoder.tokenizer(text, truncation=True, max_length=encoder.limit, return_offsets_mapping=True)
        for place, (start, end) in enumerate(found["offset_mapping"]):
            token = text[start:end].lower()
            if not any(char.isalnum() for char in token):
                kinds[row, place] = SIGN
            else:
                kinds[row, place] = FUNCTION if token in SMALL else CONTENT
    return kinds
