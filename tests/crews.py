"""A crew for tests: the shares of several processes, worked one after the other by this one."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glyffuser.base.processes import Crew


@dataclass(frozen=True)
class InTurn(Crew):
    """Crew of `size` processes of which this one does all the work, so that nothing need be sent."""

    def shared(self, count: int, work: Callable[[slice], np.ndarray]) -> np.ndarray:
        edges = [count * k // self.size for k in range(self.size + 1)]
        parts = [work(slice(a, b)) for a, b in itertools.pairwise(edges) if a < b]
        return np.concatenate(parts)
