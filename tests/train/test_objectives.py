"""Every objective trains: what is predicted, under every schedule, also with a last timestep of pure noise."""

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.names import PREDICTION_TYPES, SCHEDULES, WEIGHTINGS
from glyffuser.commands.cli import main
from glyffuser.config import override
from glyffuser.diffusion.process import Process, noised
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.load import load_pipeline
from training_runs import Run, finish

OBJECTIVES = [(schedule, kind, False) for schedule in SCHEDULES for kind in PREDICTION_TYPES]
OBJECTIVES += [(schedule, kind, True) for schedule in ("linear", "cosine") for kind in PREDICTION_TYPES[1:]]


def settings(schedule: str, kind: str, zero: bool) -> list[str]:
    named = [f"diffusion.schedule={schedule}", f"diffusion.prediction_type={kind}"]
    return [*named, f"diffusion.zero_terminal={str(zero).lower()}", "diffusion.weighting=simple"]


@pytest.mark.parametrize(("schedule", "kind", "zero"), OBJECTIVES)
def test_an_objective_is_learnt_and_its_model_sampled(tiny_config, tmp_path, schedule, kind, zero):
    # To the network all batches are alike but for noise: getting better at them shows that gradients fit targets.
    small = ["model.block_out_channels=[16]", "model.attention_levels=[false]", "train.checkpoint_every=100"]
    override(tiny_config, [*settings(schedule, kind, zero), *small, "train.max_steps=18", "train.lr=1e-2"])
    run = Run(tiny_config, tmp_path)
    losses = [progress.loss for progress in finish(run)]
    assert torch.tensor(losses).isfinite().all()
    assert sum(losses[-6:]) < 0.9 * sum(losses[:6])
    pipe = load_pipeline(tmp_path / "model")
    assert pipe.unet.process == Process(Schedule(schedule, shift=3.0, zero_terminal=zero), kind)
    for sampler in ("dpm++2m-sde", "euler", "unipc"):
        (images,) = pipe("a river", num_inference_steps=3, sampler=sampler, output_type="pt", return_dict=False)
        assert images.isfinite().all()


@pytest.mark.parametrize("kind", PREDICTION_TYPES[1:])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_at_the_last_timestep_of_noise_alone_everything_is_finite_and_v_is_the_image(schedule, weighting, kind):
    process = Process(Schedule(schedule, zero_terminal=True), kind)
    sigma = process.schedule.sigma(torch.tensor([999.0, 500.0]))
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(2, 1, 8, 8, generator=generator) for _ in range(2))
    xt, target = noised(x0, eps, sigma, process.schedule), process.target(x0, eps, sigma)
    torch.testing.assert_close(xt[0], eps[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(process.to_x0(target, xt, sigma), x0, rtol=0, atol=1e-4)
    assert process.loss(target + 0.1, x0, eps, sigma, weighting).isfinite().all()
    if kind == "v_prediction":
        torch.testing.assert_close(target[0], -x0[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "kind", "words"),
    [("linear", "epsilon", ["epsilon", "v_prediction"]), ("flow", "v_prediction", ["flow", "linear and cosine"])],
)
def test_what_contradicts_zero_terminal_is_one_line(tiny_config, tmp_path, schedule, kind, words):
    with pytest.raises(UserError) as caught:
        Run(override(tiny_config, settings(schedule, kind, True)), tmp_path)
    assert all(word in str(caught.value) for word in words)


def test_an_unknown_objective_is_one_line_that_lists_the_known(capsys):
    for key, known in (("prediction_type", PREDICTION_TYPES), ("schedule", SCHEDULES)):
        assert main(["train", "--set", f"diffusion.{key}=score"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert all(name in line for name in known)
