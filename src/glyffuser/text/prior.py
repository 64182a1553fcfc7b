"""The prior: which radical does a meaning suggest? A linear map from the text encoder to 214 radicals.

It learns from the definitions in seconds. The judges use it to tell whether a glyph means what was asked for; the
network that draws is not told what it says.
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
        encoder: fingerprint of the text encoder that it was trained with; other encoders' states mean something else.
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
        """The log-probabilities (N, 214) for N texts."""
        return torch.cat([self(*encoder.encode(texts[i : i + 256], whole=True)) for i in range(0, len(texts), 256)])


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
