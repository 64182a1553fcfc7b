"""The diffusion process in closed form: noising, its posterior, what networks predict, and the training loss.

All conversions between predictions are in one table, `PREDICTIONS`. Each row writes the prediction as a linear
combination of clean image and noise at noise level sigma, where xt = alpha * (x0 + sigma * eps):

    prediction = a * x0 + b * eps

Together with xt this determines x0 and eps, and thereby every other prediction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from glyffuser.base.names import WEIGHTINGS
from glyffuser.diffusion.schedules import Schedule

# alpha and s = alpha * sigma are the scales of signal and noise in xt.
PREDICTIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "epsilon": lambda alpha, s: (torch.zeros_like(alpha), torch.ones_like(s)),  # Ho et al. 2020, equation 14
    "sample": lambda alpha, s: (torch.ones_like(alpha), torch.zeros_like(s)),
    "v_prediction": lambda alpha, s: (-s, alpha),  # Salimans and Ho 2022, section 4
    "flow_prediction": lambda alpha, s: (-torch.ones_like(alpha), torch.ones_like(s)),  # Lipman et al. 2023, eq. 23
}
VELOCITY_T_MIN = (
    0.1  # 1/t^2 is clamped, otherwise the finest details would drown out everything else (Li and He 2025, at 0.05)
)


@dataclass(frozen=True)
class Process:
    """What a network is trained to undo, and what it outputs. Network and process together make a denoiser.

    Args:
        schedule: the noise schedule of training.
        prediction_type: what the network outputs, one of `PREDICTIONS`. ValueError for any other, and for "epsilon"
            with a zero-terminal schedule: where xt is pure noise, epsilon says nothing about the image.
    """

    schedule: Schedule = field(default_factory=Schedule)
    prediction_type: str = "sample"

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ValueError(f"unknown prediction type {self.prediction_type!r}; choose one of {known}")
        if self.schedule.zero_terminal and self.prediction_type == "epsilon":
            raise ValueError("epsilon cannot be learnt with zero_terminal; predict v_prediction, say, instead")

    def to_config(self) -> dict[str, Any]:
        """The process as a network's config.json holds it, under diffusers' names where it has them."""
        s = self.schedule
        process = {"schedule": s.name, "num_train_timesteps": s.T, "shift": s.shift}
        return process | {"rescale_betas_zero_snr": s.zero_terminal, "prediction_type": self.prediction_type}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Process":
        """The process that a network's config holds; older configs do not mention `rescale_betas_zero_snr`."""
        rescaled = config.get("rescale_betas_zero_snr", False)
        schedule = Schedule(config["schedule"], config["num_train_timesteps"], config["shift"], rescaled)
        return cls(schedule, config["prediction_type"])

    def target(self, x0: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        """What the network should output for (x0, eps), (B, C, H, W) each, at noise levels sigma (B,)."""
        a, b = coefficients(self.prediction_type, *scales(sigma, x0, self.schedule))
        return (a * x0 + b * eps).to(x0.dtype)

    def to_x0(self, prediction: Tensor, xt: Tensor, sigma: Tensor) -> Tensor:
        """The clean image that a prediction at xt and noise levels sigma (B,) implies.

        Solves the two equations xt = alpha x0 + s eps, prediction = a x0 + b eps for x0.
        """
        alpha, s = scales(sigma, xt, self.schedule)
        a, b = coefficients(self.prediction_type, alpha, s)
        return ((b * xt - s * prediction) / (b * alpha - s * a)).to(xt.dtype)

    def loss(self, prediction: Tensor, x0: Tensor, eps: Tensor, sigma: Tensor, weighting: str) -> Tensor:
        """Weighted mean squared error (B,), computed on the prediction itself to avoid cancellation.

        The error of the clean image is the error of the prediction divided by d prediction / d x0, whose square is the
        "simple" weight; so the error of the prediction is weighted by the ratio of the wanted weight to that one.
        """
        error = (prediction.float() - self.target(x0, eps, sigma)).square().flatten(1).mean(dim=1)
        kind = self.prediction_type
        wanted, own = (x0_weight(name, kind, sigma, self.schedule) for name in (weighting, "simple"))
        return (wanted / own).to(error) * error


def noised(x0: Tensor, eps: Tensor, sigma: Tensor, schedule: Schedule) -> Tensor:
    """xt in one jump (Ho et al. 2020, equation 4): x0, eps (B, C, H, W), sigma (B,) -> (B, C, H, W)."""
    sigma = per_image(sigma, x0)
    return (schedule.alpha(sigma) * (x0 + sigma * eps)).to(x0.dtype)


def renoised(x0: Tensor, xt: Tensor, sigma: Tensor, then: Tensor, noise: Tensor, schedule: Schedule) -> Tensor:
    """A draw of the noised image at lower noise levels `then` (B,), given x0 and xt at noise levels sigma (B,).

    q(xs given xt, x0) (Kingma et al. 2021, Variational diffusion models, appendix A.2), for s = t - 1 the posterior of
    Ho et al. 2020, equations 6 and 7; `noise` is standard normal, shape of x0.
    """
    now, low = per_image(sigma, x0), per_image(then, x0)
    ratio = (low / now).square()
    alpha, alpha_low = schedule.alpha(now), schedule.alpha(low)
    mean = x0 + ratio * (xt / alpha - x0)  # in x0 + sigma eps coordinates
    return (alpha_low * (mean + low * (1 - ratio).clamp(min=0).sqrt() * noise)).to(x0.dtype)


def to_eps(x0: Tensor, xt: Tensor, sigma: Tensor, schedule: Schedule) -> Tensor:
    """The noise in xt if its clean image is x0."""
    alpha, s = scales(sigma, xt, schedule)
    return ((xt - alpha * x0) / s).to(xt.dtype)


def score(x0: Tensor, xt: Tensor, sigma: Tensor, schedule: Schedule) -> Tensor:
    """Gradient of log q(xt) if x0 is the posterior mean: -eps / s, by Tweedie (Song et al. 2021; Efron 2011)."""
    _, s = scales(sigma, xt, schedule)
    return (-to_eps(x0, xt, sigma, schedule) / s).to(xt.dtype)


def x0_weight(weighting: str, prediction_type: str, sigma: Tensor, schedule: Schedule) -> Tensor:
    """Weight (B,) of the squared error of the clean image under a named weighting.

    "simple" gives equal weight to errors of whatever the network predicts; "epsilon" to those of the noise (1/sigma^2);
    "sample" to those of the clean image; "velocity" to those of the flow-matching velocity, with t clamped at 0.1 (as
    in Li and He 2025); "min_snr" is min(SNR, 5) (Hang et al. 2023, section 3.4).
    """
    if weighting == "simple":
        alpha = schedule.alpha(sigma)
        a, b = coefficients(prediction_type, alpha, alpha * sigma)
        return (a - b / sigma) ** 2  # at fixed xt, d eps = -d x0 / sigma
    if weighting == "epsilon":
        return sigma**-2
    if weighting == "sample":
        return torch.ones_like(sigma)
    if weighting == "velocity":
        return (sigma / (1 + sigma)).clamp(min=VELOCITY_T_MIN) ** -2
    if weighting == "min_snr":
        return (sigma**-2).clamp(max=5.0)
    raise ValueError(f"unknown weighting {weighting!r}; choose one of {', '.join(WEIGHTINGS)}")


def scales(sigma: Tensor, image: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Scales of signal and noise in xt, alpha and s, shaped to multiply images."""
    sigma = per_image(sigma, image)
    alpha = schedule.alpha(sigma)
    return alpha, alpha * sigma


def coefficients(prediction_type: str, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """The row of `PREDICTIONS` for a type; for an unknown one, a ValueError that lists the names."""
    if prediction_type not in PREDICTIONS:
        raise ValueError(f"unknown prediction type {prediction_type!r}; choose one of {', '.join(PREDICTIONS)}")
    return PREDICTIONS[prediction_type](alpha, s)


def per_image(sigma: Tensor, image: Tensor) -> Tensor:
    """Noise levels (B,) or () as (B, 1, 1, 1) or (1, 1, 1, 1), in the image's precision and on its device."""
    return sigma.to(image).reshape(-1, *[1] * (image.ndim - 1))
