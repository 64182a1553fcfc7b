"""The Python programs in the documents.

What they import from the package is checked; those of README, EDITING and TRAINING run here with a tiny model, those
of STUDIO and ONNX in tests/serve/test_api.py and tests/export/test_onnx.py.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

from training_runs import towered

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] if "```python" in path.read_text("utf-8")
)
SMALLER = {  # text of a program, and what replaces it here
    "README": [(".from_pretrained()", ".from_pretrained(MODEL)")],
    "EDITING": [("load_pipeline()", "load_pipeline(MODEL)")],
    "TRAINING": [('preset("cpu")', "CONFIG")],
}


def program(document: Path) -> str:
    """The only program in a document."""
    (found,) = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_what_a_program_imports_of_the_package_is_there(document):
    for node in ast.walk(ast.parse(program(document))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("glyffuser"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("name", SMALLER)
def test_a_program_runs(name, tiny_model, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = (program(path) for path in DOCUMENTS if path.stem == name)
    for large, small in SMALLER[name]:
        assert text.count(large) == 1
        text = text.replace(large, small)
    found = {"MODEL": tiny_model, "CONFIG": tiny_config}
    exec(text, found)
    if name == "README":
        assert {path.name for path in tmp_path.iterdir()} == {"gold.png", "gold-unipc.png"}
    if name == "EDITING":
        assert found["frames"].shape == (24, 1, 32, 32)
    if name == "TRAINING":
        assert found["progress"].step == tiny_config.train.max_steps
        assert (tmp_path / "runs" / "mine" / "model" / "model_index.json").is_file()


def test_the_program_of_training_goes_on_with_its_run(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = (program(path) for path in DOCUMENTS if path.stem == "TRAINING")
    found = {"CONFIG": towered(tiny_config)}
    for steps in (2, 3):
        tiny_config.train.max_steps = steps
        exec(text.replace(*SMALLER["TRAINING"][0]), found)
        assert found["progress"].step == steps
        monkeypatch.setattr("glyffuser.train.setup.train_tower", None)  # the run's own is taken from now on
