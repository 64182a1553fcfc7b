"""Noise schedules: how the noise level grows with the timestep.

Everything downstream uses one quantity, the noise level sigma = noise-to-signal ratio. A schedule translates between
timesteps t in [0, T) and sigma, and knows the signal scale alpha of the noised image that a network sees:

    xt = alpha * (x0 + sigma * eps)

Variance-preserving schedules (linear, cosine) have alpha = 1 / sqrt(1 + sigma^2), so that alpha^2 = alpha_bar; flow
matching has alpha = 1 - t/T = 1 / (1 + sigma). See Karras et al. 2022 (EDM), table 1, and Lipman et al. 2023.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glyffuser.base.names import SCHEDULES, SPACINGS, TIMESTEPS

BETA_START, BETA_END = 1e-4, 0.02  # Ho et al. 2020, section 4
FLOW_T_MIN, FLOW_T_MAX = 1e-3, 1 - 1e-3  # sigma stays finite and above zero
RHO = 7.0  # Karras et al. 2022, appendix D.1
LAST_SIGNAL = 1e-5  # signal scale of the last timestep with zero_terminal, instead of 0: sigma stays finite here too


def linear_betas(T: int) -> Tensor:
    """beta_t, rising linearly from 1e-4 to 0.02, float64 (T,) (Ho et al. 2020, section 4)."""
    return torch.linspace(BETA_START, BETA_END, T, dtype=torch.float64)


def cosine_betas(T: int, s: float = 0.008) -> Tensor:
    """beta_t such that alpha_bar follows a squared cosine, at most 0.999 (Nichol and Dhariwal 2021, equation 17)."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bar = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


def zero_terminal_betas(betas: Tensor) -> Tensor:
    """Variances (T,) that leave LAST_SIGNAL of the signal, or less, at the end (Lin et al. 2024, algorithm 1).

    The signal scale is shifted and stretched so that it keeps its first value.
    """
    signal = torch.cumprod(1 - betas, dim=0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    signal[-1] = (signal[-2] / 2).clamp(max=LAST_SIGNAL)
    alpha_bar = signal**2
    return torch.cat([betas[:1], 1 - alpha_bar[1:] / alpha_bar[:-1]])


@dataclass(frozen=True)
class Schedule:
    """One noise schedule.

    Args:
        name: "linear", "cosine" or "flow"; ValueError for any other.
        T: number of training timesteps.
        shift: resolution shift of flow matching, t' = s t / (1 + (s - 1) t) (Esser et al. 2024, equation 23); it
            multiplies every sigma by s. It shifts random timesteps and sampling grids, not `sigma` and `timestep`.
            ValueError unless above 0.
        zero_terminal: whether a linear or cosine schedule is rescaled to end in pure noise, which is what sampling
            starts from (Lin et al. 2024, Common diffusion noise schedules, algorithm 1).
    """

    name: str = "flow"
    T: int = 1000
    shift: float = 1.0
    zero_terminal: bool = False

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.name!r}; choose one of {', '.join(SCHEDULES)}")
        if not (isinstance(self.shift, int | float) and 0 < self.shift < math.inf):
            raise ValueError(f"the shift of a schedule is a number above 0, not {self.shift!r}")
        if self.zero_terminal and self.name == "flow":
            raise ValueError("flow matching ends in nothing but noise as it is; zero_terminal is for linear and cosine")

    def betas(self) -> Tensor:
        """Variance of q(xt given x(t-1)) for t = 0 ... T-1, float64 (T,). Flow matching has none: ValueError."""
        if self.name == "flow":
            raise ValueError("flow matching has no betas")
        betas = linear_betas(self.T) if self.name == "linear" else cosine_betas(self.T)
        return zero_terminal_betas(betas) if self.zero_terminal else betas

    def alpha_bar(self) -> Tensor:
        """Signal power alpha^2 of xt for t = 0 ... T-1, float64 (T,)."""
        if self.name == "flow":
            return self.alpha(self.sigma(torch.arange(self.T, dtype=torch.float64))) ** 2
        return torch.cumprod(1 - self.betas(), dim=0)

    def log_sigmas(self) -> Tensor:
        """log sigma at every whole timestep of a variance-preserving schedule, float64 (T,), rising."""
        alpha_bar = self.alpha_bar()
        return 0.5 * torch.log((1 - alpha_bar) / alpha_bar)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at timesteps t in [0, T): same shape, float64. Between whole timesteps log sigma is linear."""
        t = t.double()
        if self.name == "flow":
            u = (t / self.T).clamp(FLOW_T_MIN, FLOW_T_MAX)
            return u / (1 - u)
        steps = torch.arange(self.T, dtype=torch.float64, device=t.device)
        return torch.exp(interpolate(t, steps, self.log_sigmas().to(t.device)))

    def timestep(self, sigma: Tensor) -> Tensor:
        """The inverse of `sigma`: the timestep in [0, T) whose noise level is sigma, float64."""
        sigma = sigma.double()
        if self.name == "flow":
            return self.T * (sigma / (1 + sigma)).clamp(FLOW_T_MIN, FLOW_T_MAX)
        steps = torch.arange(self.T, dtype=torch.float64, device=sigma.device)
        return interpolate(sigma.log(), self.log_sigmas().to(sigma.device), steps)

    def alpha(self, sigma: Tensor) -> Tensor:
        """Signal scale of the noised image at noise level sigma, same shape."""
        return 1 / (1 + sigma) if self.name == "flow" else 1 / (1 + sigma**2).sqrt()

    def lower(self, sigma: Tensor, share: Tensor) -> Tensor:
        """The noise levels (B,) that sampling reaches from `sigma` (B,) after a share (B,), 0 to 1, of its whole way.

        Along the grid of `sigmas` with spacing "trailing", but no lower than sigma_min.
        """
        sigma, highest = sigma.double(), self.sigma_max()
        if self.name == "flow":
            u = (sigma / (sigma + self.shift) - share * highest / (highest + self.shift)).clamp(min=0)
            return (self.shift * u / (1 - u)).clamp(min=self.sigma_min())
        return self.sigma((self.timestep(sigma) - share * self.T).clamp(min=0))

    def sigma_max(self) -> float:
        """The noise level from which sampling starts."""
        return float(self.sigma(torch.tensor(self.T - 1.0)))

    def sigma_min(self) -> float:
        """The lowest noise level that training reaches."""
        return float(self.sigma(torch.tensor(0.0)))

    def sample_timesteps(self, n: int, distribution: str, generator: torch.Generator | None = None) -> Tensor:
        """Draw n training timesteps, float64 (n,) in [0, T), distributed as in `timesteps_at`."""
        return self.timesteps_at(torch.rand(n, dtype=torch.float64, generator=generator), distribution)

    def timesteps_at(self, u: Tensor, distribution: str) -> Tensor:
        """The quantiles u (n,), in [0, 1), of the training timesteps: float64 (n,) in [0, T).

        `distribution`: "uniform" (whole timesteps for linear and cosine, any real for flow), or "logit_normal", which
        puts most of them at medium noise levels (Esser et al. 2024, equation 19). Flow timesteps are then shifted.
        """
        if distribution == "logit_normal":
            u = torch.special.ndtri(u).sigmoid()
        elif distribution != "uniform":
            raise ValueError(f"unknown timestep distribution {distribution!r}; choose one of {', '.join(TIMESTEPS)}")
        if self.name == "flow":
            return self.T * shifted(u, self.shift)
        return (u * self.T).floor()

    def sigmas(self, steps: int, spacing: str = "linspace") -> Tensor:
        """A falling grid of noise levels for `steps` sampling steps, 1 to T: float64 (steps + 1,), the last of them 0.

        `spacing` is one of SPACINGS (the first three as in Lin et al. 2024, Common diffusion noise schedules, table 2):
        "linspace", evenly from timestep T-1 to 0; "trailing", T/steps apart from T-1 down; "leading", T/steps apart
        from 0 up, which misses the highest levels; "log_snr", evenly in log sigma; "karras", evenly in sigma^(1/7).
        For flow matching, whose timesteps need not be whole numbers, the first two are the same, evenly from T-1 down;
        `shift` moves the first three, except for the highest level, sigma_max.
        """
        if spacing not in SPACINGS:
            raise ValueError(f"unknown spacing {spacing!r}; choose one of {', '.join(SPACINGS)}")
        if spacing == "karras":
            return karras_sigmas(steps, self._lowest(), self.sigma_max())
        if spacing == "log_snr":
            ends = torch.tensor([self.sigma_max(), self._lowest()], dtype=torch.float64).log()
            levels = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps, dtype=torch.float64)).exp()
        elif self.name == "flow":
            start = self.sigma_max() / (self.sigma_max() + self.shift)  # the flow time that is shifted to sigma_max
            missed = int(spacing == "leading")
            u = torch.linspace(start, 0, steps + 1 + missed, dtype=torch.float64)[missed:-1]
            levels = self.shift * u / (1 - u)
        else:
            k = torch.arange(steps, dtype=torch.float64)
            timesteps = {
                "linspace": torch.linspace(self.T - 1, 0, steps, dtype=torch.float64),
                "trailing": (self.T - k * (self.T / steps)).round() - 1,  # as diffusers rounds
                "leading": k.flip(0) * (self.T // steps),
            }
            levels = self.sigma(timesteps[spacing])
        return torch.cat([levels, levels.new_zeros(1)])

    def _lowest(self) -> float:
        """The lowest level above 0 of the finest grid."""
        return float(self.sigmas(self.T)[-2])


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels evenly spaced in sigma^(1/7), then 0: float64 (steps + 1,) (Karras et al. 2022, equation 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / RHO), sigma_max ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, torch.zeros(1, dtype=torch.float64)])


def shifted(u: Tensor, shift: float) -> Tensor:
    """Flow time u in [0, 1] moved towards noise by a resolution shift (Esser et al. 2024, equation 23)."""
    return shift * u / (1 + (shift - 1) * u)


def interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise-linear interpolation through the points (xs, ys), xs rising; constant beyond the ends."""
    i = (xs < x[..., None]).sum(dim=-1).clamp(1, len(xs) - 1)  # a search by operations that ONNX has
    x0, x1, y0, y1 = xs[i - 1], xs[i], ys[i - 1], ys[i]
    return y0 + ((x - x0) / (x1 - x0)).clamp(0, 1) * (y1 - y0)
