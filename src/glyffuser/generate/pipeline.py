"""GlyffuserPipeline: prompts in, glyphs out, as diffusers users know it, with every step open to view."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.base.names import SPACINGS
from glyffuser.base.noise import Generators, noise_source
from glyffuser.base.pictures import to_output
from glyffuser.base.weights import to_aligned_memory
from glyffuser.config import BUNDLED, INTERVAL
from glyffuser.data.components import Part
from glyffuser.diffusion.brownian import brownian_path
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.editing import Edit, composed
from glyffuser.diffusion.guidance import Denoiser, classifier_free, denoiser
from glyffuser.diffusion.samplers import PATHWISE, SAMPLERS
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.hands import blended, shares_of
from glyffuser.generate.mixtures import together
from glyffuser.generate.request import Usual
from glyffuser.generate.schedulers import GlyffuserScheduler, GlyphStep, check_sampler, scheduler_steps
from glyffuser.generate.steady import steady
from glyffuser.generate.told import check_told, condition, part_numbers, style_number, wished
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.conditioned import ConditionedNetwork, arguments
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower


@dataclass
class GlyphOutput(BaseOutput):
    """`images`: PIL pictures (mode L), or an array (B, H, W, C) in [0, 1], or a tensor (B, C, H, W) in [-1, 1]."""

    images: Any


class GlyffuserPipeline(DiffusionPipeline):
    """Text -> glyphs.

    Components: `unet` (glyffuser.UNet or glyffuser.Transformer; diffusers' users know either by this name),
    `text_encoder` (glyffuser.TextEncoder), `scheduler` (GlyffuserScheduler, or any diffusers scheduler),
    `tower` (glyffuser.TextTower, or None for a network that takes token states alone),
    `vae` (glyffuser.Autoencoder, with which `stream` yields latents, or None where diffusion works on pixels).
    `GlyffuserPipeline.from_pretrained()` loads one; without a folder, the bundled model.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    model_cpu_offload_seq = "text_encoder->tower->unet->vae"
    engine = "torch"  # what runs the denoiser, for the records
    _optional_components: ClassVar[list[str]] = ["tower", "vae"]  # a list, since diffusers adds to it

    def __init__(
        self,
        unet: ConditionedNetwork,
        text_encoder: TextEncoder,
        scheduler: SchedulerMixin,
        tower: TextTower | None = None,
        vae: Autoencoder | None = None,
    ):
        super().__init__()
        self.register_modules(unet=unet, text_encoder=text_encoder, scheduler=scheduler, tower=tower, vae=vae)

    @classmethod
    def from_pretrained(cls, folder: str | Path = BUNDLED, **kwargs: Any) -> "GlyffuserPipeline":
        """Load from a folder in diffusers' layout (default: the bundled model), on the CPU, in float32."""
        kwargs.setdefault("local_files_only", True)
        kwargs.setdefault("use_safetensors", True)  # weights in any other form are pickles, which can run code
        pipe = super().from_pretrained(folder, **kwargs)
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                to_aligned_memory(part)
        return pipe

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """What model_index.json says. Older models, which name the modules of their classes, load too."""
        found = super().load_config(*args, **kwargs)
        config = found[0] if isinstance(found, tuple) else found
        if any(config.pop("prior", [])):
            raise UserError("this model draws its radicals by a prior, as the first versions did; train it anew")
        for name, place in config.items():
            if isinstance(place, list | tuple) and str(place[0]).startswith("glyffuser."):
                config[name] = ["glyffuser", place[1]]
        return found

    @property
    def schedule(self) -> Schedule:
        """The noise schedule that the network was trained under, whichever scheduler samples."""
        return self.unet.process.schedule

    @property
    def size(self) -> int:
        """Height and width of the glyphs, pixels."""
        return self.unet.config.sample_size if self.vae is None else self.vae.config.sample_size

    def decode(self, x: Tensor) -> Tensor:
        """Glyphs (B, C, H, W) from what `stream` yields: decoded for a latent model, unchanged for any other."""
        return x if self.vae is None else self.vae.to_images(x)

    def __call__(
        self,
        prompt: str | list[str],
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        **settings: Any,
    ) -> GlyphOutput | tuple[Any]:
        """Draw glyphs for one or several English prompts; those of the first prompt come first.

        Args:
            output_type: "pil", "np" or "pt".
            callback_on_step_end: called as f(pipe, i, t, {"latents": x, "x0": x0}), x the sampler's own state (see
                GlyphStep); if it returns a dict with "latents", sampling continues from those.
            settings: those of `stream`: num_images_per_prompt, guidance_scale, generator and so on.

        Raises: UserError for a setting out of range or a prompt that cannot be read.
        """
        images = torch.empty(0)
        for step in self.stream(prompt, **settings):
            if callback_on_step_end is not None:
                changed = callback_on_step_end(self, step.i, step.t, {"latents": step.x, "x0": step.x0})
                if changed and "latents" in changed:
                    step.x.copy_(changed["latents"])
            images = step.x
        images = to_output(self.decode(images), output_type)
        return GlyphOutput(images=images) if return_dict else (images,)

    def stream(
        self,
        prompt: str | list[str],
        negative_prompt: str | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] = INTERVAL,
        sampler: str | None = None,
        spacing: str = SPACINGS[0],
        eta: float | None = None,
        generator: Generators = None,
        latents: Tensor | None = None,
        radical: int | None = None,
        parts: Sequence[Part] = (),
        style: str | Sequence[str] | None = None,
        edit: Edit | None = None,
        alike: bool = False,
    ) -> Iterator[GlyphStep]:
        """The generator behind `__call__`: yields a GlyphStep per step; the last x is the result.

        Args:
            prompt: English, one or several; "fire:1, water:0.5" is a mixture, see generate/mixtures.py.
            negative_prompt: what to steer away from, for all prompts; default: the empty prompt.
            num_inference_steps: 1 or more; default: what the model's scheduler says.
            guidance_scale: 1 = off; default: what the model's scheduler says.
            guidance_interval: noise levels (low, high) between which guidance acts.
            sampler: one of SAMPLERS; default: that of `self.scheduler`, which may be any diffusers scheduler.
            spacing: how the noise levels of our own samplers lie over the steps: one of SPACINGS, see Schedule.sigmas.
            eta: how soon noise is replaced by fresh noise, for samplers in ETAS; default: the model's own, for its own
                sampler, or else the sampler's.
            generator: one, or one per glyph (then a glyph does not depend on the others), on the CPU or the device;
                or a noise source, as samplers take it.
            latents: starting noise, standard normal (B, C, H, W), instead of the generator's.
            radical: Kangxi number, 1 ... 214, for all glyphs, or 0: the text alone; for a network that takes one.
            parts: components with their places, for a network that takes them.
            style: one of those that the network knows, or shares of several, see generate/hands.py; one for all
                glyphs, or one per prompt; default: none in particular.
            edit: a picture to start from or to hold a part of; only our own samplers can do that.
            alike: whether a glyph is to be the same to the last bit whatever is drawn with it, see generate/steady.py.

        Raises: UserError for a setting out of range or a prompt that cannot be read.
        """
        config, usual = self.unet.config, self.usual
        num_inference_steps = usual.steps if num_inference_steps is None else num_inference_steps
        guidance_scale = usual.guidance if guidance_scale is None else guidance_scale
        eta = usual.eta_of(sampler) if eta is None else eta
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        texts, weights = together(prompts)
        self.check(texts, num_images_per_prompt, num_inference_steps, guidance_scale, negative_prompt)
        check_sampler(sampler, self.sampler_name, spacing, eta, edit is not None or callable(generator))
        styles, shares = shares_of(style, len(prompts))
        check_told(config, styles, radical or 0, parts)
        cond = self.condition(texts, num_images_per_prompt, styles[0])
        several = weights.repeat_interleave(num_images_per_prompt, dim=1) if len(weights) > 1 else None
        guided = partial(self.denoiser, guidance_scale, negative_prompt, guidance_interval, several, alike=alike)
        D = guided(styles[0])
        if len(styles) > 1:
            each = [(style_number(config, name), guided(name)) for name in styles]
            D = blended(each, shares.repeat_interleave(num_images_per_prompt, dim=1))
        shape = (len(cond) // len(weights), config.in_channels, config.sample_size, config.sample_size)
        noise = noise_source(generator, shape[0])
        x = noise(torch.empty(shape, device=self.device))  # drawn in any case: later draws depend on it
        x = x if latents is None else latents.to(self.device)
        cond = replace(cond, radical=wished(cond, radical or 0))
        if parts:
            cond = replace(cond, parts=part_numbers(config, parts).to(self.device).expand(len(cond), -1, -1))
        if sampler is None and not isinstance(self.scheduler, GlyffuserScheduler):
            assert not callable(generator)  # refused above
            highest = self.schedule.sigma_max()
            yield from scheduler_steps(self.scheduler, D, highest, x, num_inference_steps, cond, generator)
            return
        sigmas = self.schedule.sigmas(num_inference_steps, spacing=spacing)
        name = sampler or self.scheduler.config.sampler
        if name in PATHWISE and num_inference_steps > 1 and (edit is None or edit.kept is None or edit.times == 1):
            noise = brownian_path(shape, self.schedule, noise(torch.empty(shape[0], 1, 1, 1, device=self.device)))
        draw = SAMPLERS[name] if eta is None else partial(SAMPLERS[name], eta=eta)
        edited = edit.draw(draw, D, x, sigmas, cond, noise) if edit else draw(D, sigmas[0] * x, sigmas, cond, noise)
        for step in edited:
            t = float(self.schedule.timestep(step.sigma)) if step.sigma > 0 else 0.0
            yield GlyphStep(step.i, t, step.x, step.x0, float(self.schedule.alpha(step.sigma)))

    def denoiser(
        self,
        guidance_scale: float = 1.0,
        negative_prompt: str | None = None,
        guidance_interval: tuple[float, float] = INTERVAL,
        weights: Tensor | None = None,
        style: str | None = None,
        alike: bool = False,
    ) -> Denoiser:
        """The network as a denoiser D(x, sigma, cond), with guidance unless the scale is 1.

        `condition` makes the cond that it expects; with `weights` (K, B), that of K prompts for each of B glyphs. What
        guidance steers away from is in the same style: so it strengthens the meaning and leaves the hand alone.
        `alike`: as in `stream`.
        """
        D = steady(self.unguided()) if alike else self.unguided()
        if weights is None and guidance_scale == 1:
            return D
        negative = self.condition([(negative_prompt or "").strip()], style=style)
        if weights is None:
            return classifier_free(D, guidance_scale, negative, guidance_interval)
        return composed(D, weights, guidance_scale, negative, guidance_interval)

    def unguided(self) -> Denoiser:
        """The network as a denoiser, without guidance."""
        return denoiser(self.network, self.unet.process)

    def network(self, xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        """What the network predicts, float32 (B, C, H, W), for noised images xt at timesteps t (B,); no gradient."""
        cond = self.condition([""]).repeat(len(xt)) if cond is None else cond
        with torch.no_grad(), fast_matmul(self.device):
            return self.unet(xt, t, **arguments(cond), return_dict=False)[0].float()

    @property
    def sampler_name(self) -> str:
        """The sampler used if none is named: one of SAMPLERS, or the class of a diffusers scheduler."""
        own = isinstance(self.scheduler, GlyffuserScheduler)
        return self.scheduler.config.sampler if own else type(self.scheduler).__name__

    @property
    def usual(self) -> Usual:
        """The steps, the guidance, the sampler and its eta that are used if none are named."""
        own = isinstance(self.scheduler, GlyffuserScheduler)
        told = {name: self.scheduler.config[name] for name in Usual._fields} if own else {"sampler": self.sampler_name}
        return Usual(**told | ({"guidance": 1.0} if self.unconditional else {}))  # there is nothing to guide by

    def condition(self, prompts: list[str], repeats: int = 1, style: str | None = None) -> Condition:
        """What the network is given for the prompts, each `repeats` times over: see `generate/told.py: condition`."""
        read = partial(condition, self.unet.config, self.text_encoder, self.tower, self.device)
        return read(prompts, repeats, style)

    @property
    def styles(self) -> list[str]:
        """The styles that the network knows, in the order of their numbers, from 1."""
        return list(self.unet.config.get("styles") or ())

    @property
    def unconditional(self) -> bool:
        """Whether the network takes no text; then the only prompt is the empty one."""
        return self.unet.config.get("text_route") == "none"

    def read(self, prompt: str) -> str:
        """The prompt, stripped; UserError for one that cannot be read, or for any where the model takes no text."""
        if not self.unconditional:
            return self.text_encoder.check(prompt)
        if prompt.strip():
            raise UserError("this model takes no text: it was trained without; leave the prompt out")
        return ""

    def check(self, prompts: list[str], images: int, steps: int, guidance: float, negative: str | None) -> None:
        """UserError for a prompt that cannot be read or a setting out of range."""
        negative = (negative or "").strip()
        if self.unconditional and (guidance != 1 or negative):
            raise UserError("this model takes no text to steer by; leave --negative out, and --guidance out or at 1")
        for text in prompts or [""]:
            self.read(text)
        if negative:
            try:
                self.read(negative)
            except UserError as error:
                raise UserError(f"--negative: {error}") from error
        if images < 1:
            raise UserError(f"the number of glyphs must be 1 or more, not {images}")
        if not 1 <= steps <= self.schedule.T:
            raise UserError(f"the number of steps must be between 1 and {self.schedule.T}, not {steps}")
        if not np.isfinite(guidance):
            raise UserError(
                f"guidance must be a finite number, not {guidance}; 1 turns it off, {self.usual.guidance:g} is usual"
            )
