"""What several commands share: loading a model by name, printing results."""

import json
from typing import Any

from tyro.conf import FlagCreatePairsOff

Flag = FlagCreatePairsOff[bool]  # gives --json, without a --no-json


def open_pipeline(model: str) -> Any:
    """The pipeline of a model folder, of a run folder, or the bundled one."""
    from glyffuser.config import BUNDLED
    from glyffuser.generate.pipeline import load_pipeline

    return load_pipeline(BUNDLED if model == "bundled" else model)


def print_results(as_json: bool, facts: Any, lines: list[str] | None = None) -> None:
    """Results on stdout: JSON for machines, lines for people (default: one per fact)."""
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=1, default=str))
        return
    for line in lines or [f"{key.replace('_', ' ')}: {plain(value)}" for key, value in facts.items()]:
        print(line)


def plain(value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
