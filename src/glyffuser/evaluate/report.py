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
from glyffuser.judge.judges import Judged

Row = tuple[str, str, str]  # what, the model's number, that of real glyphs
SHOWN = 24  # best, worst and nearest glyphs on the page


def table(numbers: dict[str, Any]) -> list[Row]:
    """The summary: what was measured, the model's number, and what real glyphs reach by the same measure.

    A reference line has a row of its own, without a number of the model's.
    """
    form, new, crisp = numbers["plausibility"], numbers["novelty"], numbers["crispness"]
    fake, real = numbers["distribution"]["generated"], numbers["distribution"]["real"]
    rows = [
        *meaning_rows(numbers["meaning"]),
        ("flagged as implausible", percent(form["flagged"]), percent(form["real_flagged"])),
        ("exist already (real glyphs: as another character)", percent(new["rate"]), percent(new["real_rate"])),
        ("distance to the nearest character, pixels", f"{new['distance']:.2f}", f"{new['real_distance']:.2f}"),
        ("grey pixels per pixel of ink", f"{crisp['glyphs']['grey']:.3f}", f"{crisp['real']['grey']:.3f}"),
        ("glyphs that touch the border", percent(crisp["glyphs"]["dirty"]), percent(crisp["real"]["dirty"])),
        ("specks on the paper", percent(crisp["glyphs"]["specks"]), percent(crisp["real"]["specks"])),
        ("specks on the paper, before the levels curve", percent(crisp["drawn"]["specks"]), ""),
        *((name, percent(fake[name]), percent(real[name])) for name in ("precision", "recall", "coverage")),
        ("density", f"{fake['density']:.2f}", f"{real['density']:.2f}"),
        ("Fréchet distance, recogniser features", f"{fake['frechet']:.2f}", f"{real['frechet']:.2f}"),
        ("kernel distance, recogniser features", f"{fake['kernel']:.2f}", f"{real['kernel']:.2f}"),
        ("Gaussian kernel distance", f"{fake['rbf']:.4f}", f"{real['rbf']:.4f}"),
    ]
    for name, share in (numbers["attention"] or {}).items():
        rows.append((f"attention to {name} (1: an even share)", f"{share:.2f}", ""))
    if spread := numbers["variety"]:
        cells = [f"{spread[key]:.2f}" for key in ("generated", "real")]
        rows.append(("variety: distance between glyphs of one prompt", cells[0], cells[1]))
    if best := numbers["best_of"]:
        chosen = f"best of {best['k']} chosen by the selector"
        rows.append((f"hit rate, {chosen}", percent(best["rate"]), ""))
        rows.append((f"flagged, {chosen}", percent(best["flagged"]), ""))
        rows.append((f"exist already, {chosen}", percent(best["existing"]), ""))
    return rows


def meaning_rows(meaning: dict[str, Any]) -> list[Row]:
    """The rows about radicals; real characters with the nearest definitions have their own, as has the recogniser."""
    wished, prompts = meaning["told"], f"{len(meaning['prompts'])} prompts"
    riddles = {
        f"{len(meaning[key]['prompts'])} paraphrases{by}": meaning[key]
        for key, by in (("paraphrases", ""), ("others", " by another writer"))
    }

    def gold(found: dict[str, dict[str, int]], how: str) -> list[Row]:
        return [(f'"{text}" with the metal radical{how}', f"{g['hits']} of {g['of']}", "") for text, g in found.items()]

    rows = gold(meaning["gold"], "")
    if wished:
        rows += gold(wished["gold"], ", radical told")
    rows.append((f"radical hit rate, {prompts}", percent(meaning["rate"]), ""))
    if wished:
        rows.append((f"radical hit rate, {prompts}, radical told", percent(wished["rate"]), ""))
    if ranks := meaning["ranks"]:
        cells = [f"{ranks[key]['mean']:.1f}" for key in ("generated", "real")]
        rows.append((f"mean rank of the own prompt among the {prompts}, contrastive model", cells[0], cells[1]))
    return [
        *rows,
        *((f"radical hit rate, {name}", percent(found["rate"]), "") for name, found in riddles.items()),
        (f"reference: characters with the definitions nearest to the {prompts}", "", percent(meaning["nearest"])),
        *(
            (f"reference: characters with the definitions nearest to the {name}", "", percent(found["nearest"]))
            for name, found in riddles.items()
        ),
        ("reference: radicals of real characters read correctly by the recogniser", "", percent(meaning["recogniser"])),
    ]


def percent(share: float) -> str:
    """0.123 -> 12.3 %."""
    return f"{100 * share:.1f} %"


def lines(numbers: dict[str, Any]) -> list[str]:
    """The table as text; below it the glyphs that exist, and a footnote to all numbers: how many, which judges."""
    rows: list[Row] = [("", "model", "real glyphs"), *table(numbers)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*text, "", *existing_lines(numbers["novelty"]), footnote(numbers)]


def existing_lines(new: dict[str, Any]) -> list[str]:
    """The glyphs that exist, nearest first: which character, for which prompt, how far off."""
    named = [f'  {found["char"]}  {found["distance"]:.2f}  "{found["prompt"]}"' for found in new["existing"]]
    if not named:
        return []
    head = f"exist already, within {new['limit']:g} pixels of one of {new['ideographs']} ideographs of {new['font']}:"
    more = [f"  and {len(named) - SHOWN} more, see evaluation.json"] if len(named) > SHOWN else []
    return [head, *named[:SHOWN], *more, ""]


def footnote(numbers: dict[str, Any]) -> str:
    """Sizes and hashes in one line."""
    d, facts = numbers["distribution"], numbers["facts"]
    return (
        f"model {facts['model']}, recogniser {facts['judges']['recogniser']}, plausibility "
        f"{facts['judges']['plausibility']}, contrastive model {facts['contrastive']}, selector "
        f"{facts['selector']['recogniser']} and "
        f"{facts['selector']['plausibility']}; {numbers['meaning']['glyphs']} glyphs for prompts, {d['n']} for "
        f"held-out definitions against {d['n_real']} held-out real glyphs; {facts['settings']['steps']} steps, "
        f"guidance {facts['settings']['guidance']:g}, {facts['sampler']}; {numbers['seconds_for_16_glyphs']} s "
        "for 16 glyphs"
    )


def write_report(evaluation: Evaluation, out: str | Path) -> tuple[Path, Path]:
    """Write evaluation.json and evaluation.html, each whole or not at all; returns their paths."""
    out = output_folder(out)
    data, page = out / "evaluation.json", out / "evaluation.html"
    write_text(data, json.dumps(evaluation.numbers, indent=1, ensure_ascii=False) + "\n")
    write_text(page, render(evaluation))
    return data, page


def render(evaluation: Evaluation) -> str:
    """The page: self-contained HTML, with pictures and curves inside."""
    numbers, prompts = evaluation.numbers, evaluation.prompts
    order = prompts.flaws.argsort()
    worst = [
        {
            "picture": inline(heat(prompts.images[i], prompts.maps[i])),
            "prompt": evaluation.texts[i],
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
        groups=groups(prompts, numbers["meaning"]),
        paraphrases=groups(evaluation.paraphrases, numbers["meaning"]["paraphrases"]),
        others=groups(evaluation.others, numbers["meaning"]["others"]),
        best=sheet(prompts.images[order[:SHOWN].numpy()], 8),
        worst=worst,
        pairs=pairs(evaluation),
        curves={name: curve(points, name) for name, points in numbers["curves"].items()},
        percent=percent,
    )


def groups(glyphs: Judged, meaning: dict[str, Any]) -> list[dict[str, Any]]:
    """The glyphs of each prompt on one sheet, and what was counted among them."""
    n = len(glyphs) // len(meaning["prompts"])
    return [
        {**row, "picture": sheet(glyphs.images[i * n : (i + 1) * n], n)} for i, row in enumerate(meaning["prompts"])
    ]


def pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The glyphs that lie nearest to an ideograph, each beside it."""
    images = np.concatenate([evaluation.prompts.images, evaluation.definitions.images])
    size, closest = images.shape[1:], np.argsort([match.distance for match in evaluation.matches], kind="stable")
    found = []
    for i in closest[:SHOWN].tolist():
        match = evaluation.matches[i]
        ink = Image.fromarray(np.where(evaluation.ideographs.ink(np.array([match.row]))[0], 0, 255).astype(np.uint8))
        picture = sheet(np.stack([images[i], np.asarray(ink.resize(size, Image.Resampling.BOX))]), 2)
        found.append({**match._asdict(), "exists": match.exists, "picture": picture, "prompt": evaluation.texts[i]})
    return found


def sheet(images: np.ndarray, columns: int) -> str:
    """Pictures (N, H, W) on one sheet, as a data URL."""
    return inline(grid([Image.fromarray(image) for image in images], columns))


def inline(picture: Image.Image) -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def curve(points: Sequence[dict[str, float]], name: str) -> dict[str, Any]:
    """What the page needs to draw hit rate, flagged share and variety against `name`: places in a box of 300 by 150.

    Settings are evenly spaced. Variety, which has no natural limit, is drawn as a share of its highest value.
    """
    across = [300 * i / max(len(points) - 1, 1) for i in range(len(points))]
    highest = max((point.get("variety", 0.0) for point in points), default=0.0) or 1.0
    heights = {key: [point[key] for point in points] for key in ("rate", "flagged")}
    if "variety" in points[0]:
        heights["variety"] = [point["variety"] / highest for point in points]
    lines = {key: [(x, 150 - 150 * y) for x, y in zip(across, ys, strict=True)] for key, ys in heights.items()}
    # Names stand above the ends of their lines, pushed apart where these are close.
    names, above = {}, 200.0
    for key in sorted(lines, key=lambda key: -lines[key][-1][1]):
        names[key] = above = min(lines[key][-1][1] - 9, above - 15)
    return {
        "lines": lines,
        "names": names,
        "ticks": [(x, float(point[name])) for x, point in zip(across, points, strict=True)],
        "points": points,
    }
