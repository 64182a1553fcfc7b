"""What several commands share: importing large packages, loading a model by name, printing results."""

import contextlib
import gc
import importlib.util
import json
import sys
from collections.abc import Iterator
from typing import Any

from tyro.conf import FlagCreatePairsOff

from glyffuser.base.errors import UserError
from glyffuser.base.processes import rank

Flag = FlagCreatePairsOff[bool]  # gives --json, without a --no-json


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pause the garbage collector while a command imports torch, diffusers and the like.

    Thousands of modules make many objects and no garbage. Searching them all for some, again and again and once more at
    exit, takes a quarter of the time of a short command (docs/LOG.md, entry 11).
    """
    on, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()  # what modules made stays, so it need not be searched later either
        if on:
            gc.enable()


def need_extra(extra: str, *modules: str) -> None:
    """UserError if modules that an extra of the package provides are missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"this needs {', '.join(missing)}; pip install 'glyffuser[{extra}]'")


def open_pipeline(model: str) -> Any:
    """The pipeline of a model folder, of a run folder, or the bundled one."""
    with importing():
        from glyffuser.config import named_model
        from glyffuser.generate.load import load_pipeline

        return load_pipeline(named_model(model))


def print_results(as_json: bool, facts: Any, lines: list[str] | None = None) -> None:
    """Print results to stdout, by the first process: JSON for machines, lines for people (default: one per fact)."""
    if rank():
        return
    if as_json:
        escaped = not (sys.stdout.encoding or "").lower().startswith("utf")  # where not every sign can be written
        print(json.dumps(facts, ensure_ascii=escaped, indent=1, default=str))
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
