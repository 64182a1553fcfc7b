"""The order in which training sees glyphs: endless, reshuffled every pass, a function of the seed alone."""

from functools import lru_cache

import numpy as np

WINDOW = 64  # blocks that are mixed with each other, and in memory meanwhile


class GlyphOrder:
    """Which glyph is at each place in the endless data order.

    Every pass over n glyphs is a fresh permutation. With `balance` above 0, a pass repeats glyphs of rare radicals
    and leaves out some of common ones: each is seen in proportion to (glyphs of its radical) ** -balance.

    Where glyphs lie in blocks that are costly to fetch, a pass permutes the blocks, then shuffles together the
    glyphs of each `window` consecutive blocks: going through a pass fetches each block once and holds that many.
    `alike` tells how far that is from a permutation of all glyphs.

    Args:
        radicals: of each glyph (n,); glyphs without one (0) count as a group.
        balance: 0 = all glyphs alike, 1 = all radicals alike.
        seed: another seed gives another order.
        blocks: where each of K blocks of glyphs begins, and the end (K + 1,); None = any glyph is at hand.
        window: blocks that are mixed with each other.
    """

    def __init__(
        self,
        radicals: np.ndarray,
        balance: float,
        seed: int,
        blocks: np.ndarray | None = None,
        window: int = WINDOW,
    ):
        self.n, self.seed, self.blocks, self.window = len(radicals), seed, blocks, window
        _, group, counts = np.unique(radicals, return_inverse=True, return_counts=True)
        weights = counts[group].astype(np.float64) ** -balance
        # How often each glyph is due in a pass, cumulative; n in all.
        self.edges = np.cumsum(weights) * (self.n / weights.sum()) if balance else None
        self._kept = lru_cache(maxsize=2)(self.whole_pass)  # a batch lies in one pass, or across two

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Glyph numbers, 0 ... n - 1, at these places in the order, both (B,)."""
        order = np.empty_like(positions)
        for number in np.unique(positions // self.n):
            here = positions // self.n == number
            order[here] = self._kept(int(number))[positions[here] % self.n]
        return order

    def whole_pass(self, number: int) -> np.ndarray:
        """The glyph numbers of one pass (n,)."""
        rng = np.random.default_rng([self.seed, number])
        dealt = np.arange(self.n)
        if self.edges is not None:
            # Systematic sampling: a glyph due 2.3 times comes 2 or 3 times.
            dealt = np.searchsorted(self.edges, dealt + rng.random(), side="right").clip(max=self.n - 1)
        if self.blocks is None:
            return rng.permutation(dealt)
        parts = np.split(dealt, np.searchsorted(dealt, self.blocks[1:-1]))  # what is due from each block
        shuffled = rng.permutation(len(parts))
        windows = np.array_split(shuffled, -(-len(parts) // self.window))
        return np.concatenate([rng.permutation(np.concatenate([parts[i] for i in blocks])) for blocks in windows])


def alike(order: np.ndarray, groups: np.ndarray, batch: int) -> tuple[float, float]:
    """How well an order mixes groups: how often two glyphs of one batch are of the same group, and how often they
    would be if the order were a random permutation.

    Args:
        order: glyph numbers (n,), cut into batches; the rest is ignored.
        groups: the group of each glyph, numbers from 0: its block, say, or its radical.
        batch: glyphs per batch.

    Returns: two shares of pairs, 0 to 1.
    """
    batches = groups[order[: len(order) // batch * batch]].reshape(-1, batch)
    ranked = np.sort(batches, axis=1)
    # Of m glyphs of one group in a batch, the second adds one pair, the third two, and so on.
    run = np.zeros(len(batches), np.int64)
    pairs = 0
    for column in range(1, batch):
        run = np.where(ranked[:, column] == ranked[:, column - 1], run + 1, 0)
        pairs += int(run.sum())
    counts = np.bincount(groups[order]).astype(np.float64)
    expected = (counts * (counts - 1)).sum() / (len(order) * (len(order) - 1))
    return pairs / (len(batches) * batch * (batch - 1) / 2), float(expected)
