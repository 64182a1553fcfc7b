"""Settings: presets, overrides, TOML, and the messages for mistakes."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from glyffuser.base.errors import UserError
from glyffuser.base.names import (
    COMPANIONS,
    KINDS,
    OPTIMIZERS,
    PREDICTION_TYPES,
    SAMPLER_NAMES,
    SCHEDULES,
    TIMESTEPS,
    WEIGHTINGS,
)
from glyffuser.config import (
    PRESETS,
    Config,
    TrainConfig,
    dump_config,
    load_config,
    override,
    preset,
    set_field,
)
from glyffuser.config.fields import CHOICES, FRACTIONS, LOWEST, MOST
from glyffuser.data.radicals import RADICALS
from glyffuser.diffusion.process import PREDICTIONS, x0_weight
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import Schedule
from glyffuser.networks.build import BESIDE, NETWORKS
from glyffuser.train.optimizer import build_optimizer

HINTS = {
    f"{section.name}.{name}": hint for section in fields(Config) for name, hint in get_type_hints(section.type).items()
}


def allowed(key: str) -> st.SearchStrategy[Any]:
    """Any value that a setting may have."""
    hint = HINTS[key]
    if key in CHOICES:
        return st.sampled_from(CHOICES[key])
    if get_args(hint):
        items = st.booleans() if get_args(hint)[0] is bool else st.integers(1, MOST)
        return st.lists(items, max_size=5).map(tuple)
    numbers = st.floats(0, 1 if key in FRACTIONS else None, allow_nan=False, allow_infinity=False)
    # TOML is UTF-8, so it has no lone surrogates.
    text = st.text(st.characters(exclude_categories=["Cs"]))
    return {bool: st.booleans(), int: st.integers(LOWEST.get(key, 1), MOST), float: numbers, str: text}[hint]


settings = st.sampled_from(sorted(HINTS)).flatmap(lambda key: st.tuples(st.just(key), allowed(key)))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_differ_from_the_defaults_as_the_table_says(name):
    config, default = preset(name), Config()
    for key in HINTS:
        section, _, field = key.partition(".")
        expected = PRESETS[name].get(key, getattr(getattr(default, section), field))
        assert getattr(getattr(config, section), field) == expected
    assert set(PRESETS[name]) <= set(HINTS)


def test_presets_do_not_share_their_sections():
    first = preset("tiny")
    first.train.lr = 1.0
    assert preset("tiny").train.lr != 1.0


def test_article_is_the_classic_recipe():
    config = preset("article")
    assert (config.diffusion.prediction_type, config.diffusion.schedule, config.diffusion.T) == (
        "epsilon",
        "linear",
        1000,
    )
    assert (config.model.patch_size, config.model.block_out_channels) == (1, (128, 256, 512, 512))


def test_networks_that_are_told_radicals_know_all_of_them():
    told = [preset(name).model.num_class_embeds for name in PRESETS]
    assert set(told) == {0, 1 + len(RADICALS)}  # 0 stands for none


def test_unknown_preset_lists_the_names():
    with pytest.raises(
        UserError, match="'huge'; choose one of cpu, gpu, transformer, unconditional, styles, cascade, "
    ):
        preset("huge")


def test_every_name_stands_for_something_and_nothing_else_does():
    assert tuple(NETWORKS) == KINDS
    assert tuple(BESIDE) == COMPANIONS
    assert tuple(PREDICTIONS) == PREDICTION_TYPES
    assert tuple(SAMPLERS) == SAMPLER_NAMES
    for name in SCHEDULES:
        assert Schedule(name).sigma_max() > 0
        for timesteps in TIMESTEPS:
            assert Schedule(name).sample_timesteps(4, timesteps).shape == (4,)
    for name in WEIGHTINGS:
        assert x0_weight(name, "sample", torch.ones(1), Schedule()) > 0
    for wrong in (
        lambda: Schedule("sine"),
        lambda: Schedule().sample_timesteps(4, "normal"),
        lambda: x0_weight("heavy", "sample", torch.ones(1), Schedule()),
    ):
        with pytest.raises(ValueError, match=r"unknown .* choose one of"):
            wrong()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_those_of_their_names(name, small_unet):
    built = build_optimizer(small_unet(), replace(TrainConfig(), optimizer=name))
    assert type(built).__name__.lower() == name


@given(settings)
@example(("data.path", 'quote " backslash \\ controls \x00\n\x1f\x7f beyond \u2028 \U0001f41f'))
def test_any_setting_survives_dump_and_load(tmp_path_factory, setting):
    config = Config()
    set_field(config, *setting)
    path = tmp_path_factory.getbasetemp() / "config.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    # Loaded over another base, so that only a complete file restores everything.
    assert load_config(path, preset("article")) == config


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("train.lr=1e-4", 1e-4),
        ("train.lr=1", 1.0),
        ("train.batch_size = 8", 8),
        ("train.tensorboard=true", True),
        ("text.encoder=t5", "t5"),
        ('text.encoder="t5"', "t5"),
        ("data.path=/some/where=else.parquet", "/some/where=else.parquet"),
        ("model.block_out_channels=[8, 16]", (8, 16)),
        ("model.attention_levels=[false, true]", (False, True)),
    ],
)
def test_override(assignment, value):
    key = assignment.partition("=")[0].strip()
    section, _, field = key.partition(".")
    changed = getattr(getattr(override(Config(), [assignment]), section), field)
    assert changed == value
    assert type(changed) is type(value)


def test_toml_changes_only_what_it_names(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text("[train]\nlr = 0.5\n[model]\nblock_out_channels = [1, 2]\n")
    expected = preset("tiny")
    expected.train.lr, expected.model.block_out_channels = 0.5, (1, 2)
    assert load_config(path, preset("tiny")) == expected


def test_dump_is_toml_with_every_field():
    tables = tomllib.loads(dump_config(Config()))
    assert {f"{section}.{key}" for section, values in tables.items() for key in values} == set(HINTS)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.lr", ["--set train.lr", "section.key=value"]),
        ("train.speed=3", ["'train.speed'", "[train] has", "lr"]),
        ("rain.lr=3", ["'rain.lr'", "data, text, model, diffusion, train"]),
        ("lr=3", ["'lr'", "train.lr"]),
        ("train=3", ["'train'"]),
        (".=3", ["'.'"]),
        ("train.lr=fast", ["train.lr must be float", "'fast'"]),
        ("train.lr=true", ["train.lr must be float", "True"]),
        ("train.lr=", ["train.lr must be float", "''"]),
        ("train.batch_size=8.5", ["train.batch_size must be int", "8.5"]),
        ("train.batch_size=false", ["train.batch_size must be int", "False"]),
        ("train.tensorboard=1", ["train.tensorboard must be bool", "1"]),
        ("data.path=3", ["data.path must be str", "3"]),
        ("model.block_out_channels=8", ["model.block_out_channels must be tuple[int, ...]", "8"]),
        ('model.block_out_channels=[8, "x"]', ["model.block_out_channels must be int", "'x'"]),
        ("train.batch_size=0", ["train.batch_size must be 1 or more", "0"]),
        ("train.seed=-1", ["train.seed must be 0 or more", "-1"]),
        ("train.lr=-0.1", ["train.lr must be 0 or more", "-0.1"]),
        ("train.lr=nan", ["train.lr must be 0 or more", "nan"]),
        ("train.lr=inf", ["train.lr must be 0 or more", "inf"]),
        ("data.drop=1.5", ["data.drop must be between 0 and 1", "1.5"]),
        ("model.block_out_channels=[8, 0]", ["model.block_out_channels must be 1 or more", "0"]),
        ("diffusion.schedule=sine", ["diffusion.schedule must be one of linear, cosine, flow", "'sine'"]),
        ("diffusion.T=1", ["diffusion.T must be 2 or more", "1"]),
        ("train.mixed_precision=fp8", ["train.mixed_precision must be one of no, bf16, fp16", "'fp8'"]),
    ],
)
def test_a_mistake_is_named_in_one_line(assignment, words):
    config = Config()
    with pytest.raises(UserError) as caught:
        override(config, [assignment])
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert config == Config()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[train]\nlr = \n", ["not valid TOML", "line 2"]),
        (b"lr = 1.0\n", ["lr is outside a section", "train"]),
        (b"[rain]\nlr = 1.0\n", ["'rain.lr'", "train"]),
        (b"[train]\nspeed = 1.0\n", ["'train.speed'"]),
        (b'[train]\nlr = "fast"\n', ["train.lr must be float"]),
        (b"[train]\nlr = 2024-01-01\n", ["train.lr must be float"]),
        (b"[train]\nlr = 1.0 # \xff\n", ["cannot read"]),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, content, words):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("missing", [Path("nowhere.toml"), Path()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, missing):
    with pytest.raises(UserError, match=f"cannot read the configuration {tmp_path / missing}"):
        load_config(tmp_path / missing)
