"""The data order: whole passes, a function of the seed, rare radicals more often where asked."""

import numpy as np
import pytest

from glyffuser.data.order import GlyphOrder, alike

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


BLOCKS = np.array([0, 17, 32, 50, 64, 80, 96, 110, 120])  # eight, not all of one size


@pytest.mark.parametrize("balance", [0, 0.5])
def test_blocks_are_fetched_once_a_pass(balance):
    order = GlyphOrder(RADICALS, balance, seed=4, blocks=BLOCKS, window=3)
    passes = [order.whole_pass(number) for number in range(3)]
    for glyphs in passes:
        block = np.searchsorted(BLOCKS, glyphs, side="right") - 1
        begins = [block.tolist().index(b) for b in range(8)]
        ends = [120 - block.tolist()[::-1].index(b) for b in range(8)]
        open_at_once = [sum(b <= place < e for b, e in zip(begins, ends, strict=True)) for place in range(120)]
        assert max(open_at_once) == 3  # so a reader that holds three blocks fetches each of them once
    fetched = [list(dict.fromkeys((np.searchsorted(BLOCKS, p, side="right") - 1).tolist())) for p in passes]
    assert fetched[0] != fetched[1] != fetched[2]


@pytest.mark.parametrize("balance", [0, 0.5])
def test_blocks_change_the_order_of_a_pass_and_nothing_else(balance):
    free, blocked = GlyphOrder(RADICALS, balance, 5), GlyphOrder(RADICALS, balance, 5, BLOCKS, window=3)
    for number in range(3):
        assert (np.sort(blocked.whole_pass(number)) == np.sort(free.whole_pass(number))).all()
    whole = blocked(np.arange(600))
    places = np.array([3, 500, 119, 120, 121, 4])
    assert (GlyphOrder(RADICALS, balance, 5, BLOCKS, window=3)(places) == whole[places]).all()
    assert not (GlyphOrder(RADICALS, balance, 6, BLOCKS, window=3)(np.arange(600)) == whole).all()


def test_all_blocks_in_one_window_are_a_permutation_of_all_glyphs():
    """Every glyph takes every place equally often."""
    blocks = np.array([0, 4, 8, 12])
    counts = np.zeros((12, 12))
    for seed in range(3000):
        counts[np.arange(12), GlyphOrder(np.ones(12), 0, seed, blocks, window=3).whole_pass(0)] += 1
    assert ((counts - 250) ** 2 / 250).sum() < 11 * 11 + 5 * np.sqrt(2 * 11 * 11)  # chi squared


def test_alike_by_counting_pairs():
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    order = np.array([0, 1, 3, 2, 5, 6, 7, 4])  # batches 0 0 1 0 and 2 2 2 1
    found, expected = alike(order, groups, 4)
    assert found == pytest.approx((3 + 3) / 12)
    assert expected == pytest.approx((3 + 1 + 3) / 28)
    assert alike(np.arange(8), np.arange(8), 4) == (0, 0)
    assert alike(np.arange(8), np.zeros(8, int), 3) == (1, 1)  # two glyphs are left over


def test_windows_mix_well_enough():
    """Glyphs of a batch share a block 1 / window of the time, and a radical as often as in a permutation."""
    rng = np.random.default_rng(0)
    radicals = rng.choice(np.arange(1, 215), 51_200, p=rng.dirichlet(np.full(214, 0.5)))
    blocks = np.arange(0, 51_201, 256)
    of_block = np.arange(51_200) // 256
    free, mixed = GlyphOrder(radicals, 0, 0).whole_pass(1), GlyphOrder(radicals, 0, 0, blocks).whole_pass(1)
    none = np.concatenate([np.arange(blocks[b], blocks[b + 1]) for b in rng.permutation(200)])  # whole blocks
    assert alike(free, of_block, 64)[0] == pytest.approx(1 / 200, rel=0.05)
    assert alike(mixed, of_block, 64)[0] == pytest.approx(1 / 50, rel=0.05)  # 200 blocks make four windows of 50
    assert alike(none, of_block, 64)[0] == 1
    assert alike(mixed, radicals, 64)[0] == pytest.approx(alike(free, radicals, 64)[1], rel=0.02)
    far = [np.abs(np.diff(order)).mean() / 51_200 for order in (free, mixed)]  # 1/3 for a permutation
    assert far == pytest.approx([1 / 3, 1 / 3], rel=0.03)
