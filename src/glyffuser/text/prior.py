"""The prior: which radical does a meaning suggest? A linear map from the text encoder to 214 radicals.

A diffusion model needs many passes over the pictures to learn that "gold" goes with the metal radical; a linear map
learns it from the definitions in seconds. So the way from text to glyph has two steps, as in unCLIP (Ramesh et al.
2022): the prior draws a radical for the text, and the network draws a glyph for both. The judges use the same kind of
map to tell whether a glyph means what was asked.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.data.captions import Captions
from glyffuser.data.radicals import RADICALS
from glyffuser.text.cache import EncodedTexts
from glyffuser.text.encoder import TextEncoder

STEPS, BATCH = 1500, 1024


class RadicalPrior(ModelMixin, ConfigMixin):
    """Log-probabilities of radicals, given the mean token state of a text.

    Args:
        dim: width of the text encoder's token states.
        encoder: fingerprint of the text encoder that it was trained with; the states of others mean something else.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(self, dim: int = 384, encoder: str = ""):
        super().__init__()
        self.radical = nn.Linear(dim, len(RADICALS))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, d) and mask (B, L) -> log-probabilities (B, 214) of radicals 1 ... 214."""
        return F.log_softmax(self.radical(sentence(states, mask).to(self.dtype)).float(), dim=1)

    @torch.no_grad()
    def expect(self, encoder: TextEncoder, texts: list[str]) -> Tensor:
        """The same from texts (N) -> (N, 214)."""
        return torch.cat([self(*encoder.encode(texts[i : i + 256], whole=True)) for i in range(0, len(texts), 256)])

    @torch.no_grad()
    def draw(self, states: Tensor, mask: Tensor, chance: Tensor | None = None, temperature: float = 0.5) -> Tensor:
        """A radical for each text, 1 ... 214, (B,): the likeliest, or one drawn by `chance` (B,), uniform in [0, 1].

        A temperature below 1 favours likely radicals: probabilities are raised to the power 1 / temperature.
        """
        logs = self(states, mask)
        if chance is None:
            return logs.argmax(dim=1) + 1
        edges = (logs / temperature).softmax(dim=1).cumsum(dim=1)
        return (edges < chance.to(edges)[:, None]).sum(dim=1).clamp(max=len(RADICALS) - 1) + 1


def sentence(states: Tensor, mask: Tensor) -> Tensor:
    """One vector per text, of length sqrt(d): the mean of its token states. (B, L, d), (B, L) -> (B, d)."""
    mean = states.float().sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # padding is zero
    return F.normalize(mean, dim=1) * states.shape[-1] ** 0.5


def train_prior(
    captions: Captions, texts: EncodedTexts, radicals: np.ndarray, fingerprint: str, seed: int = 0, steps: int = STEPS
) -> RadicalPrior:
    """Fit a prior to the captions of a data set. `texts`: their token states; radicals (N,) of its glyphs, 0 = none."""
    rng, device = np.random.default_rng(seed), texts.states.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RadicalPrior(texts.states.shape[1], fingerprint).to(device)
    numbers = torch.arange(len(captions.texts), device=device)
    vectors = torch.cat([sentence(*texts.batch(part)) for part in numbers.split(512)])
    labels = torch.from_numpy(radicals.astype(np.int64) - 1).to(device)
    usable = np.flatnonzero(radicals > 0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        glyphs = usable[rng.integers(len(usable), size=BATCH)]
        chosen = torch.from_numpy(captions.draw(glyphs, (0.4, 0.4, 0.2), 0.0, rng)).to(device)
        loss = F.cross_entropy(network.radical(vectors[chosen]), labels[torch.from_numpy(glyphs).to(device)])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return network.eval()
