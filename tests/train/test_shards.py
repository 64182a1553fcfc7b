"""Training from shards: the same glyphs for any number of processes, exact resuming, and the same as from a file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from glyffuser.commands.cli import main
from glyffuser.config import Config, override
from glyffuser.data.dataset import build_dataset, load_dataset, read_info
from glyffuser.data.fonts import default_font, load_font
from glyffuser.data.pairs import read_pairs, read_senses
from glyffuser.data.pictures import open_stream
from glyffuser.data.unihan import read_unihan
from glyffuser.train.setup import setup
from training_runs import resumed_exactly, towered


@pytest.fixture(scope="module")
def two_fonts(tmp_path_factory) -> tuple[Path, Path]:
    """Thirty-two characters in two styles, as a file and in shards of eleven glyphs; none is for testing."""
    folder, face = tmp_path_factory.mktemp("shards"), default_font()
    faces = [load_font(f"hand={face.path}:0"), load_font(f"sans={face.path}:2")]
    file, shards = (
        build_dataset(
            faces, read_unihan(), folder / name, size=32, codepoints=range(0x6C34, 0x6C34 + 40), shards=n
        ).path
        for name, n in (("glyphs.parquet", 0), ("glyphs", 6))
    )
    return file, shards


@pytest.fixture
def config(tiny_config, two_fonts) -> Config:
    tiny_config.data.path, tiny_config.model.styled = str(two_fonts[1]), True
    return tiny_config


def drawn(batches, world: int, steps: int) -> list[bytes]:
    """The pictures of some steps of 8, shared by `world` processes."""
    count = 8 // world
    parts = [batches.draw(8 * step + rank * count, count).x0 for step in range(steps) for rank in range(world)]
    return [picture.numpy().tobytes() for part in parts for picture in part]


def test_another_number_of_processes_sees_the_same_glyphs_in_the_same_order(config):
    batches = setup(config).batches
    one, two, four = (drawn(batches, world, 20) for world in (1, 2, 4))
    assert one == two == four


def test_a_pass_shows_every_glyph_once(config):
    batches = setup(config).batches
    stream = open_stream(config.data.path, "train")
    assert (len(batches), len(stream)) == (len(stream), read_info(config.data.path)["rows"])
    rows = [stream.pictures[i].tobytes() for i in range(len(stream))]
    for step in range(2):
        x0 = batches.draw(step * len(stream), len(stream)).x0
        seen = [((picture[0] + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for picture in x0]
        assert sorted(seen) == sorted(rows)
        assert seen != rows


def test_a_run_that_stops_in_the_middle_of_a_shard_resumes_exactly(config, tmp_path):
    blocks = open_stream(config.data.path, "train").pictures.blocks
    assert blocks is not None
    assert 5 * 8 not in blocks
    resumed_exactly(config, tmp_path, stop_at=5)


def test_shards_give_the_captions_tower_and_network_of_a_file(config, two_fonts):
    shards = setup(towered(config))
    config.data.path = str(two_fonts[0])
    file = setup(config)
    assert shards.batches.captions.texts == file.batches.captions.texts
    assert shards.batches.digest != file.batches.digest  # another order
    assert len(set(file.batches.captions.owners)) < len(file.batches)  # fonts share the captions of a character
    assert shards.tower is not None
    assert file.tower is not None
    for one, other in ((shards.network, file.network), (shards.tower, file.tower)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    glyph = int(np.flatnonzero(file.batches.radicals == 85)[3])
    texts = {
        file.batches.captions.texts[i]
        for i in file.batches.captions.draw(np.full(99, glyph), (1,), 0, np.random.default_rng(0))
    }
    assert texts == {load_dataset(two_fonts[0], "train").definitions[glyph]}


def test_meanings_to_label_come_from_shards_too(two_fonts, tiny_model, tmp_path):
    out = tmp_path / "pairs.parquet"
    options = ["--by", "flaws", "-n", "1", "--steps", "1", "--out", str(out)]
    assert main(["label", "--model", str(tiny_model), "--data", str(two_fonts[1]), *options]) == 0
    (pair,) = read_pairs(out)
    senses = read_senses(two_fonts[1], "train")
    assert pair.prompt in senses
    assert sorted(senses) == sorted(read_senses(two_fonts[0], "train"))
    assert read_senses(two_fonts[1], "test") == []


@pytest.mark.parametrize("kind", ["upscaler", "autoencoder"])
def test_companions_learn_from_shards_too(config, kind):
    override(config, [f"model.kind={kind}", "model.crop=16", "model.low_size=8", "model.styled=false"])
    batches = setup(config).batches
    assert batches.order.blocks is not None
    batch = batches.draw(24, 8)
    assert len(batch.x0) == 8
    assert torch.equal(batch.x0, batches.draw(24, 8).x0)


def test_a_broken_data_set_is_a_mistake_in_one_line(config, two_fonts, tmp_path, capsys, tiny_encoder):
    folder = Path(shutil.copytree(two_fonts[1], tmp_path / "glyphs"))
    (folder / "train-00002.parquet").unlink()
    argv = ["train", "--data", str(folder), "--out", str(tmp_path / "run"), "--set", f"text.encoder={tiny_encoder}"]
    assert main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "train-00002.parquet is missing; build the data set again" in lines[0]
    assert not (tmp_path / "run" / "config.toml").exists()
