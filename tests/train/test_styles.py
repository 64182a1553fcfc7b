"""Training on several fonts: each glyph with its own style, and a run that stops and resumes, exact to the last bit."""

from copy import deepcopy

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.config import preset
from glyffuser.data.dataset import build_dataset, load_dataset
from glyffuser.data.fonts import default_font, load_font
from glyffuser.data.unihan import read_unihan
from glyffuser.generate.load import load_pipeline
from glyffuser.train.distil import student_config
from glyffuser.train.setup import setup
from training_runs import Run, finish, resumed_exactly


@pytest.fixture(scope="module")
def two_fonts(tmp_path_factory):
    """Thirty-two characters in two styles."""
    path, face = tmp_path_factory.mktemp("styles") / "glyphs.parquet", default_font()
    faces = [load_font(f"hand={face.path}:0"), load_font(f"sans={face.path}:2")]
    build_dataset(faces, read_unihan(), path, size=32, codepoints=range(0x6C34, 0x6C34 + 40))
    return path


@pytest.fixture
def config(tiny_config, two_fonts):
    tiny_config.data.path, tiny_config.model.styled = str(two_fonts), True
    return tiny_config


def test_a_batch_tells_the_style_of_each_glyph_or_drops_it(config, two_fonts):
    config.data.drop_style = 0.3
    parts, data = setup(config), load_dataset(two_fonts, "train")
    known = parts.network.config.styles
    assert list(known) == ["hand", "sans"]
    numbers = torch.tensor([known.index(style) + 1 for style in data.styles])
    images, told = torch.from_numpy(data.images), []
    for step in range(20):
        batch = parts.batch(8 * step)
        assert batch.cond.style is not None
        pictures = ((batch.x0[:, 0] + 1) * 127.5).round().to(torch.uint8)
        for picture, style in zip(pictures, batch.cond.style, strict=True):
            rows = (images == picture).all(dim=(1, 2))  # characters may look the same in both styles
            assert style == 0 or style in numbers[rows]
            told.append(int(style))
    assert 0.15 < told.count(0) / len(told) < 0.45
    assert {0, 1, 2} == {*told}


def test_a_styled_run_resumes_exactly_and_its_model_knows_the_styles(config, tmp_path):
    _, resumed = resumed_exactly(config, tmp_path, stop_at=5)
    assert resumed.state.network.style_embedding.weight.abs().sum() > 0  # it learns
    assert load_pipeline(tmp_path / "stopped").styles == ["hand", "sans"]


def test_a_styled_model_teaches_from_a_data_set_of_its_styles_alone(config, tiny_data, tmp_path):
    config.train.max_steps = 1
    finish(Run(config, tmp_path / "styled"))
    student = student_config(load_pipeline(tmp_path / "styled"), deepcopy(config))
    student.distil.teacher = str(tmp_path / "styled")
    finish(Run(student, tmp_path / "student"))
    assert load_pipeline(tmp_path / "student").styles == ["hand", "sans"]
    student.data.path = str(tiny_data)
    with pytest.raises(UserError, match=r"has styles = \['hand', 'sans'\], the student \['sans'\]; name with --data"):
        setup(student)


def test_a_run_without_styles_is_told_none(config):
    config.model.styled = False
    parts = setup(config)
    assert parts.batch(0).cond.style is None
    assert not parts.network.config.styles


def test_the_preset_is_that_of_the_cpu_for_several_styles():
    cpu, styles = preset("cpu"), preset("styles")
    assert (cpu.model.styled, styles.model.styled) == (False, True)
    styles.model.styled, styles.data.path = False, cpu.data.path
    assert styles == cpu
