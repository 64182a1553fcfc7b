"""What radical does a meaning lead one to expect? A linear map from the text encoder to the 214 radicals.

With it the meaning of a glyph can be judged for any prompt, not only for those whose radicals someone wrote down.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.data.captions import build_captions
from glyffuser.data.dataset import GlyphData
from glyffuser.evaluate.recogniser import RADICALS
from glyffuser.text import EncodedTexts, TextEncoder

STEPS, BATCH = 1500, 1024


class Expectation(ModelMixin, ConfigMixin):
    """Log-probabilities of radicals, given the mean token state of a text.

    Args:
        dim: width of the text encoder's token states.
        encoder: fingerprint of the text encoder that it was trained with; others mean something else.
    """

    @register_to_config
    def __init__(self, dim: int = 384, encoder: str = ""):
        super().__init__()
        self.radical = nn.Linear(dim, RADICALS)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, d) and mask (B, L) -> log-probabilities (B, 214) of radicals 1 ... 214."""
        return F.log_softmax(self.radical(sentence(states, mask).to(self.dtype)).float(), dim=1)

    @torch.no_grad()
    def expect(self, encoder: TextEncoder, texts: list[str]) -> Tensor:
        """The same from texts (N) -> (N, 214)."""
        return torch.cat([self(*encoder.encode(texts[i : i + 256])) for i in range(0, len(texts), 256)])


def sentence(states: Tensor, mask: Tensor) -> Tensor:
    """One vector a text, of length sqrt(d): the mean of its token states. (B, L, d), (B, L) -> (B, d)."""
    mean = states.float().sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # padding is zero
    return F.normalize(mean, dim=1) * states.shape[-1] ** 0.5


def train_expectation(data: GlyphData, texts: EncodedTexts, fingerprint: str, seed: int = 0) -> Expectation:
    """Fit on the captions of `data`, whose token states are `texts`, as `data/captions.py` numbers them."""
    captions = build_captions(data.definitions, data.senses)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Expectation(texts.states.shape[1], fingerprint)
    vectors = torch.cat([sentence(*texts.batch(part)) for part in torch.arange(len(captions.texts)).split(512)])
    radicals = torch.from_numpy(data.radicals.astype(np.int64) - 1)
    usable = np.flatnonzero(data.radicals > 0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        glyphs = usable[rng.integers(len(usable), size=BATCH)]
        numbers = torch.from_numpy(captions.draw(glyphs, (0.4, 0.4, 0.2), 0.0, rng))
        loss = F.cross_entropy(network.radical(vectors[numbers]), radicals[torch.from_numpy(glyphs)])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return network.eval()
