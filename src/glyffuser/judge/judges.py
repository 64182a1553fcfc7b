"""The judges: three small networks that read glyphs and prompts, loaded together, and their verdicts on pictures.

There are two sets. The judges proper score, and do nothing else. The selector, a separate recogniser and plausibility
network (another seed, other widths, other flaws), chooses for `sample --best-of`: whatever chooses must not score what
it chose, since it would praise its own mistakes. Both share the prior, which reads prompts, not glyphs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.files import atomic_path
from glyffuser.base.weights import BROKEN, load_network, weights_hash
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.plausibility import Plausibility
from glyffuser.judge.recogniser import Recogniser
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import RadicalPrior

BUNDLED_JUDGES = Path(__file__).parent / "weights"
BUNDLED_SELECTOR = BUNDLED_JUDGES / "selector"
PARTS = {"recogniser": Recogniser, "plausibility": Plausibility, "prior": RadicalPrior}
NETWORKS = {**PARTS, "contrastive": Contrastive}  # all that `train-judges` writes
PAIR = ("recogniser", "plausibility")  # the parts that read glyphs, and the only ones of a selector


@dataclass
class Judged:
    """N glyphs and what the judges say about them.

    images: uint8 (N, H, W); features: (N, D); radical: log-probabilities (N, 214); strokes: (N,); flaws: scores (N,),
    higher = worse; maps: where, (N, 16, 16); flagged: whether a glyph is worse than 95 % of real ones, (N,) bool.
    """

    images: np.ndarray
    features: Tensor
    radical: Tensor
    strokes: Tensor
    flaws: Tensor
    maps: Tensor
    flagged: Tensor

    READ: ClassVar[tuple[str, ...]] = ("features", "radical", "strokes", "flaws", "maps", "flagged")

    def __len__(self) -> int:
        return len(self.images)

    def hits(self, radicals: Sequence[int]) -> Tensor:
        """Which glyphs are read as having one of these radicals, (N,) bool."""
        return torch.isin(self.radical.argmax(dim=1) + 1, torch.tensor(radicals))

    def __add__(self, other: "Judged") -> "Judged":
        """These glyphs, followed by the others."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.READ)
        return Judged(np.concatenate([self.images, other.images]), *(torch.cat(pair) for pair in pairs))

    def part(self, rows: slice | Tensor) -> "Judged":
        """Some of the glyphs."""
        which = np.arange(len(self))[rows if isinstance(rows, slice) else rows.numpy()]
        return Judged(self.images[which], *(getattr(self, name)[which] for name in self.READ))


class Judges:
    """Recogniser, plausibility and prior, in float32 and set to evaluation."""

    def __init__(self, recogniser: Recogniser, plausibility: Plausibility, prior: RadicalPrior):
        # Convolutions are fast on a CPU in channels-last order.
        self.recogniser, self.plausibility = (
            network.float().eval().to(memory_format=torch.channels_last) for network in (recogniser, plausibility)
        )
        self.prior = prior.float().eval()

    def __call__(self, images: np.ndarray | Tensor) -> Judged:
        """Judge uint8 pictures (N, H, H), ink 0, paper 255. UserError for pictures in any other form."""
        reading = self.recogniser.read(images)
        flaws, maps = self.plausibility.score(images)
        flagged = flaws > self.plausibility.config.threshold
        return Judged(np.asarray(images), reading.features, reading.radical, reading.strokes, flaws, maps, flagged)

    def merit(self, judged: Judged, expected: Tensor) -> Tensor:
        """How well glyphs suit prompts, (N,): log-probability that meaning and form are both right.

        `expected`: log-probabilities of radicals (N, 214) or (214,), see RadicalPrior. Meaning: the chance that the
        glyph's radical is the one that the prompt leads one to expect. Form: the logistic function of how far the flaw
        score lies below its threshold.
        """
        meaning = torch.logsumexp(judged.radical + expected, dim=1)
        return meaning + F.logsigmoid(self.plausibility.config.threshold - judged.flaws)

    def expect(self, encoder: TextEncoder, texts: list[str]) -> Tensor:
        """Log-probabilities (N, 214) of the radicals that texts lead one to expect, as `encoder` reads them.

        UserError for an encoder other than the judges' own.
        """
        self.check(encoder)
        return self.prior.expect(encoder, texts)

    def check(self, encoder: TextEncoder) -> None:
        """UserError unless the judges read texts as this encoder does."""
        if not self.understand(encoder):
            raise UserError(
                "meaning is judged with the text encoder minilm; this model has another: sample without --best-of"
            )

    def understand(self, encoder: TextEncoder) -> bool:
        """Whether the judges read texts as this encoder does, as far as the prior records its own."""
        return self.prior.config.encoder in ("", encoder.fingerprint(whole=True))

    def hashes(self) -> dict[str, str]:
        """A hash of each judge's weights, for reports: numbers from different judges must not be compared."""
        return {name: weights_hash(getattr(self, name)) for name in PARTS}

    def save(self, folder: Path, parts: Sequence[str] = tuple(PARTS)) -> None:
        """Write parts as model folders, in bfloat16; these judges are left with the same rounded weights."""
        for name in parts:
            network = getattr(self, name).to(memory_format=torch.contiguous_format).bfloat16()
            with atomic_path(folder / name) as temporary:
                network.save_pretrained(temporary)
            network.float()


def load_judges(folder: str | Path = BUNDLED_JUDGES) -> Judges:
    """The judges that `save` wrote; default: the bundled ones. UserError if one is missing or damaged."""
    return Judges(*(load_part(Path(folder), name) for name in PARTS))


def load_selector(folder: str | Path = BUNDLED_SELECTOR) -> Judges:
    """The judges that choose and never score: the pair in `folder`, with the bundled prior. UserError as above."""
    recogniser, plausibility = (load_part(Path(folder), name) for name in PAIR)
    return Judges(recogniser, plausibility, load_part(BUNDLED_JUDGES, "prior"))


def load_contrastive(folder: str | Path = BUNDLED_JUDGES) -> tuple[Contrastive, Recogniser]:
    """The contrastive model in a folder of judges, and the recogniser it stands on: the folder's own, or the bundled
    one if it has none. UserError as above.
    """
    network, recogniser = load_part(Path(folder), "contrastive"), load_recogniser(Path(folder))
    return network.float().eval(), recogniser


def load_recogniser(folder: Path) -> Recogniser:
    """The recogniser in a folder of judges, or the bundled one if it has none."""
    own = (folder / "recogniser" / "config.json").is_file()
    recogniser = load_part(folder if own else BUNDLED_JUDGES, "recogniser")
    return recogniser.float().eval().to(memory_format=torch.channels_last)


def load_part(folder: Path, name: str) -> Any:
    """Load one of NETWORKS. UserError if it is missing or damaged."""
    if not (folder / name / "config.json").is_file():
        raise UserError(f"{folder} holds no {name}; name a folder that `glyffuser train-judges` wrote")
    try:
        return load_network(NETWORKS[name], folder / name)
    except BROKEN as error:
        raise UserError(f"cannot load the {name} in {folder}: {in_one_line(error)}; train or copy it again") from error
