"""Pictures of known shapes, and outlines rendered by FreeType."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fontTools.pens.freetypePen import FreeTypePen

from glyffuser.export.outline import Outline

SIDE = 128


@pytest.fixture(scope="session")
def covered() -> Callable[..., np.ndarray]:
    """A factory for pictures of polygons: floats (128, 128), ink 0, each grey the share of its pixel that is paper."""

    def draw(*polygons: Sequence[tuple[float, float]]) -> np.ndarray:
        pen = FreeTypePen(None)
        for polygon in polygons:
            pen.moveTo(polygon[0])
            for point in polygon[1:]:
                pen.lineTo(point)
            pen.closePath()
        return 1 - pen.array(width=SIDE, height=SIDE, transform=(1, 0, 0, -1, 0, SIDE), evenOdd=True)

    return draw


@pytest.fixture(scope="session")
def rendered() -> Callable[[Outline], np.ndarray]:
    """A factory for pictures of outlines: floats (128, 128), ink 0."""

    def draw(outline: Outline) -> np.ndarray:
        pen = FreeTypePen(None)
        outline.draw(pen)
        return 1 - pen.array(width=SIDE, height=SIDE, transform=(1, 0, 0, -1, 0, SIDE))

    return draw
