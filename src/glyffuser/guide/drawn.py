"""What a figure function returns: the same for a notebook, a file and a page.

A notebook shows `Still.figure` as it is; `Animation.frames` and `Sliders.pictures` are PIL pictures. `store.py` and
`build.py` turn these into files, `site/pages.py` puts them on pages.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from glyffuser.base.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Missing(UserError):
    """A figure lacks an input. Its one line says which and how to get it, and is shown in the figure's place."""


@dataclass(frozen=True)
class Still:
    """One picture. `alt` says in a sentence what it shows, for those who cannot see it; `caption`, what to look for."""

    figure: "Figure"
    alt: str
    caption: str


@dataclass(frozen=True)
class Animation:
    """Pictures of one size in time order, each with a label ("t = 820"), shown at `fps` per second.

    `rest` is the index of the frame shown before it plays, in print, and to readers who prefer no motion.
    """

    frames: list[Image.Image]
    alt: str
    caption: str
    labels: list[str]
    fps: float = 12.0
    rest: int = -1

    def __post_init__(self) -> None:
        if not self.frames or len(self.labels) != len(self.frames):
            raise ValueError(f"{len(self.frames)} frames with {len(self.labels)} labels")
        if len({frame.size for frame in self.frames}) > 1:
            raise ValueError("the frames of an animation must have the same size")


@dataclass(frozen=True)
class Slider:
    """One control: a short `name`, the `label` that the reader sees, its values as text, and the first one's index."""

    name: str
    label: str
    values: list[str]
    start: int = 0


@dataclass(frozen=True)
class Sliders:
    """Pictures of one size, one for every combination of slider positions: pictures[(i, j, ...)], i of sliders[0]."""

    sliders: list[Slider]
    pictures: dict[tuple[int, ...], Image.Image]
    alt: str
    caption: str

    def __post_init__(self) -> None:
        if len({picture.size for picture in self.pictures.values()}) != 1:
            raise ValueError("the pictures behind sliders must have the same size")
        if self.start not in self.pictures:
            raise ValueError(f"no picture for the sliders' first positions {self.start}")

    @property
    def start(self) -> tuple[int, ...]:
        """The sliders' starting positions."""
        return tuple(slider.start for slider in self.sliders)


@dataclass(frozen=True)
class Tabs:
    """Several drawings of one kind of thing, one seen at a time: (what the tab says, what it shows)."""

    tabs: list[tuple[str, "Still | Animation | Sliders"]]
    alt: str
    caption: str


@dataclass(frozen=True)
class Page:
    """A figure that brings its own interactive HTML (a fragment without <html>), and a still for files and print."""

    html: str
    still: "Figure"
    alt: str
    caption: str
    facts: dict[str, float] = field(default_factory=dict)


Drawn = Still | Animation | Sliders | Tabs | Page
