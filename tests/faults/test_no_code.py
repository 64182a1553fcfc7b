"""No file that is read can bring code along: no pickle or module named by a model is loaded, no program started."""

import ast
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import glyffuser
from glyffuser.base.errors import UserError
from glyffuser.base.pictures import read_image
from glyffuser.commands.cli import main
from glyffuser.judge.judges import BUNDLED_JUDGES, load_part
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower
from glyffuser.train.folder import RunFolder

SOURCES = sorted(Path(glyffuser.__file__).parent.rglob("*.py"))
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "runpy", "code"}
CALLS = {"eval", "exec", "compile", "__import__"}


def called(node: ast.Call) -> str:
    """The dotted name of what is called."""
    return ast.unparse(node.func)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_source_loads_what_can_run(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {module.split(".")[0] for module in modules} & LOADERS, modules
        if not isinstance(node, ast.Call):
            continue
        name, given = called(node), {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert name not in CALLS, name
        assert name not in ("torch.load", "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter"), name
        assert given.get("trust_remote_code", "False") == "False", name
        assert name not in ("np.load", "numpy.load") or given.get("allow_pickle") == "False", name
        if name.endswith(".from_pretrained") and not name.startswith("AutoTokenizer"):
            passed_on = None in given or name.startswith("super()")  # **kwargs, which set it
            assert passed_on or given.get("use_safetensors") == "True" or "Pipeline" in name, name


class Bomb:
    """A pickle that makes a folder when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path) -> Path:
    return tmp_path / "code-has-run"


def armed(path: Path, mark: Path) -> None:
    """Save weights as torch.save wrote them before there was safetensors."""
    torch.save({"weight": Bomb(mark)}, path)


def test_the_bomb_goes_off_where_pickles_are_read(tmp_path, mark):
    armed(tmp_path / "x.bin", mark)
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("part", ["unet", "whole"])
def test_a_model_of_pickles_is_refused(tiny_model, tmp_path, mark, part, capsys):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    if part == "unet":
        weights.unlink()
        armed(weights.with_suffix(".bin"), mark)
    else:
        armed(weights, mark)  # under the right name
    assert main(["sample", "gold", "--steps", "1", "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "cannot load" in (said := capsys.readouterr().err) or "no safetensors" in said
    assert not mark.exists()


def test_parts_beside_a_model_are_never_pickles(tiny_encoder, tiny_config, tmp_path, mark):
    judges = Path(shutil.copytree(BUNDLED_JUDGES / "prior", tmp_path / "judges" / "prior"))
    (judges / "diffusion_pytorch_model.safetensors").unlink()
    armed(judges / "diffusion_pytorch_model.bin", mark)
    with pytest.raises(UserError, match="cannot load the prior"):
        load_part(tmp_path / "judges", "prior")
    run = tmp_path / "run"
    TextTower(16, width=8, hidden=16, components="金木").save_pretrained(run / "tower")
    assert RunFolder(run, tiny_config).tower() is not None
    (run / "tower" / "diffusion_pytorch_model.safetensors").unlink()
    armed(run / "tower" / "diffusion_pytorch_model.bin", mark)
    with pytest.raises(UserError, match="cannot load the tower"):
        RunFolder(run, tiny_config).tower()
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    (encoder / "model.safetensors").unlink()
    armed(encoder / "pytorch_model.bin", mark)
    with pytest.raises(UserError, match="cannot load the text encoder"):
        TextEncoder(str(encoder))
    assert not mark.exists()


def test_arrays_of_objects_are_refused(tmp_path, mark):
    import io
    import lzma

    from glyffuser.judge.novelty import load_ideographs

    buffer = io.BytesIO()
    np.savez(buffer, codepoints=np.array([Bomb(mark)], dtype=object), packed=np.zeros(1), font=np.array("x"))
    (tmp_path / "x.xz").write_bytes(lzma.compress(buffer.getvalue()))
    with pytest.raises(UserError, match="cannot read the table"):
        load_ideographs(tmp_path / "x.xz")
    assert not mark.exists()


def evil(folder: Path, name: str, mark: Path) -> None:
    """Write a module that makes a folder when it is imported."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Evil:\n    pass\n")


@pytest.mark.parametrize("place", ["on the path", "in the model", "of the name of the package"])
def test_a_model_cannot_name_a_module_of_its_own(tiny_model, tmp_path, mark, place, monkeypatch, capsys):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    index = model / "model_index.json"
    facts = json.loads(index.read_text())
    name = "glyffuser" if place == "of the name of the package" else "evil_module"
    evil(tmp_path / "path" if place == "on the path" else model / "unet", name, mark)
    monkeypatch.syspath_prepend(tmp_path / "path")
    facts["unet"] = [name, "Evil"]
    index.write_text(json.dumps(facts))
    assert main(["sample", "gold", "--steps", "1", "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not mark.exists()
    assert "evil_module" not in sys.modules


def test_a_text_encoder_cannot_bring_its_own_code(tiny_encoder, tmp_path, mark):
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    evil(encoder, "modeling_evil", mark)
    facts = json.loads((encoder / "config.json").read_text())
    names = ("AutoConfig", "AutoModel", "AutoModelForTextEncoding", "AutoTokenizer")
    facts |= {"model_type": "evil", "auto_map": dict.fromkeys(names, "modeling_evil.Evil")}
    (encoder / "config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="cannot load the text encoder"):
        TextEncoder(str(encoder))
    assert not mark.exists()


def test_pictures_start_no_other_program(tmp_path):
    """Pillow hands PostScript to Ghostscript; here it does not count as a picture."""
    Image.new("L", (64, 64), 255).save(tmp_path / "x.eps")
    with pytest.raises(OSError, match="cannot identify"):
        read_image(tmp_path / "x.eps", "L")


def test_nothing_is_unpickled_while_glyphs_are_drawn(tiny_model, tmp_path):
    seen, watching = [], [True]

    def hook(event: str, arguments: tuple) -> None:
        if watching[0] and event == "pickle.find_class":
            seen.append(arguments)

    sys.addaudithook(hook)
    try:
        pickle.loads(pickle.dumps(Path))
        assert len(seen) == 1  # the hook sees loads
        assert (
            main(["sample", "gold", "--steps", "1", "-n", "1", "--model", str(tiny_model), "--out", str(tmp_path)]) == 0
        )
    finally:
        watching[0] = False
    assert len(seen) == 1
