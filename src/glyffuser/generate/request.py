"""Everything that decides a picture, in one value that travels whole: from the command to the pipeline to the record
beside the picture, and back (`glyffuser sample --again`)."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from tyro.conf import Suppress, UseAppendAction, arg

from glyffuser.base.errors import UserError
from glyffuser.base.names import ETAS, SAMPLER_NAMES, SPACINGS
from glyffuser.config import GUIDANCE, INTERVAL, SAMPLER, STEPS

MAX_GLYPHS = 4096  # per prompt and call
STRENGTH = 0.75  # of an edit that holds nothing
LIST = "list"  # in place of a sampler or a spacing: say what there is
SIDES = ("left", "right", "top", "bottom")  # that can be kept
PART_HELP = (
    "What the glyphs are made of: a part such as 氵, or, with its place (left, right, top, bottom, around, inside, "
    "middle), 馬:right; may be given several times."
)
SAMPLER_HELP = f"One of {', '.join(SAMPLER_NAMES)}; default: the model's own choice. {LIST} says what each is good for."
SPACING_HELP = f"How noise levels lie over the steps: {', '.join(SPACINGS)}. {LIST} says what each is good for."
LATER = ("init", "strength", "keep", "parts", "style", "upscale")  # fields that older records lack


class Usual(NamedTuple):
    """A model's own choice, where a request leaves it open: denoising steps, guidance, sampler and its eta."""

    steps: int = STEPS
    guidance: float = GUIDANCE
    sampler: str = SAMPLER
    eta: float | None = None

    def eta_of(self, sampler: str | None) -> float | None:
        """The eta for a sampler, None being the model's own; the model's eta belongs to its own sampler alone."""
        name = sampler or self.sampler
        if self.eta is not None and name == self.sampler:
            return self.eta
        return ETAS[name].own if name in ETAS else None


@dataclass(frozen=True)
class Request:
    """How the glyphs of one prompt are drawn. The fields are also options of `glyffuser sample`."""

    prompt: Suppress[str] = ""
    """The English meaning."""
    n: Annotated[int, arg(name="n", aliases=["-n"])] = 16
    """Glyphs per prompt."""
    steps: int | None = None
    """Denoising steps; default: the model's own choice."""
    sampler: Annotated[str | None, arg(help=SAMPLER_HELP)] = None
    spacing: Annotated[str, arg(help=SPACING_HELP)] = SPACINGS[0]
    eta: float | None = None
    """How soon a step replaces noise with fresh noise: 0 never; 1 as soon as ddpm does; above 1, for dpm++2m-sde,
    sooner; default: the model's own choice. Only ddim and dpm++2m-sde take it."""
    guidance: float | None = None
    """How strongly the prompt steers; 1 = off; default: the model's own choice."""
    interval: tuple[float, float] = INTERVAL
    """Lowest and highest noise level at which guidance acts; inf means no limit."""
    negative: str | None = None
    """A meaning to steer away from."""
    seed: int = 0
    """A different seed gives different glyphs."""
    radical: int | None = None
    """Kangxi number of the radical, 1 to 214 (167 is metal), or 0 for the text alone, the default."""
    init: str | None = None
    """A character, or a picture file, black on white, to start from; say how far from it with --strength."""
    strength: float | None = None
    """How much of --init to redraw: near 0 almost nothing, 1 everything; default: 0.75, or 1 with --keep."""
    keep: str | None = None
    """The part of --init to hold while the rest is invented: left, right, top, bottom, or a mask file, white there."""
    parts: UseAppendAction[Annotated[tuple[str, ...], arg(name="with", metavar="PART", help=PART_HELP)]] = ()
    """What the glyphs are made of, as `data/components.py: named` reads it."""
    style: str | None = None
    """The hand it is written in, for a model that knows several: one of them, or shares, such as "sans:1, serif:1";
    default: none in particular."""
    upscale: int | None = None
    """Enlarge the glyphs to this many pixels, with the networks that --upscaler names; default: as they are drawn."""
    best_of: int = 1
    """Draw this many times as many glyphs, and keep the best by form and meaning."""
    new: Suppress[bool | None] = None
    """Draw others in place of glyphs that exist as characters; None: if `best_of` is above 1."""

    @property
    def only_new(self) -> bool:
        """Whether glyphs that exist as characters are left out."""
        return self.best_of > 1 if self.new is None else self.new

    @property
    def strong(self) -> float:
        """The strength of an edit."""
        usual = STRENGTH if self.init is not None and self.keep is None else 1.0
        return usual if self.strength is None else self.strength

    def check_edit(self) -> None:
        """UserError for editing options that are out of range or lack another that they need."""
        if self.strength is not None and not 0 < self.strength <= 1:
            raise UserError(f"--strength must be above 0 and at most 1, not {self.strength:g}")
        if self.init == "":
            raise UserError("--init is empty; give it one character, or a picture file")
        if self.init is None and self.keep is not None:
            raise UserError("--keep says which part of a picture is held; give the picture with --init")
        if self.init is None and not self.parts and self.strength is not None:
            raise UserError("--strength says how far glyphs go from a picture; give the picture with --init")

    def check(self) -> None:
        """UserError for too few or too many glyphs, or for a seed or an interval out of range."""
        if not 1 <= self.n <= MAX_GLYPHS:
            raise UserError(
                f"-n must be between 1 and {MAX_GLYPHS}, not {self.n}; for more, run again with another --seed"
            )
        most = MAX_GLYPHS // self.n
        if not 1 <= self.best_of <= most:
            raise UserError(f"--best-of must be between 1 and {most} for {self.n} glyphs, not {self.best_of}")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"the seed must be between 0 and 2^64 - 1, not {self.seed}")
        low, high = self.interval
        if not 0 <= low <= high:
            raise UserError(f"--interval must be between 0 and inf, the lower level first, not {low:g} {high:g}")

    def settled(self, usual: Usual) -> "Request":
        """The request with a model's own steps, guidance and eta where it leaves them open."""
        steps = usual.steps if self.steps is None else self.steps
        guidance = usual.guidance if self.guidance is None else self.guidance
        eta = usual.eta_of(self.sampler) if self.eta is None else self.eta
        return dataclasses.replace(self, steps=steps, guidance=guidance, eta=eta)

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
        """The request as JSON has it: an infinite limit is null, and nothing is left to a default that may change, if
        it was `settled` and names its sampler.
        """
        limits = [None if math.isinf(limit) else limit for limit in self.interval]
        edited = {"strength": self.strong if self.init is not None or self.parts else None, "parts": list(self.parts)}
        return dataclasses.asdict(self) | {"interval": limits, "new": self.only_new} | edited

    @classmethod
    def from_record(cls, facts: Any) -> "Request":
        """The request in a record that `glyffuser sample` wrote; UserError if it is not one."""
        hints = typing.get_type_hints(cls)
        missing = [name for name in hints if not isinstance(facts, dict) or (name not in facts and name not in LATER)]
        if missing:
            raise UserError(f"this is not a record of `glyffuser sample`: it has no {missing[0]!r}")
        limits = facts["interval"]
        if not isinstance(limits, list) or len(limits) != 2:
            raise UserError(f"this is not a record of `glyffuser sample`: its interval is {limits!r}, not two levels")
        interval = tuple(math.inf if limit is None else limit for limit in limits)
        found = {name: facts[name] for name in hints if name in facts} | {"interval": interval}
        if isinstance(found.get("parts"), list):
            found["parts"] = tuple(found["parts"])
        for name, value in found.items():
            if not _fits(value, hints[name]):
                raise UserError(f"this is not a record of `glyffuser sample`: its {name} is {facts[name]!r}")
        if found["eta"] is None and found["sampler"] in ETAS:
            found["eta"] = ETAS[found["sampler"]].own  # what older records meant, before models had an eta of their own
        return cls(**found)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type: a plain one, a choice of them, or a tuple; a whole number is a float too."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if isinstance(hint, types.GenericAlias):
        items = [item for item in typing.get_args(hint) if item is not Ellipsis]
        return isinstance(value, tuple) and all(_fits(item, items[0]) for item in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint)
