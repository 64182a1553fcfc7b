"""Where a model has a prior, figures and texts say what the radical does; where it has none, they say nothing of it."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from glyffuser.commands.cli import _parse
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.figures.steering import guidance as steering
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.sampling import text_alone, with_radical, withheld
from glyffuser.guide.site.pages import write_site
from glyffuser.networks.unet import UNet
from glyffuser.text.prior import RadicalPrior

WATER = 85


@pytest.fixture(scope="module")
def told(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The shared inputs, but the network takes a radical and a prior expects water of every text."""
    pipe = inputs.pipe
    settings = {key: value for key, value in pipe.unet.config.items() if not key.startswith("_")}
    unet = UNet(**settings | {"num_class_embeds": 215}).eval()
    unet.load_state_dict(pipe.unet.state_dict(), strict=False)
    assert unet.class_embedding is not None
    unet.class_embedding.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    unet.class_embedding.weight.data[0] = 0
    prior = RadicalPrior(dim=16)
    prior.radical.weight.data.zero_()
    prior.radical.bias.data.fill_(-30.0)
    prior.radical.bias.data[WATER - 1] = 0.0

    class Told(Inputs):
        pipe = GlyffuserPipeline(unet, inputs.pipe.text_encoder, inputs.pipe.scheduler, prior)
        recogniser = inputs.recogniser

    return Told(inputs.data_path, inputs.model_path, inputs.run_path, quick=True, cache=tmp_path_factory.mktemp("told"))


def test_text_alone_gives_the_network_no_radical(told, inputs):
    with_it, without = (pipe.condition(["gold"]) for pipe in (told.pipe, text_alone(told.pipe)))
    assert with_it.radical is not None
    assert with_it.radical.tolist() == [WATER]
    assert without.radical is not None
    assert without.radical.tolist() == [0]
    assert torch.equal(with_it.states, without.states)
    # With label 0 at zero, the same network as before it took radicals.
    x, t = torch.zeros(1, 1, 32, 32), torch.tensor([500.0])
    seen = [pipe.network(x, t, pipe.condition(["gold"])) for pipe in (text_alone(told.pipe), inputs.pipe, told.pipe)]
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_captions_speak_of_the_radical_only_where_there_is_a_prior(told, inputs, monkeypatch):
    monkeypatch.setattr(steering, "METAL", WATER)
    assert withheld(inputs.pipe) == with_radical(inputs.pipe) == ""
    for name, words in {
        "single-step": "withheld",
        "attention": "withheld",
        "guidance": "withheld",
        "gold": f"({WATER} as the likeliest)",
        "neighbours": "the radical that the prior reads",
        "steps": "the radical that the prior reads",
    }.items():
        assert words in FIGURES[name].build(told).caption, name
        assert "prior" not in FIGURES[name].build(inputs).caption, name


def pages(inputs: Inputs, out: Path) -> dict[str, str]:
    write_site([], inputs, out, "glyffuser guide")
    return {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*.html")}


def test_chapters_depend_on_the_prior(told, inputs, tmp_path):
    here, there = pages(told, tmp_path / "told"), pages(inputs, tmp_path / "text")
    assert "Nobody told it what a stroke is, or a radical." in there["chapter-1"]
    assert "and with the number of their radical. Nobody told it what a stroke is" in here["chapter-1"]
    assert "given two more things" in there["chapter-2"]
    assert "given three more things" in here["chapter-2"]
    assert not any("#prior" in page or "the prior" in page for page in there.values())
    terms = {term for page in here.values() for term in re.findall(r'href="glossary.html#([\w-]+)"', page)}
    assert terms == set(re.findall(r'<div id="([^"]+)"><dt>', here["glossary"]))
    (commands,) = re.findall(r"<pre><code>(.*?)</code></pre>", here["chapter-3"], re.DOTALL)
    for line in commands.splitlines():
        _parse(shlex.split(line.replace("&#34;", '"'))[1:])
