"""Arguments, configurations and requests of every form: a result, or a UserError of one line."""

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glyffuser.base.errors import UserError
from glyffuser.base.names import SAMPLER_NAMES
from glyffuser.commands.cli import COMMANDS, main
from glyffuser.config import Config, dump_config, load_config, override
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.serve.limits import read_request

TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, 2, -1, 2**31, 2**63, 2**64, 10**30, math.inf]))
WORDS = st.one_of(
    TEXTS, NUMBERS.map(str), st.sampled_from(["gold", "水", "fire:1, water:0.5", ":", "a:b:c", "x" * 500])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
OPTIONS = (
    *("--sampler", "--spacing", "--eta", "--guidance", "--interval", "--negative", "--seed", "--radical", "--init"),
    *("--strength", "--keep", "--with", "--style", "--upscale", "--best-of", "--new", "--no-new", "--engine", "--json"),
)


@pytest.fixture
def examples(request) -> Callable[[int], settings]:
    """A factory for hypothesis settings of so many examples, or of ten times as many in a long run."""

    def make(count: int) -> settings:
        times = 1 if request.config.getoption("--cases") is None else 10
        health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        return settings(
            max_examples=count * times, deadline=None, database=None, suppress_health_check=health, derandomize=True
        )

    return make


def status_of(argv: list[str], capsys) -> int:
    """The exit status of a command, whose complaint must be one line."""
    try:
        status = main(argv)
    except SystemExit as end:  # --help
        status = int(end.code or 0)
        capsys.readouterr()
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("glyffuser: warning: ")]
    assert status in (0, 2), argv
    if status == 2:
        assert len(said) == 1, (argv, said)
        assert said[0].startswith("glyffuser: ")
    return status


def refused(read: Callable[[], object]) -> bool:
    """Whether it ends in a UserError; any other error is raised."""
    try:
        read()
    except UserError:
        return True
    return False


def test_any_words_after_any_command(examples, capsys, tmp_path, monkeypatch):
    """Words that name no file and no model, so that nothing slow is reached."""
    monkeypatch.chdir(tmp_path)
    short = [name for name in COMMANDS if name not in ("info", "serve", "evaluate", "guide", "map", "explorer", "onnx")]

    @examples(40)
    @given(st.sampled_from(short), st.lists(st.one_of(WORDS, st.sampled_from(OPTIONS)), max_size=4))
    def check(command: str, words: list[str]) -> None:
        status_of([command, *words, "--model", "nowhere"], capsys)

    check()


def test_any_settings_of_sample(examples, capsys, tiny_model, tmp_path):
    sets = st.dictionaries(st.sampled_from(OPTIONS), st.one_of(WORDS, st.sampled_from(SAMPLER_NAMES)), max_size=3)

    @examples(15)
    @given(WORDS, sets)
    def check(prompt: str, chosen: dict[str, str]) -> None:
        options = [word for name, value in chosen.items() for word in (name, *([value] if name in TAKING else []))]
        fixed = ["-n", "1", "--steps", "1", "--model", str(tiny_model), "--out", str(tmp_path / "out")]
        status_of(["sample", *options, *fixed, "--", prompt], capsys)

    check()


TAKING = {name for name in OPTIONS if name not in ("--new", "--no-new", "--json")}


def test_any_setting_of_a_configuration(examples, tmp_path):
    names = [f"{section.name}.{key.name}" for section in fields(Config) for key in fields(section.default_factory)]  # type: ignore[arg-type]

    @examples(200)
    @given(st.one_of(st.sampled_from(names), TEXTS), st.one_of(WORDS, JSON.map(str)))
    def check(key: str, value: str) -> None:
        config = Config()
        if refused(lambda: override(config, [f"{key}={value}"])):
            return
        path = Path(tmp_path, "config.toml")
        path.write_text(dump_config(config))
        assert dump_config(load_config(path)) == dump_config(config)

    check()


def test_any_record(examples):
    good = Request("gold", steps=4, guidance=2.0).record()

    @examples(200)
    @given(st.dictionaries(st.sampled_from([*good, "other"]), JSON, max_size=3))
    def check(changes: dict[str, Any]) -> None:
        def read() -> None:
            request = Request.from_record(good | changes)
            request.check()
            request.check_edit()

        refused(read)

    check()


def test_any_wish_of_a_visitor(examples, tiny_model):
    pipe = load_pipeline(tiny_model)
    names = ("prompt", "n", "steps", "guidance", "sampler", "seed", "negative", "style", "start", "drawing", "keep")

    @examples(200)
    @given(st.dictionaries(st.sampled_from([*names, "strength", "component"]), JSON, max_size=4))
    def check(wish: dict[str, Any]) -> None:
        refused(lambda: read_request({"prompt": "gold"} | wish, pipe))

    check()
