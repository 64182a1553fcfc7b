"""What a step sees: every glyph once per epoch, as a function of seed and place, radicals told or not."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from glyffuser.config import override
from glyffuser.train.setup import setup
from training_runs import glyphs, told


def test_every_glyph_comes_once_an_epoch_in_a_fresh_order(tiny_config):
    parts = setup(tiny_config)
    assert len(parts.batches.images) == 64  # the one for testing is not among them
    epochs = [[g for step in range(8 * e, 8 * e + 8) for g in glyphs(parts, step)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(64))
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_across_two_epochs(tiny_config):
    tiny_config.train.batch_size = 48  # of 64 glyphs: step 1 takes 16 of the first epoch and 32 of the second
    parts = setup(tiny_config)
    drawn = [g for step in range(4) for g in glyphs(parts, step)]
    assert all(sorted(drawn[e * 64 : (e + 1) * 64]) == list(range(64)) for e in range(3))


def test_a_batch_is_a_function_of_seed_and_place(tiny_config):
    parts = setup(tiny_config)
    first = parts.batch(24)
    torch.manual_seed(99)
    np.random.seed(99)
    parts.batch(32)
    again, next_one = parts.batch(24), parts.batch(32)
    for name in ("x0", "eps", "t"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert torch.equal(first.cond.states, again.cond.states)
    for name in ("x0", "eps", "t"):
        assert not torch.equal(getattr(first, name), getattr(next_one, name)), name
    assert (first.x0.min(), first.x0.max()) == (-1, 1)
    assert first.cond.states.shape[:2] == first.cond.mask.shape
    tiny_config.train.seed = 1
    assert not torch.equal(setup(tiny_config).batch(24).eps, first.eps)


def test_a_stretch_of_the_order_is_the_same_in_pieces(tiny_config):
    config = override(told(tiny_config), ["model.components=5", "data.drop_parts=0.25", "data.balance=0.5"])
    batches = setup(config).batches
    whole, pieces = batches.draw(40, 48), [batches.draw(first, 16) for first in (40, 56, 72)]  # across a pass's end
    for name in ("x0", "eps", "t"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name)), name
    longest = whole.cond.mask.shape[1]
    conds = [piece.cond.pad(longest) for piece in pieces]
    for name in ("states", "mask", "radical", "parts"):
        assert torch.equal(torch.cat([getattr(cond, name) for cond in conds]), getattr(whole.cond, name)), name


def test_radicals_are_dropped_with_the_caption_and_by_themselves(tiny_config):
    tiny_config.train.batch_size = 64
    parts = setup(told(tiny_config))
    batches = [parts.batch(64 * step) for step in range(20)]
    labels = torch.cat([b.cond.radical for b in batches if b.cond.radical is not None])
    assert {0, 85} <= set(labels.tolist()) <= {0, *parts.batches.radicals.tolist()}
    untold = torch.stack([b.cond.mask.sum(1) <= 2 for b in batches]).flatten()  # an empty caption is two special tokens
    assert (labels[untold] == 0).all()
    assert float((labels[~untold] == 0).double().mean()) == pytest.approx(0.25, abs=0.05)


def test_parts_are_told_seldom_and_not_where_the_caption_was_dropped(tiny_config):
    tiny_config.train.batch_size = 64
    plain = setup(tiny_config)
    tiny_config.model.components, tiny_config.data.drop_parts, tiny_config.data.parts_alone = 5, 0.6, 0.0
    parts = setup(tiny_config)
    known = parts.network.config.components
    assert "氵" in known
    assert len(known) == 5
    batches = [parts.batch(64 * step) for step in range(20)]
    assert torch.equal(batches[0].eps, plain.batch(0).eps)  # nothing else changes
    assert torch.equal(batches[0].cond.states, plain.batch(0).cond.states)
    told = torch.cat([b.cond.parts for b in batches if b.cond.parts is not None])  # (20 * 64, 3, 2)
    untold = torch.stack([b.cond.mask.sum(1) <= 2 for b in batches]).flatten()
    assert (told[untold] == 0).all()
    # Nearly all of these characters have water at the left: 40 % of them may be told so, and half of those are.
    water = known.index("氵") + 1
    share = ((told[..., 0] == water) & (told[..., 1] == 1)).any(dim=1)[~untold].double().mean()
    assert 0.1 < float(share) < 0.25
    assert (told[..., 0] == water).any(dim=1).sum() == ((told[..., 0] == water) & (told[..., 1] == 1)).any(dim=1).sum()
    assert plain.batch(0).cond.parts is None


def test_some_captions_make_way_for_parts(tiny_config):
    tiny_config.train.batch_size = 64
    changes = ["model.components=5", "data.drop_parts=0.6"]
    beside, alone = (
        setup(override(deepcopy(tiny_config), [*changes, f"data.parts_alone={share}"])) for share in (0, 0.75)
    )
    made_way, there = 0, 0
    for step in range(20):
        one, other = beside.batch(64 * step), alone.batch(64 * step)
        assert torch.equal(one.cond.parts, other.cond.parts)  # nothing else changes
        empty = [batch.cond.mask.sum(1) <= 2 for batch in (one, other)]
        told = one.cond.parts.flatten(1).any(dim=1)
        assert torch.equal(empty[0], empty[1] & ~told)
        made_way, there = made_way + int((empty[1] & told).sum()), there + int(told.sum())
    assert made_way / there == pytest.approx(0.75, abs=0.1)
