"""Several processes at one piece of work, started by torchrun: who speaks, who writes, how work is shared."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

REACH = timedelta(seconds=5)  # within which torchrun's store answers, if it can be reached at all


def rank() -> int:
    """The number of this process among those that torchrun started, from 0; 0 where it started none."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """How many processes torchrun started; 1 where it started none."""
    return int(os.environ.get("WORLD_SIZE", 1))


def says_first(text: str) -> bool:
    """Whether this process is the first to say this text: an error occurs in every process, but is reported once.

    It need not be process 0, which torchrun may have ended by then. If torchrun's store is out of reach, all speak.
    """
    if world() == 1:
        return True
    from torch.distributed import TCPStore

    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=REACH)
        return store.add(f"glyffuser {hashlib.sha256(text.encode()).hexdigest()}", 1) == 1
    except (KeyError, ValueError, RuntimeError):
        return True


@dataclass(frozen=True)
class Crew:
    """This process and the others, which all make the same calls in the same order. Default: there are no others."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> "Crew":
        """The processes that torchrun started, connected; they communicate on the CPU, through gloo."""
        if world() == 1:
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=True)
        return cls(state.process_index, state.num_processes)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def shared(self, count: int, work: "Callable[[slice], np.ndarray]") -> "np.ndarray":
        """Do `work` on `count` rows, a nearly equal slice per process; every process gets all rows, uint8 (count, ...).

        The rows of the result are what the processes computed, to the last bit.
        """
        if self.size == 1:
            return work(slice(0, count))
        edges = [count * k // self.size for k in range(self.size + 1)]
        mine = slice(edges[self.rank], edges[self.rank + 1])
        return self._gathered(count, mine, work(mine) if mine.start < mine.stop else None)

    def _gathered(self, count: int, mine: slice, rows: "np.ndarray | None") -> "np.ndarray":
        """The rows of all: each process adds its own to zeros. One without rows learns their shape from the others."""
        import torch
        from torch.distributed import ReduceOp, all_reduce

        shape = torch.zeros(8, dtype=torch.int64)  # of a row: a number per dimension, then zeros
        if rows is not None:
            shape[: rows.ndim - 1] = torch.tensor(rows.shape[1:])
        all_reduce(shape, ReduceOp.MAX)
        whole = torch.zeros(count, *shape[shape > 0].tolist(), dtype=torch.uint8)
        if rows is not None:
            whole[mine] = torch.from_numpy(rows)
        all_reduce(whole, ReduceOp.SUM)
        return whole.numpy()


LONE = Crew()
