"""Animations of sheets of glyphs: matplotlib draws the titles once, pictures are pasted pixel for pixel."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from glyffuser.guide import style

GAP = 8  # pixels between glyphs


class SheetFrame:
    """A frame for square sheets side by side, each under a title; `frame(sheets)` gives the picture.

    Args:
        titles: (text, colour) of each sheet.
        shape: height and width of each sheet in pixels.
        note: whether to leave room below for `foot`, a line of text that can change from frame to frame.
    """

    def __init__(self, titles: Sequence[tuple[str, str]], shape: tuple[int, int], note: bool = False):
        self.height, self.width = shape
        self.margin, self.top, self.between = 24, 60, 56
        self.bottom = 56 if note else 24
        self.lefts = [self.margin + i * (self.width + self.between) for i in range(len(titles))]
        self.size = (self.lefts[-1] + self.width + self.margin, self.top + self.height + self.bottom)
        self.blank = self._text(
            [(left, 40.0, text, colour, 13.0) for left, (text, colour) in zip(self.lefts, titles, strict=True)]
        )

    def _text(self, words: list[tuple[float, float, str, str, float]]) -> Image.Image:
        """An empty frame with words at (x, baseline from the top, text, colour, points)."""
        with style.applied():
            fig = style.figure(self.size[1] / style.DPI, self.size[0] / style.DPI)
            fig.set_layout_engine("none")
            for x, y, text, colour, points in words:
                fig.text(x / self.size[0], 1 - y / self.size[1], text, color=colour, fontsize=points)
            return style.to_image(fig).resize(self.size)

    def frame(self, sheets: Sequence[np.ndarray], foot: str = "") -> Image.Image:
        """The frame with these sheets, each uint8 (height, width) or (height, width, 3)."""
        made = self.blank.copy()
        for left, sheet in zip(self.lefts, sheets, strict=True):
            made.paste(Image.fromarray(sheet).convert("RGB"), (left, self.top))
        if foot:
            line = self._text([(self.lefts[0], self.size[1] - 20.0, foot, style.INK, 11.0)])
            box = (0, self.top + self.height, *self.size)
            made.paste(line.crop(box), box[:2])
        return made
