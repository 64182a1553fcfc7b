"""The inputs of figures: a data set in shards gives those of one file."""

import shutil

import numpy as np

from glyffuser.data.dataset import build_dataset
from glyffuser.data.fonts import default_font
from glyffuser.data.unihan import read_unihan
from glyffuser.guide.inputs import Inputs


def test_shards_give_what_a_file_gives(tmp_path):
    def inputs(name, shards, last=0x6C50):
        chosen = range(0x6C34, last)
        path = build_dataset(
            [default_font()], read_unihan(), tmp_path / name, size=32, codepoints=chosen, shards=shards
        ).path
        return Inputs(path, tmp_path)

    file, folder, more = inputs("a.parquet", 0), inputs("a", 2), inputs("b", 2, last=0x6C60)
    assert np.array_equal(folder.data.images, file.data.images)
    assert folder.data.chars == file.data.chars
    assert folder.info["rows"] == len(folder.data)
    assert folder.data_hash == inputs("a", 2).data_hash != more.data_hash


def test_a_model_that_was_cloned_is_the_same_model(tiny_model, tmp_path):
    cloned = shutil.copytree(tiny_model, tmp_path / "cloned")
    for folder in (".git/objects", ".cache/huggingface"):
        (cloned / folder).mkdir(parents=True)
    assert Inputs("glyphs", cloned).key("model") == Inputs("glyphs", tiny_model).key("model")
    (cloned / "unet" / "config.json").write_text("{}")
    assert Inputs("glyphs", cloned).key("model") != Inputs("glyphs", tiny_model).key("model")
