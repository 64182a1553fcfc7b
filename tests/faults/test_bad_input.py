"""Damaged files of every kind that commands read: accepted or refused in one line, with no hang and no partial output.

By default, few cases per kind; `--cases 10000` divides that many among the kinds, `--report FILE` writes the counts.
"""

import gzip
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.config import dump_config
from glyffuser.data.dataset import load_dataset
from glyffuser.data.fonts import default_font, load_font, render
from glyffuser.data.pictures import read_pictures
from glyffuser.generate.load import load_pipeline
from glyffuser.judge.dictionary import load_dictionary
from glyffuser.judge.judges import BUNDLED_JUDGES
from glyffuser.judge.novelty import load_ideographs
from killing import complaining
from mutating import CHARS, Found, attacked, mutated, mutated_json

SHARES = {  # of a thousand cases
    "fonts": 215,
    "Unihan": 150,
    "Parquet": 200,
    "safetensors": 75,
    "JSON of models": 75,
    "JSON of records": 75,
    "PNG": 165,
    "ONNX": 50,
    "configurations": 20,
    "tables": 25,
}
SHORT = 150

Case = Callable[[np.random.Generator, Path], int]


@pytest.fixture(scope="module")
def report(request) -> Iterator[list[tuple[str, Found]]]:
    rows: list[tuple[str, Found]] = []
    yield rows
    if path := request.config.getoption("--report"):
        lines = [
            f"{'kind':16} {'cases':>6} {'accepted':>9} {'refused':>8} {'memory':>7} {'defects':>8} {'slowest, s':>11}"
        ]
        for name, found in rows:
            c = found.counts
            lines.append(
                f"{name:16} {c.total():6} {c['accepted']:9} {c['refused']:8} {c['memory']:7} {c['defect']:8} "
                f"{found.slowest:11.2f}"
            )
        lines.append(f"{'together':16} {sum(found.counts.total() for _, found in rows):6}")
        Path(path).write_text("\n".join(lines) + "\n")


@pytest.fixture
def attack(request, tmp_path, report) -> Callable[[str, Case], None]:
    """Run the cases of a kind of bad input; the test fails with the defects."""

    def run(name: str, case: Case) -> None:
        cases = (request.config.getoption("--cases") or SHORT) * SHARES[name] // 1000
        found = attacked(case, tmp_path / "cases", range(cases))
        report.append((name, found))
        assert found.defects == [], "\n".join(found.defects)

    return run


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def build(font: Path, unihan: Path, folder: Path, size: int = 32) -> int:
    more = ("--size", size, "--out", folder / "out" / "x.parquet")
    return run("dataset", "build", "--font", font, "--unihan", unihan, *more)


def test_fonts(attack, fonts, unihan):
    def case(rng: np.random.Generator, folder: Path) -> int:
        kind = int(rng.integers(2))
        font = folder / f"font.{('otf', 'ttf')[kind]}"
        font.write_bytes(mutated(fonts[kind], rng))
        return build(font, unihan, folder)

    attack("fonts", case)


def test_unihan(attack, unihan, font_file):
    text = (unihan / "Unihan_Readings.txt").read_text()

    def case(rng: np.random.Generator, folder: Path) -> int:
        place = folder / "unihan"
        place.mkdir()
        match int(rng.integers(3)):
            case 0:
                (place / "Unihan_Readings.txt").write_bytes(mutated(text.encode(), rng))
            case 1:
                (place / "Unihan_Readings.txt.gz").write_bytes(mutated(gzip.compress(text.encode()), rng))
            case 2:
                place = folder / "Unihan.zip"
                with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr("Unihan_Readings.txt", text)
                place.write_bytes(mutated(place.read_bytes(), rng))
        return build(font_file, place, folder)

    attack("Unihan", case)


def test_parquet(attack, tiny_data, tmp_path):
    table = tmp_path / "few.parquet"
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(tiny_data).slice(0, 4), table)
    good = table.read_bytes()

    def case(rng: np.random.Generator, folder: Path) -> int:
        path = folder / "x.parquet"
        # Half of the changes are at the end, where Parquet keeps its metadata.
        path.write_bytes(mutated(good, rng) if rng.random() < 0.5 else mutated(good[::-1], rng)[::-1])
        match int(rng.integers(3)):
            case 0:
                return run("dataset", "info", path)
            case 1:
                return complaining(lambda: load_dataset(path))
        return complaining(lambda: [picture for k in range(4) for picture in read_pictures(path, "train")[k]])

    attack("Parquet", case)


def copied(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder / "model"))


def draw(model: Path, folder: Path, *more: object) -> int:
    return run("sample", "gold", "-n", 1, "--steps", 1, "--model", model, "--out", folder / "out", *more)


def test_safetensors(attack, tiny_model):
    def case(rng: np.random.Generator, folder: Path) -> int:
        model = copied(tiny_model, folder)
        weights = model / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(mutated(weights.read_bytes(), rng))
        return draw(model, folder)

    attack("safetensors", case)


def test_json_of_models(attack, tiny_model):
    names = ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "text_encoder/config.json")

    def case(rng: np.random.Generator, folder: Path) -> int:
        model = copied(tiny_model, folder)
        path = model / names[int(rng.integers(len(names)))]
        path.write_text(mutated_json(path.read_text(), rng))
        return draw(model, folder)

    attack("JSON of models", case)


def test_json_of_records(attack, tiny_model, tmp_path):
    assert draw(tiny_model, tmp_path) == 0
    good = (tmp_path / "out" / "gold-0.json").read_text()

    def case(rng: np.random.Generator, folder: Path) -> int:
        (folder / "record.json").write_text(mutated_json(good, rng))
        match int(rng.integers(2)):
            case 0:
                again = ("--again", folder / "record.json", "--model", tiny_model, "--out", folder / "out")
                return run("sample", *again)
        shutil.copyfile(tmp_path / "out" / "gold-0-0.png", folder / "gold-0-0.png")
        return run("font", "--from", folder, "--out", folder / "out" / "x.ttf")

    attack("JSON of records", case)


def mutated_chunks(data: bytes, rng: np.random.Generator) -> bytes:
    """A PNG with damaged chunk contents but right lengths and checksums, so that the decoding itself is reached."""
    made, at = data[:8], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        if rng.random() < 0.5:
            content = mutated(content, rng)
            if name == b"IDAT" and rng.random() < 0.5:
                content = zlib.compress(mutated(zlib.decompress(data[at + 8 : at + 8 + size]), rng))
        made += len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        at += 12 + size
    return made


def test_png(attack, tiny_model, tmp_path):
    path = tmp_path / "good.png"
    Image.fromarray(render(default_font(), "金", 64)).save(path)
    good = path.read_bytes()

    def case(rng: np.random.Generator, folder: Path) -> int:
        picture = folder / "picture.png"
        picture.write_bytes(mutated(good, rng) if rng.random() < 0.5 else mutated_chunks(good, rng))
        if rng.random() < 0.8:
            return run("svg", picture, "--out", folder / "out")
        return draw(tiny_model, folder, "--init", picture)

    attack("PNG", case)


def test_configurations(attack, tiny_config, tmp_path):
    """The values and section names of a TOML file, and its bytes."""
    tiny_config.train.max_steps = 1
    good = dump_config(tiny_config)

    def case(rng: np.random.Generator, folder: Path) -> int:
        text = good
        if rng.random() < 0.3:
            text = mutated(good.encode(), rng).decode("utf-8", "replace")
        else:
            lines = good.splitlines()
            at = int(rng.integers(len(lines)))
            value = mutated_json("[1]", np.random.default_rng(rng.integers(1000)))
            lines[at] = lines[at].partition("=")[0] + "= " + value.strip("[]") if "=" in lines[at] else "[x]"
            text = "\n".join(lines)
        (folder / "config.toml").write_text(text)
        return run("train", "--config", folder / "config.toml", "--out", folder / "out", "--dry-run")

    attack("configurations", case)


def test_tables(attack):
    """The compressed tables of characters; the bundled ones are too large to be attacked often."""
    names = ("ideographs.xz", "contrastive/dictionary.xz")
    good = [(BUNDLED_JUDGES / name).read_bytes() for name in names]

    def case(rng: np.random.Generator, folder: Path) -> int:
        kind = int(rng.integers(2))
        path = folder / Path(names[kind]).name
        path.write_bytes(mutated(good[kind], rng))
        return complaining(lambda: load_ideographs.__wrapped__(path) if kind == 0 else load_dictionary(folder))

    attack("tables", case)


@pytest.mark.slow
def test_onnx(request, attack, tiny_model, tmp_path):
    """With right checksums, so that onnxruntime reads the damage, and with wrong ones."""
    if request.config.getoption("--cases") is None:
        pytest.skip("in the long run only: --cases")
    from glyffuser.base.files import sha256

    pipe = load_pipeline(tiny_model)
    from glyffuser.export.onnx import export_onnx

    export_onnx(pipe, tmp_path / "onnx")

    def case(rng: np.random.Generator, folder: Path) -> int:
        onnx = Path(shutil.copytree(tmp_path / "onnx", folder / "onnx"))
        path = onnx / "denoiser.onnx"
        path.write_bytes(mutated(path.read_bytes(), rng))
        settings = onnx / "glyffuser.json"
        facts = json.loads(settings.read_text())
        if rng.random() < 0.8:
            facts["parts"]["denoiser"]["sha256"] = sha256(path)
        text = json.dumps(facts)
        settings.write_text(text if rng.random() < 0.8 else mutated_json(text, rng))
        return draw(tiny_model, folder, "--engine", "onnx", "--onnx", onnx)

    attack("ONNX", case)


def test_fonts_are_read_as_the_cases_have_them(fonts, font_file):
    """Otherwise the damage would never be reached."""
    assert load_font(font_file).covered >= {ord(char) for char in CHARS}
