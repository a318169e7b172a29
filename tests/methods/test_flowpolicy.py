"""Consistency flow matching, piece by piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from methods.flowpolicy import CONFIGS, TIME_SCALE, FlowConfig, FlowPolicy, between

SMOKE = replace(CONFIGS["smoke"], delta=CONFIGS["paper"].delta)  # with the published delta


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(task, demos, **changes) -> FlowPolicy:
    method = FlowPolicy(task, "smoke", config=replace(SMOKE, **changes))
    method.begin_training(demos, None, seeded())
    return method


def chunks(n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Clean chunks, noise and conditions."""
    x1 = torch.empty(n, 4, 4).uniform_(-1, 1, generator=seeded(2))
    return x1, torch.randn(x1.shape, generator=seeded(3)), torch.randn(n, 64, generator=seeded(4))


class Velocity(torch.nn.Module):
    """In the place of the U-Net: a velocity by a formula of the noisy chunk and the time; keeps what it was asked."""

    def __init__(self, formula) -> None:
        super().__init__()
        self.formula, self.times, self.graphs = formula, [], []
        self.shift = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        self.times.append(timestep)
        self.graphs.append(torch.is_grad_enabled())
        return self.formula(x, timestep / TIME_SCALE) + self.shift


TIMES = torch.tensor([0.01, 0.3, 0.495, 0.5, 0.9, 0.995])


def test_the_line_leads_from_noise_to_the_chunk():
    x1, z, _ = chunks()
    assert torch.allclose(between(z, x1, torch.zeros(6)), z)
    assert torch.allclose(between(z, x1, torch.ones(6)), x1)
    assert torch.allclose(between(z, x1, torch.full((6,), 0.25)), 0.25 * x1 + 0.75 * z, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"released_compat": True}, {"boundary": 0.0}, {"segments": 1}])
def test_the_true_velocity_has_no_loss_and_any_other_has(changes, task, demos):
    method = make(task, demos, **changes)
    x1, z, condition = chunks()
    method._joint.net.unet = Velocity(lambda x, t: x1 - z)
    assert float(method.loss(x1, z, TIMES, condition)) < 1e-10
    method._joint.net.unet = Velocity(lambda x, t: x1 - z + 0.1)
    assert float(method.loss(x1, z, TIMES, condition)) > 1e-7


@torch.no_grad()
def test_boundary_zero_is_regression_on_the_end_of_the_segment(task, demos):
    method = make(task, demos, boundary=0.0)
    x1, z, condition = chunks()
    method._joint.net.unet = Velocity(lambda x, t: torch.zeros_like(x))
    ends = torch.tensor([0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
    expected = (between(z, x1, TIMES) - between(z, x1, ends)).square().mean()
    assert float(method.loss(x1, z, TIMES, condition)) == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_the_loss_is_the_one_that_is_written(task, demos):
    """Worked out by hand for one time in the first segment and a velocity of v(t) = t."""
    method = make(task, demos, velocity_weight=1.0)
    x1, z, condition = chunks(1)
    method._joint.net.unet = Velocity(lambda x, t: torch.ones_like(x) * t[:, None, None])
    t, r, end = 0.3, 0.31, 0.5
    drift = (t - r) * (x1 - z) + (end - t) * t - (end - r) * r
    expected = drift.square().mean() + (t - r) ** 2
    assert float(method.loss(x1, z, torch.tensor([t]), condition)) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("released", [False, True])
def test_the_goal_has_a_gradient_only_as_released(released, task, demos):
    method = make(task, demos, released_compat=released)
    x1, z, condition = chunks()
    network = method._joint.net.unet = Velocity(lambda x, t: torch.zeros_like(x))
    method.loss(x1, z, TIMES, condition).backward()
    assert network.graphs == [True, released]
    assert torch.allclose(network.times[0], TIME_SCALE * TIMES)
    assert torch.allclose(network.times[1], TIME_SCALE * (TIMES + 0.01).clamp(max=1))


@torch.no_grad()
@pytest.mark.parametrize("nfe", [1, 2, 7])
def test_a_straight_flow_is_followed_to_its_end_by_any_number_of_steps(nfe, task):
    method = FlowPolicy(task, "smoke", {"nfe": str(nfe)})
    x1, z, condition = chunks()
    network = method.ema.unet = Velocity(lambda x, t: x1 - z)
    assert torch.allclose(method._sample(condition, z, seeded()), x1, atol=1e-5)
    first = TIME_SCALE * SMOKE.first_time
    assert [float(t) for t in network.times] == pytest.approx([first + (99 - first) * i / nfe for i in range(nfe)])


@torch.no_grad()
def test_only_the_released_form_leaves_the_range_of_the_demonstrations(task):
    x1, z, condition = chunks()
    for released in (False, True):
        method = FlowPolicy(task, "smoke", config=replace(SMOKE, released_compat=released))
        method.ema.unet = Velocity(lambda x, t: 3 * x1 - z)
        assert (float(method._sample(condition, z, seeded()).abs().max()) > 1) == released


def test_times_are_uniform_and_spread_within_a_window(task):
    method = FlowPolicy(task, "smoke", config=with_recipe(noise_draws=4))
    t = method._draw_times(5000, seeded())
    assert 0.01 <= float(t.min()) < 0.012
    assert 0.998 < float(t.max()) <= 1
    counts = torch.histc(t, bins=10, min=0.01, max=1)
    assert counts.min() > 1800  # 2000 expected
    of_one_window = t.view(4, 5000).sort(dim=0).values.diff(dim=0)
    assert torch.allclose(of_one_window, torch.full((3, 5000), 0.99 / 4), atol=1e-5)


def with_recipe(**changes) -> FlowConfig:
    return replace(SMOKE, recipe=replace(SMOKE.recipe, **changes))
