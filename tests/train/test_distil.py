"""Distillation, against the guided denoiser of sampling and against a Gaussian, whose denoiser is known."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.config import ETA, STUDENTS, Config, DistilConfig, override
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import denoiser
from glyffuser.diffusion.process import Process, noised
from glyffuser.diffusion.samplers import ddpm, dpmpp_2m
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Usual
from glyffuser.train.distil import (
    Leaps,
    Teacher,
    build_teacher,
    guidance_loss,
    leaps,
    moments,
    path,
    student_config,
)
from glyffuser.train.forecast import forecast
from glyffuser.train.step import FewStepper, build_stepper
from training_runs import Run, assert_same, finish

MEAN, DEVIATION = 0.3, 0.5  # of the Gaussian that the toy networks know
TOLD = Condition(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))


class Gaussian(nn.Module):
    """The exact denoiser of a Gaussian of one pixel: E[x0 given xt]."""

    process = Process(Schedule("flow"), "sample")

    def forward(self, xt: Tensor, t: Tensor, return_dict: bool = True, **told: Tensor | None) -> tuple[Tensor]:
        sigma = self.process.schedule.sigma(t).to(xt)[:, None, None, None]
        x = xt * (1 + sigma)
        return ((MEAN * sigma**2 + x * DEVIATION**2) / (sigma**2 + DEVIATION**2),)


class Learner(nn.Module):
    """a(t) xt + b(t) on top of the exact denoiser; a and b are linear between 9 timesteps."""

    def __init__(self) -> None:
        super().__init__()
        self.exact, self.knots = Gaussian(), nn.Parameter(torch.zeros(9, 2))

    def forward(self, xt: Tensor, t: Tensor, return_dict: bool = True, **told: Tensor | None) -> tuple[Tensor]:
        place = t / 1000 * 8
        low = place.long().clamp(0, 7)
        share = (place - low)[:, None]
        a, b = torch.lerp(self.knots[low], self.knots[low + 1], share).T[:, :, None, None, None]
        return (self.exact(xt, t)[0] + a * xt + b,)


def drawn(network: nn.Module, steps: int) -> Tensor:
    """Many samples from a toy network, with fresh noise between the steps."""
    process, generator = Gaussian.process, torch.Generator().manual_seed(1)
    D = denoiser(lambda xt, t, cond: network(xt, t)[0], process)
    sigmas = process.schedule.sigmas(steps)
    x = sigmas[0] * torch.randn(20_000, 1, 1, 1, generator=generator)
    with torch.no_grad():
        *_, last = ddpm(D, x, sigmas, None, lambda x, now, then: torch.randn(x.shape, generator=generator))
    return last.x


def test_matching_moments_gives_two_steps_the_spread_of_many():
    """Two steps of the exact denoiser draw too narrow a distribution."""
    torch.manual_seed(0)
    steps = 2
    c = DistilConfig(teacher="exact", method="moments", guidance=1.0, steps=steps)
    student, auxiliary = Learner(), Learner()
    teacher = Teacher(Gaussian(), TOLD, c)  # type: ignore[arg-type]  # it answers as a network does
    optimizers = [torch.optim.Adam(n.parameters(), 0.01, betas=(0.0, 0.99)) for n in (student, auxiliary)]
    before = float(drawn(student, steps).std())
    process = Gaussian.process
    for step in range(900):
        x0, t = MEAN + DEVIATION * torch.randn(1024, 1, 1, 1), 1000 * torch.rand(1024, dtype=torch.float64)
        sigma = process.schedule.sigma(t)
        xt = noised(x0, torch.randn_like(x0), sigma, process.schedule)
        made = moments(student, auxiliary, teacher, process, xt, sigma, TOLD.repeat(1024), steps, "velocity")
        for loss, optimizer in zip((made.student(), made.watching), optimizers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (1 - step / 900)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
    after = drawn(student, steps)
    assert before < 0.7 * DEVIATION
    assert_close(float(after.std()), DEVIATION, rtol=0.05, atol=0)
    assert_close(float(after.mean()), MEAN, rtol=0, atol=0.03)


def test_a_leap_ends_where_the_teachers_path_ends():
    """The oracle is the solution of the ODE of a Gaussian; the exact denoiser's own leap ends too close to the mean."""
    torch.manual_seed(0)
    c = DistilConfig(teacher="exact", method="consistency", guidance=1.0)
    student, teacher = Learner(), Teacher(Gaussian(), TOLD, c)  # type: ignore[arg-type]
    optimizer, process, steps = torch.optim.Adam(student.parameters(), 0.02), Gaussian.process, 300
    for step in range(steps):
        t = 1000 * torch.rand(256, dtype=torch.float64)
        told = (process, torch.randn(256, 1, 1, 1), process.schedule.sigma(t), TOLD.repeat(256))
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimizer.zero_grad()
        leaps(student, teacher, *told, steps=4, path_steps=22).losses().mean().backward()
        optimizer.step()
    for sigma in process.schedule.sigmas(4)[:-1]:
        at = process.schedule.timestep(sigma)
        spread = (DEVIATION**2 + sigma**2).sqrt()
        places = torch.linspace(-2, 2, 9)[:, None, None, None]
        x, wanted = MEAN + spread * places, MEAN + DEVIATION * places
        xt, levels = (x / (1 + sigma)).float(), at.float().expand(9)
        with torch.no_grad():
            assert_close(student(xt, levels)[0], wanted, rtol=0, atol=0.05)
            worst = (Gaussian()(xt, levels)[0] - wanted).abs().max()
        assert worst > 0.15, at


def test_a_path_is_that_of_the_usual_sampler(make_pipe):
    """From pure noise, as the pipeline draws with guidance."""
    pipe = make_pipe()
    process, c = pipe.unet.process, DistilConfig(guidance=3.0, lowest=0.3, highest=10.0)
    teacher, cond = Teacher(pipe.unet, pipe.condition([""]), c), pipe.condition(["gold", "fish"])
    sigmas = process.schedule.sigmas(5)
    x = (sigmas[0] * torch.randn(2, 1, 16, 16)).float()
    with fast_matmul(pipe.device):
        found = path(teacher.sampled, process.schedule, x, sigmas[0], cond, 5)
        guided = pipe.denoiser(3.0, guidance_interval=(0.3, 10.0))
        wanted = list(dpmpp_2m(guided, x, sigmas, cond, lambda x, now, then: x))
    assert [float(now) for now, _ in found] == sigmas.tolist()
    for (_, mine), step in zip(found[1:], wanted, strict=True):
        assert_close(mine, step.x, rtol=1e-3, atol=1e-3)


def test_a_path_from_between_two_levels_goes_on_with_the_next(make_pipe):
    pipe = make_pipe()
    process, cond = pipe.unet.process, pipe.condition(["gold"])
    teacher = Teacher(pipe.unet, pipe.condition([""]), DistilConfig(guidance=1.0))
    sigmas = process.schedule.sigmas(5)
    for level, rest in ((1.5 * sigmas[3], sigmas[3:]), (1.01 * sigmas[3], sigmas[4:])):
        found = path(teacher.sampled, process.schedule, torch.randn(1, 1, 16, 16), level, cond, 5)
        assert [float(now) for now, _ in found] == [float(level), *rest.tolist()]


def test_a_student_that_agrees_with_its_guided_teacher_has_no_loss(make_pipe):
    """The oracle is the guided denoiser that sampling uses."""
    pipe = make_pipe()
    process, c = pipe.unet.process, DistilConfig(teacher="random", guidance=3.0, lowest=0.3, highest=10.0)
    teacher = Teacher(pipe.unet, pipe.condition([""]), c)
    cond = pipe.condition(["gold", "fish"])
    guided = pipe.denoiser(3.0, guidance_interval=(0.3, 10.0))
    for level in (0.2, 1.0, 20.0):
        sigma = torch.tensor(level, dtype=torch.float64)
        x = torch.randn(2, 1, 16, 16) * level
        xt, levels = x / (1 + level), sigma.expand(2)
        wanted = guided(x, sigma, cond)

        def student(xt: Tensor, t: Tensor, wanted: Tensor = wanted, **told: object) -> tuple[Tensor]:
            return (wanted,)

        with fast_matmul(pipe.device):  # as sampling computes
            assert_close(teacher(xt, levels, cond), wanted, rtol=1e-3, atol=1e-3)
            assert float(guidance_loss(student, teacher, process, xt, levels, cond, "velocity").max()) < 1e-5
            assert float(guidance_loss(student, teacher, process, xt, levels, cond[[1, 0]], "velocity").min()) > 1e-4
    mixed = torch.tensor([0.2, 20.0], dtype=torch.float64)  # one row guided, one not
    xt = torch.randn(2, 1, 16, 16)
    both = teacher(xt, mixed, cond)
    for i in range(2):
        assert_close(both[i : i + 1], teacher(xt[i : i + 1], mixed[i : i + 1], cond[i : i + 1]), rtol=1e-4, atol=1e-4)


def test_a_teacher_is_guided_within_the_style_of_each_glyph(make_pipe, make_styled):
    """The oracle is the guided denoiser that sampling uses, in each style."""
    pipe = make_styled(make_pipe())
    teacher = Teacher(pipe.unet, pipe.condition([""]), DistilConfig(guidance=3.0, lowest=0.3, highest=10.0))
    x, sigma = torch.randn(3, 1, 16, 16), torch.tensor(1.0, dtype=torch.float64)
    styles = ["serif", None, "sans"]
    conds = [pipe.condition(["gold"], style=style) for style in styles]
    together = conds[0].cat(conds[1]).cat(conds[2])
    with fast_matmul(pipe.device):
        found = teacher(x / 2, sigma.expand(3), together)
        for row, (style, cond) in enumerate(zip(styles, conds, strict=True)):
            wanted = pipe.denoiser(3.0, guidance_interval=(0.3, 10.0), style=style)(x[row : row + 1], sigma, cond)
            assert_close(found[row : row + 1], wanted, rtol=1e-3, atol=1e-3)


@pytest.fixture
def student(tiny_config, tiny_model):
    """A factory for configurations of a student of the tiny model: 8 steps, by a given method."""

    def make(method: str, *changes: str) -> Config:
        config = student_config(load_pipeline(tiny_model), deepcopy(tiny_config))
        settings = [f"{key}={value}" for key, value in STUDENTS[method].items()]
        told = [f"distil.teacher={tiny_model}", f"distil.method={method}", "distil.steps=2", "distil.guidance=2.5"]
        return override(config, [*settings, *told, "train.max_minutes=0", "train.decay=0.5", *changes])

    return make


@pytest.mark.parametrize(
    ("method", "networks", "trained"), [("guidance", 2, 1), ("consistency", 2, 1), ("moments", 3, 2)]
)
def test_a_forecast_counts_all_networks(student, tmp_path, method, networks, trained):
    run = Run(student(method, "distil.path_steps=3"), tmp_path)
    told = forecast(run.parts, run.state)
    own = 4 * told.parameters
    assert (told.memory.weights, told.memory.averages) == (networks * own, own)
    assert told.memory.optimizer == pytest.approx(2 * trained * own, rel=0.01)


def test_a_forecast_counts_what_all_networks_of_a_step_keep(student, tmp_path):
    run = Run(student("moments", "distil.adversarial=0.3"), tmp_path)
    stepper, batch = build_stepper(run.parts, run.state), run.parts.batch(0)
    assert isinstance(stepper, FewStepper)
    torch.manual_seed(0)
    whole = stepper.loss(batch)
    torch.manual_seed(0)
    assert_close(whole, sum(stepper.losses(batch).values()))
    whole.backward()
    for network in (run.state.network, *(other.network for other in run.state.beside.values())):
        assert any(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("guidance", []),
        ("consistency", ["distil.path_steps=3", "distil.adversarial=0.3"]),
        ("moments", []),
        ("moments", ["distil.adversarial=0.3"]),
    ],
)
def test_a_student_that_was_stopped_goes_on_exactly(student, tmp_path, method, changes):
    changes = [*changes, "train.max_steps=4"]
    whole = Run(student(method, *changes), tmp_path / "whole")
    first = {name: p.clone() for name, p in whole.state.network.state_dict().items()}
    taught = load_pipeline(student(method).distil.teacher).unet.state_dict()
    assert [name for name in first if not torch.equal(first[name], taught[name])] == []
    finish(whole)
    assert any(not torch.equal(p, first[name]) for name, p in whole.state.network.state_dict().items())
    finish(Run(student(method, *changes), tmp_path / "parts"), stop_at=3)
    resumed = Run(student(method, *changes), tmp_path / "parts")
    assert resumed.state.step == 3
    finish(resumed)
    assert_same(whole, resumed)
    usual = load_pipeline(tmp_path / "parts").usual
    assert usual == (Usual(guidance=1.0, eta=ETA) if method == "guidance" else Usual(2, 1.0, "ddpm"))


def test_what_watches_begins_as_the_teacher_whatever_the_student_begins_as(student, tmp_path):
    finish(Run(student("moments", "train.max_steps=2"), tmp_path / "first"))
    run = Run(student("moments", f"train.init={tmp_path / 'first'}"), tmp_path / "next")
    assert run.parts.teacher is not None
    taught, watching = run.parts.teacher.network.state_dict(), run.state.beside["auxiliary"].network
    assert all(torch.equal(weight, taught[name]) for name, weight in watching.state_dict().items())
    assert all(parameter.requires_grad for parameter in watching.parameters())
    assert any(not torch.equal(weight, taught[name]) for name, weight in run.state.network.state_dict().items())


def test_a_discriminator_pulls_on_leaps_beside_the_ends(student, tmp_path):
    """The student's gradient is that of its losses plus a further one; its loss stays how far the leaps are off."""
    found, gradients = [], []
    for share in (0.0, 0.3):
        run = Run(student("consistency", "distil.path_steps=3", f"distil.adversarial={share}"), tmp_path / str(share))
        stepper, batch = build_stepper(run.parts, run.state), run.parts.batch(0)
        assert isinstance(stepper, FewStepper)
        torch.manual_seed(0)
        losses = stepper.losses(batch)
        losses["student"].backward()
        found.append(losses)
        gradients.append(run.state.network.conv_out.weight.grad)
    assert [sorted(losses) for losses in found] == [["student"], ["discriminator", "student"]]
    assert_close(found[1]["student"], found[0]["student"])
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


def test_the_pull_of_an_end_points_away_from_it_with_the_length_of_a_root_mean_square():
    ends = torch.zeros(2, 1, 16, 16)
    made = Leaps(torch.full((2, 1, 16, 16), 0.5) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1), ends, torch.arange(2))
    assert_close(made.losses(), torch.full((2,), 0.5), rtol=0, atol=2e-3)
    assert_close(made.pull(), made.x0.sign() / 256, rtol=1e-3, atol=0)


def test_a_discriminator_does_not_go_with_folding_guidance_in(student, tmp_path):
    with pytest.raises(UserError, match=r"leave out distil\.adversarial"):
        Run(student("guidance", "distil.adversarial=0.3"), tmp_path)


def test_a_teacher_must_be_told_what_the_student_is_told(make_pipe, make_styled, small_unet):
    c = DistilConfig(teacher="a folder")
    with pytest.raises(UserError, match="a folder has num_class_embeds = 0, the student 215"):
        build_teacher(make_pipe(), small_unet(num_class_embeds=215), c)
    reason = r"styles = \['sans', 'serif'\], the student \['serif', 'sans'\]; name with --data what the teacher learnt"
    with pytest.raises(UserError, match=reason):
        build_teacher(make_styled(make_pipe()), small_unet(styles=("serif", "sans")), c)
    build_teacher(make_styled(make_pipe()), small_unet(styles=("sans", "serif")), c)
