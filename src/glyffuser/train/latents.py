"""The latents of a data set: computed once by its autoencoder, and cached beside it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glyffuser.base.files import atomic_path
from glyffuser.base.weights import weights_hash
from glyffuser.networks.autoencoder import Autoencoder

BATCH = 64


def encoded(
    autoencoder: Autoencoder, images: np.ndarray, cache: Path, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """The latents float32 (N, C, h, w), on the CPU, of glyphs uint8 (N, H, W); from the folder `cache` if there.

    They are kept in float16, under a name that hangs on weights, normalisation and pictures.
    """
    c = autoencoder.config
    facts = f"{weights_hash(autoencoder)} {c.shift_factor} {c.scaling_factor} {images.shape}".encode()
    path = cache / f"{hashlib.sha256(facts + hashlib.sha256(images.tobytes()).digest()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        done: list[Tensor] = []
        for first in range(0, len(images), BATCH):
            pictures = torch.from_numpy(images[first : first + BATCH])[:, None].to(autoencoder.device)
            done.append(autoencoder.to_latents(pictures.float() / 127.5 - 1).half().cpu())
            if progress:
                progress(min(first + BATCH, len(images)), len(images))
        with atomic_path(path) as temporary:
            save_file({"latents": torch.cat(done).contiguous()}, temporary)
    return load_file(path)["latents"].float()
