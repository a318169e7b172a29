"""The distillation steps of ManiCM and SDM Policy, piece by piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from methods.dp3 import Dp3
from methods.manicm import CONFIGS as MANICM
from methods.manicm import ManiCm, boundary
from methods.sdm import _RELEASED, Sdm, surrogate_loss
from methods.sdm import CONFIGS as SDM
from tests.methods.conftest import make_batch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def teacher(task, demos) -> dict[str, torch.Tensor]:
    method = Dp3(task, "smoke")
    method.begin_training(demos, None, seeded())
    generator = seeded(1)
    for step in range(8):
        method.fit_step(make_batch(demos, step=step), generator)
    return method.state()


@pytest.fixture
def manicm(task, demos, teacher) -> ManiCm:
    method = ManiCm(task, "smoke")
    method.begin_training(demos, teacher, seeded())
    return method


def make_sdm(task, demos, teacher, **changes) -> Sdm:
    method = Sdm(task, "smoke", config=replace(SDM["smoke"], **changes))
    method.begin_training(demos, teacher, seeded())
    return method


def noisy(schedule, t):
    x0 = torch.empty(len(t), 4, 4).uniform_(-1, 1, generator=seeded(2))
    noise = torch.randn(x0.shape, generator=seeded(3))
    return x0, noise, schedule.add_noise(x0, noise, t)


# ------------------------------------------------------------------------------------------------------ ManiCM


def test_consistency_function_is_the_identity_at_zero():
    c_skip, c_out = boundary(torch.tensor([0, 9, 99]))
    assert (float(c_skip[0]), float(c_out[0])) == (1.0, 0.0)
    assert float(c_skip[1]) == pytest.approx(3.1e-5, rel=0.02)
    assert torch.allclose(c_out[1:], torch.ones(2, 1, 1), atol=2e-5)


def test_perfect_teacher_keeps_the_noise(manicm):
    t = torch.tensor([9, 19, 49, 89, 99])
    x0, noise, x_t = noisy(manicm.schedule, t)
    s = (t - 10).clamp(min=0)
    expected = manicm.schedule.add_noise(x0, noise, s)
    assert torch.allclose(manicm.teacher_step(x_t, t, s, x0), expected, atol=1e-4)


def test_released_step_has_no_noise(task):
    method = ManiCm(task, "smoke", config=replace(MANICM["smoke"], released_compat=True))
    t = torch.tensor([19, 59, 99])
    s = t - 10
    x0, _, x_t = noisy(method.schedule, t)
    alpha, sigma = method.schedule.at(s)
    assert torch.equal(method.teacher_step(x_t, t, s, x0), (alpha + sigma) * x0)
    assert float((alpha + sigma)[1]) == pytest.approx(1.41, abs=0.01)


def test_manicm_starts_from_the_teacher_and_leaves_it(manicm, demos, teacher):
    for name, tensor in manicm._student.state_dict().items():
        assert torch.equal(tensor, teacher[f"unet.{name}"])
        assert torch.equal(tensor, manicm._target.state_dict()[name])
        assert torch.equal(tensor, manicm._teacher.state_dict()[name])
    for step in range(4):
        manicm.fit_step(make_batch(demos, step=step), seeded(step))
    after = manicm.state()
    for name, tensor in manicm._teacher.state_dict().items():
        assert torch.equal(tensor, teacher[f"unet.{name}"])
    assert all(torch.equal(after[k], teacher[k]) for k in after if k.startswith(("encoder", "normalizer")))
    name = "mid.0.film.weight"
    student, target = (module.state_dict()[name] for module in (manicm._student, manicm._target))
    start = teacher[f"unet.{name}"]
    assert not torch.equal(student, start)
    assert 0 < float((target - start).norm()) < float((student - start).norm())


# --------------------------------------------------------------------------------------------------------- SDM


@pytest.mark.parametrize("scale", ["batch_score", "sample_score", "sample_error"])
def test_direction_vanishes_while_corrector_equals_teacher(scale, task, demos, teacher):
    method = make_sdm(task, demos, teacher, scale=scale)
    x, t, condition = torch.randn(6, 4, 4), torch.tensor([9, 19, 49, 59, 89, 97]), torch.randn(6, 64)
    # laid out once or in every call, the numbers are the same
    assert not method.direction(x, t, condition, seeded()).any()
    with torch.no_grad():
        method._corrector.out.bias.add_(0.1)
    g = method.direction(x, t, condition, seeded())
    assert (g > 0).all()  # the corrector predicts more than the teacher everywhere: x must go down


def test_score_weights(task, demos, teacher):
    """g = w_t (mu_F - mu_R) / Z with w_t = alpha / sigma^2 and the batch mean of |s_R|."""
    method = make_sdm(task, demos, teacher, scale="batch_score", timesteps="grid")
    with torch.no_grad():
        method._corrector.out.bias.add_(0.1)
    t = torch.tensor([9, 99])
    g = method.direction(torch.zeros(2, 4, 4), t, torch.randn(2, 64), seeded())
    ratio = float(g[0].mean() / g[1].mean())
    assert ratio == pytest.approx(35.3 / 0.00049, rel=0.02)


def test_surrogate_gradient():
    x, g = torch.randn(3, 4, 4, requires_grad=True), torch.randn(3, 4, 4)
    surrogate_loss(x, g).backward()
    assert torch.allclose(x.grad, g / x.numel(), atol=1e-8)


@pytest.mark.parametrize("released", [False, True])
def test_corrector_loss_reaches_the_generator_only_as_released(released, task, demos, teacher):
    method = make_sdm(task, demos, teacher, released_compat=released, **(_RELEASED if released else {}))
    z, t = torch.randn(4, 4, 4), torch.tensor([9, 39, 59, 89])
    method.corrector_loss(z, t, torch.randn(4, 64), seeded()).backward()
    leaked = [p.grad is not None and bool(p.grad.any()) for p in method._generator.parameters()]
    assert any(leaked) == released
    assert any(p.grad is not None for p in method._corrector.parameters())


def test_leaked_gradient_waits_for_the_generator_step(task, demos, teacher):
    method = make_sdm(task, demos, teacher, released_compat=True, **_RELEASED)
    before = method._generator.out.weight.clone()
    method.fit_step(make_batch(demos, step=1, epoch=1), seeded())
    assert method._generator.out.weight.grad.any()
    assert torch.equal(method._generator.out.weight, before)
    losses = method.fit_step(make_batch(demos, step=2, epoch=5), seeded())
    assert set(losses) == {"corrector", "generator"}
    assert not torch.equal(method._generator.out.weight, before)


def test_generator_steps_every_fifth_time(task, demos, teacher):
    method = make_sdm(task, demos, teacher)
    seen = []
    for step in range(11):
        before = method._generator.out.weight.clone()
        losses = method.fit_step(make_batch(demos, step=step), seeded(step))
        seen.append(not torch.equal(before, method._generator.out.weight))
        assert ("generator" in losses) == seen[-1]
    assert [i for i, moved in enumerate(seen) if moved] in ([0, 5, 10], [5, 10])  # nothing to learn at step 0 yet


def test_sdm_leaves_teacher_and_encoder(task, demos, teacher):
    method = make_sdm(
        task, demos, teacher, teacher_weight=1.0, demo_weight=1.0, test_noise="zeros", scale="sample_score"
    )
    for step in range(6):
        method.fit_step(make_batch(demos, step=step), seeded(step))
    after = method.state()
    assert all(torch.equal(t, teacher[f"unet.{name}"]) for name, t in method._teacher.state_dict().items())
    assert all(torch.equal(after[k], teacher[k]) for k in after if k.startswith(("encoder", "normalizer")))
    condition = torch.randn(2, 64)
    assert torch.equal(method.sample(condition, seeded(0)), method.sample(condition, seeded(1)))  # z = 0


def test_generator_timestep_is_the_same_in_training_and_inference(task, demos, teacher):
    method = make_sdm(task, demos, teacher)
    seen = []
    for network in (method._generator, method.network):
        network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1].tolist()))
    method.fit_step(make_batch(demos), seeded())
    method.sample(torch.randn(1, 64), seeded())
    assert len(seen) >= 2
    assert all(t == [99] for t in seen)


def test_released_students_start_from_raw_weights(task, demos, teacher):
    method = ManiCm(task, "smoke", config=replace(MANICM["smoke"], released_compat=True))
    method.begin_training(demos, teacher, seeded())
    name = "mid.0.film.weight"
    assert torch.equal(method._teacher.state_dict()[name], teacher[f"raw.unet.{name}"])
