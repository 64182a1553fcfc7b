"""The desk where pairs are labelled: waiting pairs, drawn ahead by a thread, and labelled ones, kept in a file."""

import base64
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.data.pairs import Pair, PairFile
from glyffuser.generate.pairs import PairSource

AHEAD = 8  # pairs drawn before they are asked for


class Refused(Exception):
    """A request refused, with an HTTP status and a reason in words."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class Closed(Exception):
    """The desk was closed while a pair was being drawn."""


class Desk:
    """Pairs one after another: drawn ahead, shown, chosen from, kept.

    Args:
        source: what draws the pairs.
        file: where choices are kept; it may hold some already. UserError if those come from another source.
        limit: how many pairs there are in all; None for no end.
    """

    def __init__(self, source: PairSource, file: PairFile, limit: int | None = None):
        file.check(source.blank(0))
        self.source, self.file, self.limit = source, file, limit
        self.waiting: dict[int, Pair] = {}
        self.changed, self.closed = threading.Condition(), False

    def draw_ahead(self) -> None:
        """Draw those of the next pairs that are missing, until the desk is closed."""
        while (number := self._missing()) is not None:
            try:
                pair = self.source.draw(number, self._tick)
            except Closed:
                return
            with self.changed:
                self.waiting[number] = pair

    def _missing(self) -> int | None:
        """Wait for a pair to draw, and return its number; None once the desk is closed."""
        with self.changed:
            while not self.closed:
                after = self.file.next + AHEAD if self.limit is None else min(self.file.next + AHEAD, self.limit)
                for number in range(self.file.next, after):
                    if number not in self.waiting:
                        return number
                self.changed.wait()
        return None

    def _tick(self, done: int, total: int) -> None:
        if self.closed:
            raise Closed

    def close(self) -> None:
        """End `draw_ahead`, even in the middle of a drawing."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def shown(self) -> dict[str, Any]:
        """What the page shows now: the pair's number; its meaning, null once all are labelled; its pictures, null while
        they are being drawn; how many pairs are labelled, and how many of those as both bad; how many there are in all,
        null without an end; and the name of the file.
        """
        with self.changed:
            number = self.file.next
            over = self.limit is not None and number >= self.limit
            pair = None if over else self.waiting.get(number)
            return {
                "pair": number,
                "prompt": None if over else self.source.blank(number).prompt,
                "pictures": None if pair is None else [data_url(pair.left), data_url(pair.right)],
                "labelled": len(self.file),
                "bad": sum(pair.choice == "bad" for pair in self.file.pairs),
                "limit": self.limit,
                "file": self.file.path.name,
            }

    def choose(self, number: int, choice: str) -> None:
        """Keep a choice for the pair shown. Refused for any other pair, or if the file cannot be written."""
        with self.changed:
            pair = self.waiting.get(number)
            if number != self.file.next or pair is None:
                raise Refused(409, f"pair {number} is not the one that is shown")
            self._kept(partial(self.file.add, self.source.chosen(pair, choice)))
            del self.waiting[number]
            self.changed.notify_all()

    def undo(self, number: int) -> None:
        """Take back the last choice. Refused if there is none, for any pair but the one shown, or if writing fails."""
        with self.changed:
            if number != self.file.next:
                raise Refused(409, f"pair {number} is not the one that is shown")
            if not len(self.file):
                raise Refused(409, "nothing has been labelled yet")
            pair = self._kept(self.file.take_back)
            self.waiting[pair.pair] = replace(pair, judge=self.source.judge)

    def _kept(self, write: Callable[[], Any]) -> Any:
        try:
            return write()
        except (UserError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Refused(
                507, f"{self.file.path.name} could not be written, so nothing has changed: {reason}"
            ) from error


def data_url(data: bytes) -> str:
    """A PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
