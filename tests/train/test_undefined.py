"""Training on characters without a definition, too: they are described by their parts, and the tower knows nothing of
them."""

import numpy as np
import pytest

from glyffuser.data.dataset import build_dataset, load_dataset, split_of
from glyffuser.data.fonts import default_font
from glyffuser.data.unihan import read_unihan
from glyffuser.train import setup as module


@pytest.fixture
def config(tiny_config, tmp_path):
    path = tmp_path / "all.parquet"
    build_dataset([default_font()], read_unihan(), path, size=32, codepoints=range(0x6C34, 0x6C34 + 60), undefined=True)
    tiny_config.data.path = str(path)
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
    config.text.tower, config.text.tower_steps, config.data.composition, config.data.drop = 8, 2, 0.15, 0.0
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
