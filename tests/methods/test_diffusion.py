"""Noise schedule and sampler."""

from __future__ import annotations

import pytest
import torch

from methods.nets.diffusion import DdimSampler, Schedule, ddim_timesteps


def test_alpha_bar_values():
    values = Schedule().alpha_bar[9::10]
    expected = [0.9721, 0.8987, 0.7869, 0.6475, 0.4938, 0.3408, 0.2031, 0.0940, 0.0241]
    assert values[:-1].tolist() == pytest.approx(expected, abs=6e-5)
    assert float(values[-1]) == pytest.approx(2.4e-7, rel=0.02)


def test_timesteps():
    assert ddim_timesteps(10) == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert ddim_timesteps(4) == [75, 50, 25, 0]
    assert ddim_timesteps(2) == [50, 0]
    assert ddim_timesteps(1) == [0]


@pytest.mark.parametrize("nfe", [1, 2, 3, 4, 10, 100])
def test_perfect_prediction_is_returned(nfe):
    x0 = torch.empty(3, 4, 2).uniform_(-1, 1)
    sample = DdimSampler(ddim_timesteps(nfe))(lambda _x, _t: x0, torch.randn(3, 4, 2))
    assert torch.equal(sample, x0)


def test_noise_is_recovered_from_a_noisy_sample():
    schedule = Schedule()
    x0, noise, t = torch.randn(5, 4, 2), torch.randn(5, 4, 2), torch.tensor([0, 20, 50, 90, 98])
    alpha, sigma = schedule.at(t)
    assert torch.allclose((schedule.add_noise(x0, noise, t) - alpha * x0) / sigma, noise, atol=1e-4)


def test_against_diffusers():
    """The public implementation as oracle, step by step, with predictions beyond the clip range."""
    diffusers = pytest.importorskip("diffusers")
    oracle = diffusers.DDIMScheduler(
        num_train_timesteps=100,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=True,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="sample",
    )
    for nfe in (10, 4, 2, 1):
        oracle.set_timesteps(nfe)
        assert oracle.timesteps.tolist() == ddim_timesteps(nfe)
        noise = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
        predictions = 1.5 * torch.randn(nfe, 3, 4, 2, generator=torch.Generator().manual_seed(1))
        x = noise
        for prediction, t in zip(predictions, oracle.timesteps, strict=True):
            x = oracle.step(prediction, t, x).prev_sample
        mine = iter(predictions)
        ours = DdimSampler(ddim_timesteps(nfe))(lambda _x, _t, mine=mine: next(mine), noise)
        assert torch.allclose(ours, x, atol=1e-5)
