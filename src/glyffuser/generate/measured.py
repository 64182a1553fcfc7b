"""What samplers and spacings are good for, from measurements: samplers.json, which `benchmarks/samplers.py` writes.

Reading it needs no torch, so that `glyffuser sample --sampler list` answers at once.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glyffuser.base.files import write_text

TABLE = Path(__file__).with_name("samplers.json")


@dataclass(frozen=True)
class Row:
    """Some glyphs, drawn in one way and judged.

    hits, flagged, sound: shares with the right radical, with a flaw, and with the right radical and no flaw.
    evaluations: of the network, per glyph. noisy: whether fresh noise is drawn on the way.
    """

    sampler: str
    spacing: str
    steps: int
    evaluations: int
    noisy: bool
    hits: float
    flagged: float
    sound: float


@dataclass
class Table:
    """All rows, of `glyphs` glyphs each by the model with the hash `model`, and the command that measured them."""

    command: str
    model: str
    glyphs: int
    rows: list[Row]

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @property
    def chance(self) -> float:
        """How far apart two shares must be not to be taken for chance: two standard errors of a difference.

        It is computed for shares of one half, which vary most.
        """
        return 2 * math.sqrt(0.5 / self.glyphs)


def read_table(path: Path = TABLE) -> Table:
    """The table in a file that `Table.save` wrote."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    return Table(**facts | {"rows": [Row(**row) for row in facts["rows"]]})


def verdict(rows: Sequence[Row], table: Table) -> str:
    """What a sampler or spacing is good for: from how many steps on it is not measurably worse than the best."""
    goal = max(row.sound for row in table.rows) - table.chance
    rows = sorted(rows, key=lambda row: row.steps)
    good = [row.steps for row in rows if all(later.sound >= goal for later in rows if later.steps >= row.steps)]
    if good:
        return f"good from {good[0]} steps on"
    best = max(rows, key=lambda row: row.sound)
    return f"worse than the best at all of these; least so at {best.steps} steps"


def listing(
    table: Table, names: Sequence[str], name_of: Callable[[Row], str], rows: Sequence[Row]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Facts for machines and lines for people: one of each per name, and a last line that says what was measured."""
    counts = sorted({row.steps for row in rows})
    head = f"{'':16} {'calls a step':>12} {'fresh noise':>12}" + "".join(f"{n:>5} steps" for n in counts)
    facts, lines = [], [head]
    for name in names:
        own = {row.steps: row for row in rows if name_of(row) == name}
        last = own[max(own)]
        calls, told = round(last.evaluations / last.steps), verdict(list(own.values()), table)
        shares = "".join(f"{100 * own[n].sound:9.0f} %" if n in own else f"{'':11}" for n in counts)
        lines.append(f"{name:16} {calls:12} {'yes' if last.noisy else 'no':>12}{shares}  {told}")
        facts.append({"name": name, "good_for": told, "measured": [asdict(own[n]) for n in sorted(own)]})
    lines.append(
        f"Shares of glyphs with the right radical and no flaw, of {table.glyphs}, by the model {table.model}; "
        f"less than {100 * table.chance:.0f} apart may be chance. Measured by: {table.command}"
    )
    return facts, lines


def sampler_list(names: Sequence[str], usual: str, table: Table) -> tuple[list[dict[str, Any]], list[str]]:
    """`listing` of the samplers with these names, under the spacing `usual`."""
    return listing(table, names, lambda row: row.sampler, [row for row in table.rows if row.spacing == usual])


def spacing_list(names: Sequence[str], usual: str, table: Table) -> tuple[list[dict[str, Any]], list[str]]:
    """`listing` of the spacings with these names, by the sampler `usual`."""
    return listing(table, names, lambda row: row.spacing, [row for row in table.rows if row.sampler == usual])
