"""The report of an evaluation: one table for the terminal, JSON for machines, one HTML page with the pictures."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from glyffuser.base.files import output_folder, write_text
from glyffuser.base.pictures import grid, heat
from glyffuser.evaluate.measure import Evaluation
from glyffuser.evaluate.metrics import Neighbours
from glyffuser.judge.prompts import PROMPTS

Row = tuple[str, str, str]  # what, the model's number, the same of real glyphs
SHOWN = 24  # best, worst and nearest glyphs on the page


def table(numbers: dict[str, Any]) -> list[Row]:
    """The summary: what was measured, the model's number, and what real glyphs reach by the same measure."""
    meaning, form, new = numbers["meaning"], numbers["plausibility"], numbers["novelty"]
    fake, real, crisp = numbers["distribution"]["generated"], numbers["distribution"]["real"], numbers["crispness"]
    rows = [
        (f'"{text}" with the metal radical', f"{g['hits']} of {g['of']}", "") for text, g in meaning["gold"].items()
    ]
    rows += [
        (
            f"radical hit rate, {len(meaning['prompts'])} prompts",
            percent(meaning["rate"]),
            f"{percent(meaning['nearest'])} (nearest definitions)",
        ),
        ("radicals read rightly by the recogniser", "", percent(meaning["recogniser"])),
        ("flagged as implausible", percent(form["flagged"]), percent(form["real_flagged"])),
        ("copies of training glyphs", percent(new["copy_rate"]), percent(new["real_copy_rate"])),
        ("grey pixels a pixel of ink", f"{crisp['glyphs']['grey']:.3f}", f"{crisp['real']['grey']:.3f}"),
        ("glyphs that touch the border", percent(crisp["glyphs"]["dirty"]), percent(crisp["real"]["dirty"])),
        ("glyphs with specks on the paper", percent(crisp["glyphs"]["specks"]), percent(crisp["real"]["specks"])),
        *((name, percent(fake[name]), percent(real[name])) for name in ("precision", "recall", "coverage")),
        ("density", f"{fake['density']:.2f}", f"{real['density']:.2f}"),
        ("Fréchet distance, recogniser features", f"{fake['frechet']:.2f}", f"{real['frechet']:.2f}"),
        ("kernel distance, recogniser features", f"{fake['kernel']:.2f}", f"{real['kernel']:.2f}"),
        ("Gaussian kernel distance", f"{fake['rbf']:.4f}", f"{real['rbf']:.4f}"),
    ]
    if best := numbers["best_of"]:
        rows.append((f"hit rate, best of {best['k']}", percent(best["rate"]), ""))
        rows.append((f"flagged, best of {best['k']}", percent(best["flagged"]), ""))
    return rows


def percent(share: float) -> str:
    """0.123 -> 12.3 %."""
    return f"{100 * share:.1f} %"


def lines(numbers: dict[str, Any]) -> list[str]:
    """The table as text, and under it what must stand beside any number: how many glyphs, which judges."""
    rows: list[Row] = [("", "model", "real glyphs"), *table(numbers)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*text, "", footnote(numbers)]


def footnote(numbers: dict[str, Any]) -> str:
    """Sizes and hashes in one line."""
    d, facts = numbers["distribution"], numbers["facts"]
    return (
        f"model {facts['model']}, recogniser {facts['judges']['recogniser']}, plausibility "
        f"{facts['judges']['plausibility']}; {numbers['meaning']['glyphs']} glyphs for prompts, {d['n']} for held-out "
        f"definitions against {d['n_real']} held-out real glyphs; {facts['settings']['steps']} steps, guidance "
        f"{facts['settings']['guidance']:g}, {facts['sampler']}; {numbers['seconds_for_16_glyphs']} s for 16 glyphs"
    )


def write_report(evaluation: Evaluation, out: str | Path) -> tuple[Path, Path]:
    """Write evaluation.json and evaluation.html, each whole or not at all; returns their paths."""
    out = output_folder(out)
    data, page = out / "evaluation.json", out / "evaluation.html"
    write_text(data, json.dumps(evaluation.numbers, indent=1, ensure_ascii=False) + "\n")
    write_text(page, render(evaluation))
    return data, page


def render(evaluation: Evaluation) -> str:
    """The page: self-contained HTML, pictures and curves inside."""
    numbers, prompts = evaluation.numbers, evaluation.prompts
    per_prompt = len(prompts) // len(PROMPTS)
    order = prompts.flaws.argsort()
    groups = [
        {**row, "picture": sheet(prompts.images[i * per_prompt : (i + 1) * per_prompt], per_prompt)}
        for i, row in enumerate(numbers["meaning"]["prompts"])
    ]
    worst = [
        {
            "picture": inline(heat(prompts.images[i], prompts.maps[i])),
            "prompt": PROMPTS[i // per_prompt].text,
            "score": float(prompts.flaws[i]),
        }
        for i in order.flip(0)[:SHOWN].tolist()
    ]
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html").render(
        rows=table(numbers),
        footnote=footnote(numbers),
        numbers=numbers,
        gold=[
            {"text": text, "picture": sheet(g.images[:16], 8), **numbers["meaning"]["gold"][text]}
            for text, g in evaluation.gold.items()
        ],
        groups=groups,
        best=sheet(prompts.images[order[:SHOWN].numpy()], 8),
        worst=worst,
        pairs=pairs(evaluation),
        curves={name: curve(points, name) for name, points in numbers["curves"].items()},
        percent=percent,
    )


def pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The glyphs most like a training glyph, each beside it."""
    found: Neighbours = evaluation.neighbours
    images = np.concatenate([evaluation.prompts.images, evaluation.definitions.images])
    closest = found.overlap.argsort(descending=True)[:SHOWN].tolist()
    rows = [int(found.row[i]) for i in closest]
    return [
        {
            "picture": sheet(np.stack([images[i], evaluation.training.images[row]]), 2),
            "char": evaluation.training.chars[row],
            "overlap": float(found.overlap[i]),
        }
        for i, row in zip(closest, rows, strict=True)
    ]


def sheet(images: np.ndarray, columns: int) -> str:
    """Pictures (N, H, W) on one sheet, as a data URL."""
    return inline(grid([Image.fromarray(image) for image in images], columns))


def inline(picture: Image.Image) -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def curve(points: Sequence[dict[str, float]], name: str) -> dict[str, Any]:
    """What the page needs to draw hit rate and flagged share against `name`: places in a box of 300 by 150."""
    values = [float(point[name]) for point in points]
    low, high = min(values), max(values)
    across = [300 * (value - low) / ((high - low) or 1) for value in values]
    lines = {
        key: [(x, 150 - 150 * point[key]) for x, point in zip(across, points, strict=True)]
        for key in ("rate", "flagged")
    }
    return {"lines": lines, "ticks": list(zip(across, values, strict=True))}
