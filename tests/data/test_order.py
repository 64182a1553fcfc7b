"""The data order: whole passes, a function of the seed, rare radicals more often where asked."""

import numpy as np
import pytest

from glyffuser.data.order import GlyphOrder

RADICALS = np.repeat([1, 2, 3], [100, 16, 4])  # 120 glyphs


def test_every_glyph_once_a_pass():
    order = GlyphOrder(RADICALS, balance=0, seed=0)
    drawn = order(np.arange(360)).reshape(3, 120)
    assert (np.sort(drawn, axis=1) == np.arange(120)).all()
    assert not (drawn[0] == drawn[1]).all()


@pytest.mark.parametrize("balance", [0, 0.5])
def test_it_is_a_function_of_seed_and_place(balance):
    places = np.array([3, 500, 119, 120])
    whole = GlyphOrder(RADICALS, balance, seed=1)(np.arange(600))
    assert (GlyphOrder(RADICALS, balance, seed=1)(places) == whole[places]).all()
    assert not (GlyphOrder(RADICALS, balance, seed=2)(np.arange(600)) == whole).all()


@pytest.mark.parametrize("balance", [0.4, 1.0])
def test_balance_is_as_stated(balance):
    seen = np.bincount(GlyphOrder(RADICALS, balance, seed=0)(np.arange(120 * 400)), minlength=120) / 400
    groups = np.array([seen[r == RADICALS].mean() for r in (1, 2, 3)])
    wanted = np.array([100, 16, 4]) ** -balance
    np.testing.assert_allclose(groups / groups[0], wanted / wanted[0], rtol=0.02)
    assert seen.sum() == pytest.approx(120)


def test_no_glyph_is_due_more_than_its_share_in_one_pass():
    order = GlyphOrder(RADICALS, balance=1.0, seed=0)
    assert order.edges is not None
    due = np.diff(order.edges, prepend=0)
    for number in range(5):
        counts = np.bincount(order.whole_pass(number), minlength=120)
        assert (np.floor(due) <= counts).all()
        assert (counts <= np.ceil(due)).all()
