"""Lists of meanings: what counts as one, and what cannot be read."""

import pytest

from glyffuser.base.errors import UserError
from glyffuser.generate.lists import read_list


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_each_line_is_a_meaning_but_for_remarks(mark, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text(f"{mark}# mine\n gold \n\n  # more\na river # of fire\ngold\n", encoding="utf-8")
    assert read_list(path) == {2: "gold", 5: "a river # of fire", 6: "gold"}


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"# nothing\n \n", "holds no meanings"), (b"\xff\xfe\x00", "not a text in UTF-8")],
)
def test_a_list_that_cannot_be_read_is_named(content, words, tmp_path):
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(UserError, match=rf"prompts.txt.*{words}"):
        read_list(tmp_path / "prompts.txt")
