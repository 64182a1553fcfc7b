"""A flat map, for tests of what is drawn on one: UMAP compiles for ten seconds, and has test_map_layout.py."""

import numpy as np

from glyffuser.guide.maths.map_layout import COMPONENTS, Atlas, principal_components, shrink


def flat_atlas(images: np.ndarray, codepoints: np.ndarray) -> Atlas:
    """The map of pictures uint8 (N, H, W) whose coordinates are their first two components."""
    pictures = shrink(images)
    mean = pictures.mean(axis=0)
    components = principal_components(pictures - mean, COMPONENTS)
    features = (pictures - mean) @ components
    return Atlas(features[:, :2], features, mean, components, codepoints)
