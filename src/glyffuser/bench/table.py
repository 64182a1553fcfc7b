"""What a benchmark found, as a table."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Table:
    """Rows under the same columns, with notes on how to read them.

    A row holds one value per column: text, whole numbers, or fractions, which are printed to three figures, or as whole
    numbers from 1000 on.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *values: Any) -> None:
        """Add a row; ValueError unless it has one value per column."""
        if len(values) != len(self.columns):
            raise ValueError(f"{len(values)} values for {len(self.columns)} columns")
        self.rows.append(values)

    def lines(self) -> list[str]:
        """The table in Markdown, its columns aligned, with the notes below."""
        cells = [[str(name) for name in self.columns], *([_plain(value) for value in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        first, *others = (
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in cells
        )
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return [self.title, "", first, rule, *others, *([""] if self.notes else []), *self.notes]


def _plain(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * share:.0f} %"
