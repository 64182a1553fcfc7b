"""The token states of all captions: encoded once, cached on disk, and read a batch at a time."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glyffuser.base.files import atomic_path
from glyffuser.text.encoder import TextEncoder

BATCH = 256
BLOCK = 64 * BATCH  # texts per file


@dataclass(frozen=True)
class EncodedTexts:
    """Token states of many texts, end to end, float16 (M, d); those of text i are starts[i] : starts[i + 1]."""

    states: Tensor
    starts: Tensor

    def batch(self, numbers: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        """Token states float16 (B, L, d), zero where padded, and mask (B, L) for the texts with these numbers (B,)."""
        numbers = torch.as_tensor(numbers, device=self.starts.device)
        first, last = self.starts[numbers], self.starts[numbers + 1]
        length = int((last - first).max())
        index = first[:, None] + torch.arange(length, device=first.device)  # (B, L)
        mask = index < last[:, None]
        return self.states[index.clamp(max=len(self.states) - 1)] * mask[:, :, None], mask

    def to(self, device: str | torch.device) -> "EncodedTexts":
        """The same on another device."""
        return EncodedTexts(self.states.to(device), self.starts.to(device))


def encode_cached(
    encoder: TextEncoder, texts: Sequence[str], folder: Path, progress: Callable[[int, int], None] | None = None
) -> EncodedTexts:
    """Encode `texts` once; files in `folder`, one per block of texts, named after encoder and texts, hold the result.

    So encoding resumes at the block where it was stopped, and when texts are appended, at most one block of the earlier
    ones is encoded again. `progress(done, total)` counts texts.
    """
    report, blocks = progress or (lambda done, total: None), []
    for begin in range(0, len(texts), BLOCK):

        def advance(done: int, before: int = begin) -> None:
            report(before + done, len(texts))

        blocks.append(_block(encoder, texts[begin : begin + BLOCK], folder, advance))
    states, lengths = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return EncodedTexts(states, torch.cumsum(torch.cat([torch.zeros(1, dtype=torch.long), lengths]), dim=0))


def _block(
    encoder: TextEncoder, texts: Sequence[str], folder: Path, advance: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """The token states of a block of texts, end to end, float16 (M, d), and how many each text has (N,)."""
    key = hashlib.sha256("\n".join(["block", encoder.fingerprint(), *texts]).encode()).hexdigest()[:16]
    path = folder / f"{Path(encoder.config.encoder).name}-{key}.safetensors"
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor("states"), file.get_tensor("lengths")
        except SafetensorError:
            warnings.warn(f"{path} is damaged and is rebuilt", stacklevel=3)
    # Texts of similar length share a batch: less padding.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: list[Tensor] = [torch.empty(0)] * len(texts)
    for begin in range(0, len(texts), BATCH):
        chosen = order[begin : begin + BATCH]
        states, mask = encoder.encode([texts[i] for i in chosen])
        for i, state, real in zip(chosen, states.half().cpu(), mask.cpu(), strict=True):
            rows[i] = state[real]
        advance(min(begin + BATCH, len(texts)))
    states, lengths = torch.cat(rows), torch.tensor([len(row) for row in rows])
    with atomic_path(path) as temporary:
        save_file({"states": states, "lengths": lengths}, temporary)
    return states, lengths
