"""Are pictures crisp, and is their paper clean, before the levels curve and after it?"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from glyffuser.base.pictures import to_grey

CLEAR = 3  # pixels from any ink beyond which paper should be exactly white


def drawn_and_levelled(images: Tensor) -> np.ndarray:
    """Images (B, 1, H, W) in [-1, 1] as the network drew them and as they are saved: uint8 (B, 2, H, W)."""
    return np.stack([to_grey(images, margin=0.0), to_grey(images)], axis=1)


def crispness(images: np.ndarray) -> dict[str, float]:
    """How crisp and clean pictures are, uint8 (N, H, W), paper 255.

    `grey`: pixels that are neither ink nor paper, per pixel of ink; `dirty`: share of glyphs whose outermost two rows
    and columns are not exactly paper; `specks`: share of glyphs with a pixel, far from all ink, not exactly paper.
    """
    grey = ((images > 25) & (images < 230)).sum() / np.maximum((images <= 25).sum(), 1)
    inside = np.zeros(images.shape[1:], dtype=bool)
    inside[2:-2, 2:-2] = True
    near = max_pool2d(torch.from_numpy(images < 128).float()[:, None], 2 * CLEAR + 1, 1, CLEAR)[:, 0].bool().numpy()
    return {
        "grey": float(grey),
        "dirty": float((images[:, ~inside] < 255).any(axis=1).mean()),
        "specks": float(((images < 255) & ~near).any(axis=(1, 2)).mean()),
    }
