"""What a step sees: every glyph once an epoch, a function of seed and step, radicals told or not."""

import numpy as np
import pytest
import torch

from glyffuser.train.loop import Trainer
from training_runs import glyphs, told


def test_every_glyph_comes_once_an_epoch_in_a_fresh_order(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path)
    assert len(trainer.batches.images) == 64  # the one for testing is not among them
    epochs = [[g for step in range(8 * e, 8 * e + 8) for g in glyphs(trainer, step)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(64))
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_across_two_epochs(tiny_config, tmp_path):
    tiny_config.train.batch_size = 48  # of 64 glyphs: step 1 takes 16 of the first epoch and 32 of the second
    trainer = Trainer(tiny_config, tmp_path)
    drawn = [g for step in range(4) for g in glyphs(trainer, step)]
    assert all(sorted(drawn[e * 64 : (e + 1) * 64]) == list(range(64)) for e in range(3))


def test_a_batch_is_a_function_of_seed_and_step(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path / "a")
    first = trainer.batch(3)
    torch.manual_seed(99)
    np.random.seed(99)
    trainer.batch(4)
    again, next_one = trainer.batch(3), trainer.batch(4)
    for name in ("x0", "eps", "t"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert torch.equal(first.cond.states, again.cond.states)
    for name in ("x0", "eps", "t"):
        assert not torch.equal(getattr(first, name), getattr(next_one, name)), name
    assert (first.x0.min(), first.x0.max()) == (-1, 1)
    assert first.cond.states.shape[:2] == first.cond.mask.shape
    tiny_config.train.seed = 1
    assert not torch.equal(Trainer(tiny_config, tmp_path / "b").batch(3).eps, first.eps)


def test_radicals_are_dropped_with_the_caption_and_by_themselves(tiny_config, tmp_path):
    tiny_config.train.batch_size = 64
    trainer = Trainer(told(tiny_config), tmp_path)
    batches = [trainer.batch(step) for step in range(20)]
    labels = torch.cat([b.cond.radical for b in batches if b.cond.radical is not None])
    assert {0, 85} <= set(labels.tolist()) <= {0, *trainer.batches.radicals.tolist()}
    untold = torch.stack([b.cond.mask.sum(1) <= 2 for b in batches]).flatten()  # an empty caption is two special tokens
    assert (labels[untold] == 0).all()
    assert float((labels[~untold] == 0).double().mean()) == pytest.approx(0.25, abs=0.05)
