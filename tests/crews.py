"""A crew for tests: one process does the shares of several, one after the other."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glyffuser.base.processes import Crew


@dataclass(frozen=True)
class InTurn(Crew):
    """A crew of `size` processes in which this one does all the work, so that nothing needs to be sent."""

    def shared(self, count: int, work: Callable[[slice], np.ndarray]) -> np.ndarray:
        edges = [count * k // self.size for k in range(self.size + 1)]
        parts = [work(slice(a, b)) for a, b in itertools.pairwise(edges) if a < b]
        return np.concatenate(parts)
