"""The latents of a data set: computed once by its autoencoder, and cached beside it."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glyffuser.base.files import atomic_path
from glyffuser.base.pictures import from_grey
from glyffuser.base.weights import weights_hash
from glyffuser.data.pictures import Pictures
from glyffuser.networks.autoencoder import Autoencoder

BATCH = 64


def encoded(
    autoencoder: Autoencoder,
    images: np.ndarray | Pictures,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The latents float32 (N, C, h, w), on the CPU, of N glyphs uint8 (H, W); from the folder `cache` if it has them.

    They are stored in float16, under a name that depends on weights, normalisation and pictures. A damaged file is
    made anew, with a warning.
    """
    c = autoencoder.config
    shape, pictures_hash = (len(images), *images[0].shape), hashlib.sha256()
    for i in range(len(images)):
        pictures_hash.update(images[i].tobytes())
    facts = f"{weights_hash(autoencoder)} {c.shift_factor} {c.scaling_factor} {shape}".encode()
    path = cache / f"{hashlib.sha256(facts + pictures_hash.digest()).hexdigest()[:16]}.safetensors"
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor("latents").float()
        except SafetensorError:
            warnings.warn(f"{path} is damaged and is rebuilt", stacklevel=2)
    done: list[Tensor] = []
    for first in range(0, len(images), BATCH):
        some = np.stack([images[i] for i in range(first, min(first + BATCH, len(images)))])
        done.append(autoencoder.to_latents(from_grey(some).to(autoencoder.device)).half().cpu())
        if progress:
            progress(min(first + BATCH, len(images)), len(images))
    latents = torch.cat(done).contiguous()
    with atomic_path(path) as temporary:
        save_file({"latents": latents}, temporary)
    return latents.float()
