"""`methods.nets.fused` and `methods.fused`: the U-Net and whole samplers as one compiled call."""

from __future__ import annotations

import pytest
import torch

import methods
from bench.interfaces import TaskSpec
from methods.dp3 import Dp3
from methods.nets.fused import FusedUnet, fusable
from methods.nets.unet import ConditionalUnet1d

COND = 6
TASK = TaskSpec("metaworld/none", "metaworld", "easy", 64, 9, 4, 200, 5, "none", "none")


def make_unet(horizon: int = 4, n_blocks: int = 2) -> ConditionalUnet1d:
    torch.manual_seed(0)
    unet = ConditionalUnet1d(3, COND, horizon, (16, 32, 32), n_blocks, time_dim=8)
    for (
        parameter
    ) in unet.parameters():  # fresh scales are 1, fresh shifts 0: they would hide being taken for each other
        parameter.data += 0.2 * torch.randn_like(parameter)
    return unet


@pytest.mark.parametrize("horizon", [4, 8])
@pytest.mark.parametrize(("draws", "batch", "n_times"), [(1, 1, 1), (1, 4, 1), (3, 2, 1), (3, 2, 6)])
def test_the_function_of_the_network(horizon: int, draws: int, batch: int, n_times: int) -> None:
    """For every row its own timestep and observation."""
    unet = make_unet(horizon)
    x, condition = torch.randn(draws * batch, horizon, 3), torch.randn(batch, COND)
    timestep = torch.randint(0, 100, (n_times,))
    fused = FusedUnet(unet)
    with torch.inference_mode():
        expected = unet(x, timestep, condition)
        for _ in range(2):  # the memory is used again
            torch.testing.assert_close(fused(x, timestep, condition), expected, rtol=1e-5, atol=1e-5)


def test_large_values_do_not_overflow() -> None:
    unet = make_unet()
    inputs = (1e4 * torch.randn(2, 4, 3), torch.tensor([99.0]), 1e4 * torch.randn(2, COND))
    with torch.inference_mode():
        expected = unet(*inputs)
        torch.testing.assert_close(
            FusedUnet(unet)(*inputs), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )


def test_results_of_earlier_calls_stay() -> None:
    unet = make_unet()
    fused = FusedUnet(unet)
    first = fused(torch.randn(1, 4, 3), torch.tensor([1]), torch.randn(1, COND))
    kept = first.clone()
    fused(torch.randn(1, 4, 3), torch.tensor([1]), torch.randn(1, COND))
    torch.testing.assert_close(first, kept, rtol=0, atol=0)


def test_long_chunks_have_no_such_form() -> None:
    assert fusable(make_unet(horizon=8))
    assert not fusable(make_unet(horizon=16))
    assert methods.fused_forward(make_unet(horizon=16)) is None
    assert methods.fused_forward(torch.nn.Linear(2, 2)) is None


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dp3", {}), ("dp3", {"nfe": "1", "t": "50"}), ("dp3", {"nfe": "3"}), ("sdm", {}), ("sdm-released", {}),
        ("manicm", {}), ("manicm", {"nfe": "4"}), ("manicm-released", {}), ("simple_dp3", {}),
    ],
)  # fmt: skip
def test_the_function_of_the_sampler(name: str, options: dict[str, str], batch: int) -> None:
    """The same actions from the same noise, and the generator is left where the method itself leaves it."""
    method = methods.make(name, TASK, "smoke", options)
    torch.manual_seed(0)
    for tensor in (*method.ema.unet.parameters(), method.ema.normalizer.action.offset):  # type: ignore[attr-defined]
        tensor.data += 0.2 * torch.randn_like(tensor)
    method.ema.normalizer.action.scale.uniform_(0.5, 2.0)  # type: ignore[attr-defined]
    condition = torch.randn(batch, 64)
    own, other = (torch.Generator().manual_seed(1) for _ in range(2))
    sampler = methods.fused_sampler(method)
    assert sampler is not None
    for _ in range(2):  # the memory is used again
        torch.testing.assert_close(sampler(condition, other), method.sample(condition, own), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other.get_state(), own.get_state(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["bc", "flowpolicy"])
def test_other_samplers_have_no_such_form(name: str) -> None:
    assert methods.fused_sampler(methods.make(name, TASK, "smoke")) is None


def test_a_subclass_with_a_sampler_of_its_own_keeps_it() -> None:
    class Other(Dp3):
        def _sample(self, condition: torch.Tensor, noise: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return 0.5 * super()._sample(condition, noise, generator)

    assert methods.fused_sampler(Other(TASK, "smoke")) is None
