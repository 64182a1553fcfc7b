"""The optimiser: Muon for the weight matrices, AdamW for everything else; and the learning rate over a run.

Muon (Jordan et al. 2024) replaces the momentum of a weight matrix by the nearest matrix with orthonormal rows or
columns, so that no direction of a layer learns much faster than another. It needs half the memory of Adam and, here,
fewer steps for the same loss (docs/LOG.md).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from glyffuser.base.devices import bfloat16_is_fast
from glyffuser.config import TrainConfig

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the iteration's quintic, chosen for fast convergence (Jordan et al. 2024)


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About U V^T for each matrix U S V^T of (k, m, n): all singular values between 0.7 and 1.2.

    Computed in bfloat16, which is exact enough, where that is fast; elsewhere in float32.

    Newton-Schulz iteration X <- a X + (b A + c A A) X with A = X X^T, on matrices scaled to a norm of at most 1.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if bfloat16_is_fast(matrices.device) else matrices.float()
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT.contiguous()  # the smaller Gram matrix
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def shared(matrices: Tensor) -> Tensor:
    """`orthogonal` of matrices (k, m, n): each process works out its share and gets the rest from the others.

    All must call it with the same matrices. A single matrix is worked out by every process itself.
    """
    processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if processes == 1 or len(matrices) == 1:
        return orthogonal(matrices)
    share = -(-len(matrices) // processes)
    own = torch.arange(share, device=matrices.device) + distributed.get_rank() * share
    made = orthogonal(matrices[own % len(matrices)]).contiguous()  # the last process may have to repeat some
    bits = made.view(torch.uint8)  # gloo moves bytes, but not every kind of number
    parts = [torch.empty_like(bits) for _ in range(processes)]
    distributed.all_gather(parts, bits)
    return torch.cat(parts)[: len(matrices)].view(made.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for `matrices`, AdamW (Loshchilov and Hutter 2019) for `others`, with one learning rate.

    The update of an (m, n) matrix has a root mean square of about 0.2, as Adam's usually has (Liu et al. 2025, Muon is
    scalable, equation 4); convolution kernels (out, in, h, w) count as (out, in h w). Nesterov momentum.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        eps: float = 1e-8,
    ):
        groups = [{"params": list(matrices), "matrices": True}, {"params": list(others), "matrices": False}]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moving = [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]
            for parameter, _ in moving:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            if group["matrices"]:
                self._muon(moving, group)
            else:
                for parameter, gradient in moving:
                    self._adam(parameter, gradient, self.state[parameter], group)
        return loss

    def _muon(self, moving: list[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        ahead: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter, gradient in moving:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            direction = gradient.lerp(momentum, group["momentum"]).flatten(1)
            ahead[direction.shape].append((parameter, direction))
        for shape, pairs in ahead.items():  # together, matrices of one shape take less than half the time
            updates = shared(torch.stack([direction for _, direction in pairs]))
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.add_(update.reshape(parameter.shape), alpha=-0.2 * max(shape) ** 0.5 * group["lr"])

    @staticmethod
    def _adam(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), n = group["betas"], int(state["step"])
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].lerp_(gradient.square(), 1 - beta2)
        deviation = (square / (1 - beta2**n)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(mean, deviation, value=-group["lr"] / (1 - beta1**n))


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices, others) of a network, by the groups it declares: Muon is only for weights between hidden layers.

    ValueError if a parameter is in no group, or in two.
    """
    groups = network.parameter_groups()  # type: ignore[operator]
    others = [parameter for name, group in groups.items() if name != "matrices" for parameter in group]
    grouped = sorted(id(parameter) for parameter in [*groups["matrices"], *others])
    if grouped != sorted(id(parameter) for parameter in network.parameters()):
        raise ValueError(f"the parameter groups of {type(network).__name__} do not hold each parameter exactly once")
    return groups["matrices"], others


def build_optimizer(network: nn.Module, c: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    how: dict[str, Any] = {"lr": c.lr, "betas": (c.beta1, c.beta2), "weight_decay": c.weight_decay}
    if c.optimizer == "muon":
        return Muon(*split_parameters(network), **how)
    return torch.optim.AdamW(network.parameters(), **how, fused=True)


def learning_rate(c: TrainConfig, step: int, minutes: float) -> float:
    """Linear warm-up, then constant, then linear to zero over the last `c.decay` of the run (steps or minutes)."""
    warm = min(1.0, (step + 1) / c.warmup_steps) if c.warmup_steps else 1.0
    left = 1 - run_fraction(c, step, minutes)
    return c.lr * warm * (min(1.0, left / c.decay) if c.decay else 1.0)


def run_fraction(c: TrainConfig, step: int, minutes: float) -> float:
    """How much of the run is over, 0 to 1, by steps or minutes, whichever is further."""
    return min(1.0, max(step / c.max_steps, minutes / c.max_minutes if c.max_minutes else 0.0))
