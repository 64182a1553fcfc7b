"""The names that settings may take: noise schedules, predictions, samplers and so on.

They are kept apart from what they name, so that the command line and the configuration know them without torch. The
tables in `networks/`, `diffusion/` and `train/` have one entry per name, as tests check.
"""

from typing import NamedTuple

KINDS = ("unet", "transformer")  # of denoising networks
COMPANIONS = ("upscaler", "autoencoder")  # networks that a model may have besides its denoising network
TEXT_ROUTES = ("both", "attention", "pooled", "none")  # by which a text reaches a network
SCHEDULES = ("linear", "cosine", "flow")
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction", "flow_prediction")  # as diffusers calls them
TIMESTEPS = ("uniform", "logit_normal")  # distributions of training timesteps
WEIGHTINGS = ("simple", "epsilon", "velocity", "min_snr", "sample")  # of the loss
SAMPLER_NAMES = (
    *("ddpm", "ddpm-large", "ddim", "euler", "euler-ancestral", "heun", "dpm++2m", "dpm++2m-sde", "dpm-sde", "unipc"),
)


class Eta(NamedTuple):
    """How soon noise is replaced by fresh noise: a sampler's default, and the most it takes."""

    own: float
    most: float


ETAS = {"ddim": Eta(0.0, 1.0), "dpm++2m-sde": Eta(1.0, 1000.0)}  # the samplers that take one, 0 or more
SPACINGS = ("linspace", "trailing", "leading", "log_snr", "karras")  # of the noise levels of sampling
OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("no", "bf16", "fp16")  # as accelerate calls them
DISTILLATIONS = ("guidance", "consistency", "moments")  # what a student learns from its teacher
