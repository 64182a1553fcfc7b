"""Everything that decides a picture, in one value that travels whole: from the command to the pipeline to the record
beside the picture, and back (`glyffuser sample --again`)."""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Suppress, arg

from glyffuser.base.errors import UserError
from glyffuser.base.names import SAMPLER_NAMES, SPACINGS
from glyffuser.config import GUIDANCE, INTERVAL, STEPS

MAX_GLYPHS = 4096  # per prompt and call
LATER = {"style": None}  # what records of earlier versions lack


@dataclass(frozen=True)
class Request:
    """How the glyphs of one prompt are drawn. The fields are also options of `glyffuser sample`."""

    prompt: Suppress[str] = ""
    """The English meaning."""
    n: Annotated[int, arg(name="n", aliases=["-n"])] = 16
    """Glyphs per prompt."""
    steps: int = STEPS
    """Denoising steps."""
    sampler: Annotated[str | None, arg(help=f"One of {', '.join(SAMPLER_NAMES)}; default: the model's own choice.")] = (
        None
    )
    spacing: Annotated[str, arg(help=f"How noise levels lie over the steps: {', '.join(SPACINGS)}.")] = SPACINGS[0]
    eta: float | None = None
    """How much fresh noise ddim adds at each step: 0 is none, 1 as much as ddpm; other samplers do not take it."""
    guidance: float = GUIDANCE
    """How strongly the prompt steers; 1 = off."""
    interval: tuple[float, float] = INTERVAL
    """Lowest and highest noise level at which guidance acts; inf means no limit."""
    negative: str | None = None
    """A meaning to steer away from."""
    seed: int = 0
    """A different seed gives different glyphs."""
    radical: int | None = None
    """Kangxi number of the radical, 1 to 214 (167 is metal), or 0: the text alone; default: what the model chooses."""
    style: str | None = None
    """The hand it is written in, for a model that knows several, such as serif; default: none in particular."""
    best_of: int = 1
    """Draw this many times as many glyphs, and keep the best by form and meaning."""
    new: Suppress[bool | None] = None
    """Draw others in place of glyphs that exist as characters; None: if `best_of` is above 1."""

    @property
    def only_new(self) -> bool:
        """Whether glyphs that exist as characters are left out."""
        return self.best_of > 1 if self.new is None else self.new

    def check(self) -> None:
        """UserError for too few or too many glyphs, or for a seed out of range."""
        if not 1 <= self.n <= MAX_GLYPHS:
            raise UserError(
                f"-n must be between 1 and {MAX_GLYPHS}, not {self.n}; for more, run again with another --seed"
            )
        most = MAX_GLYPHS // self.n
        if not 1 <= self.best_of <= most:
            raise UserError(f"--best-of must be between 1 and {most} for {self.n} glyphs, not {self.best_of}")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"the seed must be between 0 and 2^64 - 1, not {self.seed}")

    def settings(self) -> dict[str, Any]:
        """The settings under the names that diffusers' pipelines use, for `GlyffuserPipeline.stream`."""
        return {
            "negative_prompt": self.negative,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "guidance_interval": self.interval,
            "sampler": self.sampler,
            "spacing": self.spacing,
            "eta": self.eta,
            "radical": self.radical,
            "style": self.style,
        }

    def record(self) -> dict[str, Any]:
        """The request as JSON has it: a limit at infinity is null, and nothing is left to a default that may change."""
        limits = [None if math.isinf(limit) else limit for limit in self.interval]
        return dataclasses.asdict(self) | {"interval": limits, "new": self.only_new}

    @classmethod
    def from_record(cls, facts: Any) -> "Request":
        """The request in a record that `glyffuser sample` wrote; UserError if it is not one."""
        facts = LATER | facts if isinstance(facts, dict) else facts
        hints = {field.name: field for field in dataclasses.fields(cls)}
        missing = [name for name in hints if not isinstance(facts, dict) or name not in facts]
        if missing:
            raise UserError(f"this is not a record of `glyffuser sample`: it has no {missing[0]!r}")
        limits = facts["interval"]
        if not isinstance(limits, list) or len(limits) != 2:
            raise UserError(f"this is not a record of `glyffuser sample`: its interval is {limits!r}, not two levels")
        interval = tuple(math.inf if limit is None else limit for limit in limits)
        found = {name: facts[name] for name in hints} | {"interval": interval}
        for name, hint in typing.get_type_hints(cls).items():
            kinds = (int, float) if float in (hint, *typing.get_args(hint)) else ()
            values = interval if name == "interval" else (found[name],)
            if not all(isinstance(value, kinds or hint) or (value is None and name == "eta") for value in values):
                raise UserError(f"this is not a record of `glyffuser sample`: its {name} is {facts[name]!r}")
        return cls(**found)
