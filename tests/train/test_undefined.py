"""Training on characters without a definition, too: they are described by their parts, and the tower knows nothing of
them."""

import numpy as np
import pytest

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import build_dataset, load_dataset, split_of
from glyffuser.data.fonts import default_font
from glyffuser.data.unihan import read_unihan
from glyffuser.train import setup as module

UNIHAN = read_unihan()


@pytest.fixture
def config(tiny_config, tmp_path):
    """A data set of what follows 水, defined or not, and a tower to fit."""
    path = tmp_path / "all.parquet"
    build_dataset([default_font()], UNIHAN, path, size=32, codepoints=range(0x6C34, 0x6C34 + 60), undefined=True)
    tiny_config.data.path, tiny_config.text.tower, tiny_config.text.tower_steps = str(path), 8, 2
    return tiny_config


def test_they_are_drawn_with_descriptions_of_their_parts_and_the_tower_does_not_learn_from_them(config, monkeypatch):
    seen: dict[str, tuple[str, int]] = {}

    def spy(captions, texts, chars, radicals, *rest):
        told = [
            captions.texts[i] for i in captions.draw(np.arange(len(chars)), (1, 0, 0), 0.0, np.random.default_rng())
        ]
        seen.update(zip(chars, zip(told, radicals.tolist(), strict=True), strict=True))
        return tower(captions, texts, chars, radicals, *rest)

    tower = module.train_tower
    monkeypatch.setattr(module, "train_tower", spy)
    config.data.composition, config.data.drop = 0.15, 0.0
    parts = module.setup(config)
    defined = load_dataset(config.data.path, "train")
    assert seen == dict(
        zip(defined.chars, zip(defined.definitions, defined.radicals.tolist(), strict=True), strict=True)
    )
    captions = parts.batches.captions
    glyphs = [chr(c) for c in range(0x6C34, 0x6C34 + 60) if split_of(c) == "train"]
    assert len(parts.batches) == len(glyphs) > len(defined) > 0
    new = glyphs.index("汃")  # 氵 beside 八
    drawn = captions.draw(np.full(50, new), config.data.kinds, 0.0, np.random.default_rng(0))
    assert {captions.texts[number] for number in drawn} == {"water at the left, eight at the right"}


def test_a_tower_has_nothing_to_learn_where_nothing_is_defined(config):
    without = sorted(code for code in UNIHAN.undefined if code in range(0x6C34, 0x6C34 + 100))
    build_dataset([default_font()], UNIHAN, config.data.path, size=32, codepoints=without, undefined=True)
    with pytest.raises(UserError, match=r"defines no character .* text\.tower=0"):
        module.setup(config)
