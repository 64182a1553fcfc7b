"""The order in which training sees glyphs: endless, reshuffled every pass, a function of the seed alone."""

import numpy as np


class GlyphOrder:
    """Which glyph is at each place in the endless data order.

    Every pass over n glyphs is a fresh permutation. With `balance` above 0, a pass holds glyphs of rare radicals
    several times and leaves out some of common ones: each is seen in proportion to (glyphs of its radical) ** -balance.

    Args:
        radicals: of each glyph (n,); glyphs without one (0) count as a group.
        balance: 0 = all glyphs alike, 1 = all radicals alike.
        seed: another seed, another order.
    """

    def __init__(self, radicals: np.ndarray, balance: float, seed: int):
        self.n, self.seed = len(radicals), seed
        _, group, counts = np.unique(radicals, return_inverse=True, return_counts=True)
        weights = counts[group].astype(np.float64) ** -balance
        # How often each glyph is due in a pass, cumulative; n in all.
        self.edges = np.cumsum(weights) * (self.n / weights.sum()) if balance else None

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Glyph numbers, 0 ... n - 1, at these places in the order, both (B,)."""
        order = np.empty_like(positions)
        for number in np.unique(positions // self.n):
            here = positions // self.n == number
            order[here] = self.whole_pass(int(number))[positions[here] % self.n]
        return order

    def whole_pass(self, number: int) -> np.ndarray:
        """The glyph numbers of one pass (n,)."""
        rng = np.random.default_rng([self.seed, number])
        if self.edges is None:
            return rng.permutation(self.n)
        # Systematic sampling: a glyph due 2.3 times comes 2 or 3 times.
        dealt = np.searchsorted(self.edges, np.arange(self.n) + rng.random(), side="right").clip(max=self.n - 1)
        return rng.permutation(dealt)
