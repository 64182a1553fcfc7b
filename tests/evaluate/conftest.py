"""A data set and small judges that the tests of the evaluation share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.evaluate.judges import Judges
from glyffuser.evaluate.plausibility import Plausibility
from glyffuser.evaluate.recogniser import Recogniser
from glyffuser.models.prior import RadicalPrior


@pytest.fixture(scope="session")
def splits(tiny_data) -> tuple[GlyphData, GlyphData]:
    """192 glyphs to train on and 64 held out, 16 pixels, as the pipelines of `make_pipe` draw: noise, but by rows."""
    data, rng = load_dataset(tiny_data, "train"), np.random.default_rng(0)

    def some(n: int) -> GlyphData:
        which = np.arange(n) % len(data)
        small = data.images.reshape(len(data), 16, 2, 16, 2).mean((2, 4))[which]
        noisy = (small + rng.normal(0, 20, small.shape)).clip(0, 255).astype(np.uint8)
        return replace(data.select(which), images=noisy)

    return some(192), some(64)


def small_judges() -> Judges:
    """Untrained ones, small; the threshold lies where an untrained network's scores do."""
    torch.manual_seed(0)
    recogniser = Recogniser("金木水火土日月山石人", widths=(8, 8, 8, 8), feature_dim=8, character_dim=4)
    return Judges(recogniser, Plausibility(widths=(4, 4, 8, 8)), RadicalPrior(dim=16))


@pytest.fixture
def judges() -> Judges:
    """Small judges that a test may change."""
    return small_judges()


@pytest.fixture(scope="session")
def shared_judges() -> Judges:
    """Small judges that tests leave as they are."""
    return small_judges()
