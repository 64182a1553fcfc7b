"""Small evaluations for tests of what goes around the numbers; tests/evaluate/test_measure.py tests the numbers."""

import pytest

from glyffuser.evaluate import artist, measure
from glyffuser.evaluate.artist import EvaluationSettings

SMALL = EvaluationSettings(
    per_prompt=1, gold_seeds=1, paraphrases=1, told=1, told_seeds=1, definitions=50, steps=1, curve_steps=(),
    curve_guidance=(),
)  # fmt: skip


def ask_few_paraphrases(patch: pytest.MonkeyPatch) -> None:
    """Let evaluations ask for a few paraphrases of each list: half of a small one's glyphs are drawn for them."""
    for module in (artist, measure):
        for name, few in (("PARAPHRASES", 4), ("OTHER_PARAPHRASES", 5)):
            patch.setattr(module, name, getattr(module, name)[:few])
