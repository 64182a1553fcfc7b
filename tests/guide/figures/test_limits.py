"""What the figure of the limits asks for, and how it counts."""

import numpy as np

from glyffuser.guide.figures.steering import limits
from glyffuser.guide.inputs import Inputs
from glyffuser.judge.prompts import PARAPHRASES, PROMPTS


def test_names_and_riddles_are_the_first_of_the_evaluation_for_the_same_radicals():
    assert limits.first(PROMPTS)[:2] == ["gold", "a small river fish"]
    assert limits.first(PARAPHRASES)[:2] == ["what coins are struck from", "it swims and has fins"]
    for table in (PROMPTS, PARAPHRASES):
        wanted = {prompt.text: prompt.radicals for prompt in table}
        for text, radical in zip(limits.first(table), limits.RADICALS, strict=True):
            assert radical in wanted[text]


def test_glyphs_are_counted_by_way_and_drawn_from_the_same_noise(inputs: Inputs, monkeypatch):
    asked = []

    def draw(pipe, texts, request, tick):
        asked.append((texts, request.steps, request.seed))
        tick(1, 1)
        return np.full((len(texts), 16, 16), len(asked), np.uint8)

    def occlusion(recogniser, images, radical):
        """Four, two and no glyph of each text in the three ways are read."""
        read = {1: 4, 2: 2, 3: 0}[int(images[0, 0, 0])]
        return (np.arange(4) < read).astype(float), np.zeros((4, 64, 64), np.float32)

    monkeypatch.setattr(limits, "draw", draw)
    monkeypatch.setattr(limits, "occlusion", occlusion)
    drawn = limits.limits(inputs)
    things = len(limits.RADICALS)
    assert f"in {4 * things}, {2 * things} and 0 of {4 * things} glyphs" in drawn.alt
    assert [steps for _, steps, _ in asked] == [10, limits.FEW, 10]
    assert asked[0][0] == asked[1][0] != asked[2][0]
    assert {seed for *_, seed in asked} == {inputs.seed}
