"""Choosing: what exists is replaced, the best are kept in their order, and the same request gives the same glyphs."""

from typing import Any

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.generate.choose import PATIENCE, best, choose
from glyffuser.generate.draw import draw, quiet
from glyffuser.generate.request import Request
from glyffuser.judge.novelty import EXISTS, REACH, Match

GOLD = Request("gold", n=4, steps=1, new=True)


def choose_from(pipe, request, table: Any, selector: Any = None, tick=quiet):
    """`choose` with a given table and selector."""
    return choose(pipe, request, table, selector, tick)


class Known:
    """A table that knows some of a seed's glyphs by their pictures."""

    def __init__(self, pipe, request, numbers):
        images = draw(pipe, ["gold"] * 32, request, numbers=range(32))
        self.known = [images[k].astype(int) for k in numbers]

    def nearest(self, images):
        return [Match("金", 0, EXISTS if self.knows(image) else REACH) for image in images]

    def knows(self, image):
        return any(np.abs(image - known).max() <= 2 for known in self.known)  # other batch sizes round differently


class Darkest:
    """A selector that prefers ink."""

    def __call__(self, images):
        return images

    def expect(self, encoder, texts):
        return torch.zeros(len(texts), 214)

    def merit(self, images, expected):
        return -torch.from_numpy(images.mean((1, 2)))


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


def test_what_exists_is_replaced_by_further_glyphs_and_again_if_those_exist(pipe):
    steps = []
    chosen = choose_from(pipe, GOLD, Known(pipe, GOLD, (1, 2, 5)), tick=lambda *at: steps.append(at))
    assert chosen.numbers == [0, 3, 4, 6]  # 1 and 2 give way to 4 and 5, and 5 to 6
    assert steps == [(1, 1), (2, 2), (3, 3)]
    assert not any(match.exists for match in chosen.matches)
    everything = draw(pipe, ["gold"] * 8, GOLD)
    assert np.abs(chosen.images.astype(int) - everything[chosen.numbers]).max() <= 2


def test_the_same_request_gives_the_same_bytes(pipe):
    one, two = (choose_from(pipe, GOLD, Known(pipe, GOLD, (0,))) for _ in range(2))
    np.testing.assert_array_equal(one.images, two.images)
    assert one.numbers == two.numbers == [1, 2, 3, 4]


def test_without_new_what_exists_is_kept_and_told(pipe):
    request = Request("gold", n=4, steps=1)
    chosen = choose_from(pipe, request, Known(pipe, request, (1,)))
    assert chosen.numbers == [0, 1, 2, 3]
    assert [match.exists for match in chosen.matches] == [False, True, False, False]


def test_the_best_are_chosen_among_new_ones(pipe):
    request = Request("gold", n=2, steps=1, best_of=4)
    images = draw(pipe, ["gold"] * 16, request)
    darkest = int(images[:8].mean((1, 2)).argmin())
    table = Known(pipe, request, (darkest,))
    chosen = choose_from(pipe, request, table, Darkest())
    left = [k for k in range(9) if k != darkest]
    ink = images.mean((1, 2))
    assert chosen.numbers == sorted(sorted(left, key=lambda k: ink[k])[:2])
    kept = choose_from(pipe, Request("gold", n=2, steps=1, best_of=4, new=False), table, Darkest())
    assert darkest in kept.numbers


def test_a_model_that_only_repeats_what_exists_is_told_so(pipe):
    class Everything:
        def nearest(self, images):
            return [Match("金", 0, 0.0)] * len(images)

    with pytest.raises(UserError, match=f"of {4 * PATIENCE} glyphs for 'gold', {4 * PATIENCE} exist.*--no-new"):
        choose_from(pipe, GOLD, Everything())


def test_patience_ends_with_fewer_to_choose_from_where_there_are_enough(pipe):
    request = Request("gold", n=1, steps=1, best_of=4)
    old = [k for k in range(32) if k not in (3, 20, 31)]  # 32 = 8 x 4: where patience ends
    chosen = choose_from(pipe, request, Known(pipe, request, old), Darkest())
    ink = draw(pipe, ["gold"] * 32, request).mean((1, 2))
    assert chosen.numbers == [min((3, 20, 31), key=lambda k: ink[k])]


def test_the_best_are_kept_in_the_order_of_drawing_and_of_equals_the_earlier():
    assert best(torch.tensor([0.0, 5.0, 1.0, 4.0, 2.0, 3.0]), 2) == [1, 3]
    assert best(torch.tensor([1.0, 2.0, 2.0, 2.0]), 2) == [1, 2]


@pytest.mark.parametrize(
    ("best_of", "new", "only_new"), [(1, None, False), (4, None, True), (1, True, True), (4, False, False)]
)
def test_only_new_is_the_default_where_one_chooses(best_of, new, only_new):
    assert Request("gold", best_of=best_of, new=new).only_new is only_new
