"""The cache, what is missing, and the files that are handed out."""

import dataclasses
import json

import av
import numpy as np
import pytest
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.guide import build as building
from glyffuser.guide import store, style
from glyffuser.guide.build import Built, build, check_names, export
from glyffuser.guide.catalogue import FIGURES, FigureSpec
from glyffuser.guide.drawn import Animation, Missing, Slider, Sliders, Still, Tabs
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.site.template import signs


def still() -> Still:
    with style.applied():
        figure = style.figure(1)
        figure.subplots().plot([1, 2])
    return Still(figure, "a line", "rises")


def animation() -> Animation:
    frames = [Image.new("RGB", (61, 41), (10 * k, 0, 0)) for k in range(5)]
    return Animation(frames, "it reddens", "slowly", [f"t = {k}" for k in range(5)], fps=10, rest=2)


@pytest.fixture
def drawing(monkeypatch):
    """Figures replaced by one whose drawings are recorded: the inputs of each."""
    calls: list[Inputs] = []

    def draw(inputs: Inputs) -> Still:
        calls.append(inputs)
        return still()

    monkeypatch.setattr(FigureSpec, "build", property(lambda spec: draw))
    return calls


def test_all_ids_of_the_plan_are_in_the_table():
    ids = (
        *("samples", "gaussian", "pixels", "map", "density", "noise", "chain", "schedules", "one-step", "forward"),
        *("prediction", "unet", "time-embedding", "training", "denoise", "steps", "samplers", "score", "conditional"),
        *("tokens", "single-step", "gold", "guidance", "attention", "latent", "cascade", "neighbours"),
        "limits",
    )
    assert tuple(FIGURES) == ids


def test_a_figure_is_drawn_once(drawing, tiny_data, tiny_model, tmp_path):
    inputs = Inputs(tiny_data, tiny_model, cache=tmp_path)
    (first,) = build([FIGURES["density"]], inputs)
    (second,) = build([FIGURES["density"]], inputs)
    assert len(drawing) == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.folder == second.folder


def test_another_seed_quickness_or_model_is_another_figure(inputs, tiny_data, tiny_model, tmp_path):
    spec = FIGURES["samples"]
    folders = {
        store.folder_of(spec, Inputs(tiny_data, tiny_model, cache=tmp_path, **changed)).name
        for changed in ({}, {"seed": 1}, {"quick": True})
    }
    other = tmp_path / "model"
    (other / "unet").mkdir(parents=True)
    (other / "unet" / "config.json").write_text("{}")
    folders.add(store.folder_of(spec, Inputs(tiny_data, other, cache=tmp_path)).name)
    assert len(folders) == 4
    toy = FIGURES["one-step"]  # depends on no input: another model leaves it unchanged
    assert store.folder_of(toy, Inputs(tiny_data, other, cache=tmp_path)) == (
        store.folder_of(toy, Inputs(tiny_data, tiny_model, cache=tmp_path))
    )


def test_another_version_of_its_drawing_is_another_figure(inputs):
    spec = FIGURES["gold"]
    newer = dataclasses.replace(spec, version=spec.version + 1)
    assert store.folder_of(newer, inputs) != store.folder_of(spec, inputs)


def test_what_lacks_an_input_is_told_and_the_rest_goes_on(monkeypatch, tiny_data, tiny_model, tmp_path):
    inputs = Inputs(tiny_data, tiny_model, cache=tmp_path)

    def draw(inputs: Inputs) -> Still:
        raise Missing("no such thing; make one with: glyffuser thing")

    monkeypatch.setattr(FigureSpec, "build", property(lambda spec: draw))
    reports: list[float] = []
    built = build([FIGURES["noise"], FIGURES["pixels"]], inputs, lambda part, text: reports.append(part))
    assert [one.missing for one in built] == ["no such thing; make one with: glyffuser thing"] * 2
    assert reports[-1] == 1.0
    assert reports == sorted(reports)


def test_data_and_model_that_are_missing_are_told(tmp_path, tiny_data):
    with pytest.raises(Missing, match="glyffuser dataset build"):
        _ = Inputs(tmp_path / "no.parquet").data
    with pytest.raises(Missing, match="glyffuser train"):
        _ = Inputs(tiny_data, tmp_path).pipe
    with pytest.raises(Missing, match="glyffuser train-judges"):
        _ = Inputs(tiny_data, judges=tmp_path).recogniser
    with pytest.raises(Missing, match="--run"):
        _ = Inputs(tiny_data).run


def test_an_unknown_figure_lists_the_known():
    with pytest.raises(UserError, match=r"'sore'.*score"):
        check_names(["sore"])
    assert [spec.id for spec in check_names(["score", "samples"])] == ["samples", "score"]
    assert len(check_names([])) == len(FIGURES)


def exported(drawn, tmp_path):
    folder = tmp_path / "cached"
    store.save(drawn, folder)
    return {path.name for path in export(Built(FIGURES["score"], folder), tmp_path / "out")}


def test_a_still_becomes_png_and_svg(tmp_path):
    assert exported(still(), tmp_path) == {"score.png", "score.svg"}
    assert Image.open(tmp_path / "out" / "score.png").size == (9 * style.DPI, style.DPI)
    assert "<svg" in (tmp_path / "out" / "score.svg").read_text()


def test_an_animation_becomes_films(tmp_path):
    names = {"score.png", "score.svg", "score.mp4", "score.webp", "score.gif"}
    assert exported(animation(), tmp_path) == names
    with av.open(str(tmp_path / "out" / "score.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 5 + 10  # the last stays for a second
    assert frames[0].shape == (40, 60, 3)
    assert abs(int(np.median(frames[4][..., 0])) - 40) < 8
    for kind in ("webp", "gif"):
        assert getattr(Image.open(tmp_path / "out" / f"score.{kind}"), "n_frames", 1) == 5
    assert Image.open(tmp_path / "out" / "score.png").getpixel((0, 0)) == (20, 0, 0)  # the frame at rest


def test_sliders_become_a_picture_for_every_position(tmp_path):
    pictures: dict[tuple[int, ...], Image.Image] = {(k,): Image.new("RGB", (8, 8), (100 * k, 0, 0)) for k in range(2)}
    drawn = Sliders([Slider("n", "draws", ["10", "100"], 1)], pictures, "two", "of them")
    assert exported(drawn, tmp_path) == {"score.png", "score.svg", "score-0.png", "score-1.png"}


def test_tabs_become_files_of_their_own(tmp_path):
    drawn = Tabs([("At once", still()), ("In motion", animation())], "both", "kinds")
    names = exported(drawn, tmp_path)
    assert {"score.png", "score.svg", "score-in-motion.mp4"} <= names


def test_a_killed_drawing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store.json, "dumps", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save(still(), tmp_path / "figure")
    assert list(tmp_path.iterdir()) == []


def test_figures_of_other_inputs_go_after_a_week(inputs, drawing, monkeypatch):
    old = inputs.cache / "figures" / "noise-0123456789abcdef"
    old.mkdir(parents=True)
    build([FIGURES["noise"]], inputs)
    assert old.is_dir()
    monkeypatch.setattr(building, "KEEP_SECONDS", -1)
    next((inputs.cache / "figures").glob("noise-*/figure.json")).unlink()
    for folder in (inputs.cache / "figures").glob("noise-*"):
        if folder != old:
            (folder / "figure.json").unlink(missing_ok=True)
    build([FIGURES["noise"]], inputs)
    assert not old.exists()


def test_listing_figures_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, glyffuser.guide.catalogue; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("x_t < y", '<i class="v">x</i><sub>t</sub> &lt; y'),
        ("p(x_(t−1))", 'p(<i class="v">x</i><sub>t−1</sub>)'),
        ("√ᾱ_t", '√<i class="v"><span class="over">α</span></i><sub>t</sub>'),
        ("snake_case", "snake_case"),
    ],
)
def test_captions_have_subscripts(text, html):
    assert signs(text) == html


def test_figure_json_is_plain(tmp_path):
    store.save(animation(), tmp_path / "figure")
    facts = json.loads((tmp_path / "figure" / "figure.json").read_text())
    assert facts["kind"] == "animation"
    assert len(facts["frames"]) == len(facts["labels"]) == 5
    assert all((tmp_path / "figure" / name).is_file() for name in facts["frames"])
