"""The table behind `--sampler list`: what it says follows from its numbers, and it covers every name."""

import json

import pytest

from glyffuser.base.names import SAMPLER_NAMES, SPACINGS
from glyffuser.commands.cli import main
from glyffuser.config import SAMPLER
from glyffuser.generate.measured import Row, Table, read_table, sampler_list, verdict


def row(sampler: str, steps: int, sound: float) -> Row:
    return Row(sampler, "linspace", steps, 2 * steps - 1, False, 1.0, 1 - sound, sound)


GOOD = [row("a", 5, 0.2), row("a", 10, 0.8), row("a", 20, 0.9)]
POOR = [row("b", 5, 0.1), row("b", 10, 0.4), row("b", 20, 0.3)]
LATE = [row("c", 5, 0.88), row("c", 10, 0.5), row("c", 20, 0.87)]  # good by luck at first
TABLE = Table("python it", "1234", 200, [*GOOD, *POOR, *LATE])


def test_chance_is_two_standard_errors_of_a_difference():
    assert TABLE.chance == pytest.approx(0.1)


def test_a_verdict_follows_from_the_rows():
    assert verdict(GOOD, TABLE) == "good from 10 steps on"
    assert verdict(POOR, TABLE) == "worse than the best at all of these; least so at 10 steps"
    assert verdict(LATE, TABLE) == "good from 20 steps on"


def test_a_listing_has_a_line_for_each_and_says_what_was_measured():
    facts, lines = sampler_list(["b", "a"], "linspace", TABLE)
    assert [fact["name"] for fact in facts] == ["b", "a"]
    assert [m["steps"] for m in facts[0]["measured"]] == [5, 10, 20]
    assert lines[0].split() == ["calls", "a", "step", "fresh", "noise", "5", "steps", "10", "steps", "20", "steps"]
    assert lines[2].split()[:9] == ["a", "2", "no", "20", "%", "80", "%", "90", "%"]
    assert lines[2].endswith("good from 10 steps on")
    assert all(word in lines[-1] for word in ("200", "1234", "python it", "less than 10 apart"))


def test_a_table_is_saved_and_read(tmp_path):
    TABLE.save(tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == TABLE


@pytest.mark.parametrize(("option", "names"), [("--sampler", SAMPLER_NAMES), ("--spacing", SPACINGS)])
def test_the_command_lists_every_name_at_every_number_of_steps(option, names, capsys):
    assert main(["sample", option, "list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [fact["name"] for fact in facts] == list(names)
    steps = [[m["steps"] for m in fact["measured"]] for fact in facts]
    assert all(each == steps[0] and len(each) > 1 for each in steps)
    assert main(["sample", option, "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names) + 2
    assert "python benchmarks/samplers.py" in lines[-1]


def test_the_table_is_of_samplers_and_spacings_at_their_defaults():
    table = read_table()
    assert {(row.sampler, row.spacing) for row in table.rows} == {
        *((name, SPACINGS[0]) for name in SAMPLER_NAMES),
        *((SAMPLER, name) for name in SPACINGS),
    }
    for found in table.rows:
        assert found.evaluations == (2 * found.steps - 1 if found.sampler in ("heun", "dpm-sde") else found.steps)
        assert found.sound <= min(found.hits, 1 - found.flagged) + 1e-9


@pytest.mark.parametrize(("option", "names"), [("--sampler", SAMPLER_NAMES), ("--spacing", SPACINGS)])
def test_an_unknown_name_is_one_line_that_lists_the_known(option, names, capsys):
    assert main(["sample", "gold", option, "nonsense"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(name in line for name in names)
