"""The fast networks against plain layers, the normaliser, the optimiser helpers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from methods.nets.encoder import ObservationEncoder, PointEncoder
from methods.nets.kernels import fusable, norm_mish_film
from methods.nets.normalizer import Affine
from methods.nets.optim import Optimizer, blend, ema_decay, initialise
from methods.nets.reference import PlainUnet1d
from methods.nets.unet import ConditionalUnet1d


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, relative to the largest value of ``b``."""
    return float(((a - b).abs().max() / b.abs().max()).detach())


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


@pytest.mark.parametrize(("horizon", "draws", "blocks"), [(4, 1, 2), (4, 3, 1), (16, 2, 1)])
def test_unet_equals_plain_layers(horizon, draws, blocks):
    torch.manual_seed(0)
    sizes = {"action_dim": 4, "cond_dim": 48, "horizon": horizon, "down_dims": (16, 32, 64), "n_blocks": blocks}
    fast, plain = ConditionalUnet1d(**sizes, time_dim=32), PlainUnet1d(**sizes, time_dim=32)
    plain.load_state_dict(fast.state_dict())
    x, t = torch.randn(draws * 6, horizon, 4), torch.randint(0, 100, (draws * 6,))
    outputs, grads = [], []
    for network in (fast, plain):
        condition = torch.randn(6, 48, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = network(x, t, condition)
        out.square().sum().backward()
        outputs.append(out.detach())
        grads.append({**gradients(network), "condition": condition.grad})
    assert worst(*outputs) < 1e-5
    assert grads[0].keys() == grads[1].keys()
    assert worst(flat(grads[0]), flat(grads[1])) < 1e-5
    with torch.inference_mode():
        fast.freeze()
        assert worst(fast(x, t, condition), outputs[1]) < 1e-5


def test_one_timestep_serves_all_draws():
    torch.manual_seed(0)
    network = ConditionalUnet1d(4, 16, 4, (8, 16), 1, 16)
    x, condition = torch.randn(6, 4, 4), torch.randn(3, 16)
    one, all_ = (network(x, t, condition) for t in (torch.tensor([7]), torch.full((6,), 7)))
    assert torch.allclose(one, all_, atol=1e-6)


def test_frozen_unet_keeps_weights_until_thawed():
    torch.manual_seed(0)
    network = ConditionalUnet1d(4, 16, 4, (8, 16), 1, 16)
    arguments = torch.randn(3, 4, 4), torch.tensor([7]), torch.randn(3, 16)
    before = network(*arguments)
    network.freeze()
    with torch.no_grad():
        network.out.weight.mul_(2)
        assert torch.equal(network(*arguments), before)
        network.thaw()
        assert not torch.equal(network(*arguments), before)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_kernel_against_float64(scale):
    """Also where exp overflows a naive form: |x| up to about 100."""
    torch.manual_seed(0)
    x, film = torch.randn(5, 32 * 2), torch.randn(5, 64)
    weight, bias = scale * torch.randn(32), torch.randn(32)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [v.to(dtype, copy=True).requires_grad_() for v in (x, weight, bias, film)]
        assert fusable(leaves[0]) == (dtype == torch.float32)
        out = norm_mish_film(*leaves, 8)
        out.square().sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    assert max(worst(a.double(), b) for a, b in zip(*results, strict=True)) < 1e-5


def plain_encoder(encoder: PointEncoder, points: torch.Tensor) -> torch.Tensor:
    return encoder.project_norm(encoder.project(encoder._shared_mlp(encoder._embed(points)).amax(dim=1)))


def test_encoding_of_frames_finds_the_maxima_and_remembers_them():
    torch.manual_seed(0)
    encoder = PointEncoder((16, 32), 24)
    clouds, frames = torch.randn(7, 96, 3), torch.tensor([5, 2, 5, 0])
    winners = torch.zeros(7, 32, dtype=torch.int64)
    everything = torch.arange(96).expand(4, -1).contiguous()
    expected = plain_encoder(encoder, clouds[frames])
    nothing = everything[:, :1].contiguous()
    assert worst(encoder.encode_frames(clouds, frames, winners, nothing), expected) > 1e-2
    assert worst(encoder.encode_frames(clouds, frames, winners, everything), expected) < 1e-5
    assert torch.equal(winners[5], encoder._shared_mlp(encoder._embed(clouds[5])).argmax(dim=0))
    assert not winners[1].any()
    assert worst(encoder.encode_frames(clouds, frames, winners, nothing), expected) < 1e-5


def test_octaves_are_sines_and_cosines():
    encoder = PointEncoder((16,), 8, octaves=4)
    points = torch.rand(3, 5, 3) * 2 - 1
    angles = torch.cat([math.pi * 2**k * points for k in range(4)], dim=-1)
    expected = torch.cat([points, angles.sin(), angles.cos()], dim=-1)
    assert worst(encoder._embed(points), expected) < 1e-5
    assert worst(encoder._embed(points.double()), expected) < 1e-5  # in plain torch operations


@pytest.mark.parametrize("octaves", [0, 3])
def test_encoder_equals_plain_maximum(octaves):
    torch.manual_seed(0)
    encoder = PointEncoder((16, 32), 24, octaves)
    points = torch.randn(5, 96, 3)
    results = []
    for fast in (True, False):
        encoder.zero_grad()
        out = encoder(points) if fast else plain_encoder(encoder, points)
        out.square().sum().backward()
        results.append({"out": out.detach(), **gradients(encoder)})
    assert worst(flat(results[0]), flat(results[1])) < 1e-5
    with torch.inference_mode():
        assert worst(encoder(points), results[1]["out"]) < 1e-5


def test_encoder_ignores_order_and_duplicates():
    torch.manual_seed(0)
    encoder = ObservationEncoder(9, (16, 32), 24, 16)
    cloud, state = torch.randn(4, 64, 3), torch.randn(4, 9)
    with torch.inference_mode():
        feature = encoder(cloud, state)
        shuffled = encoder(cloud[:, torch.randperm(64)], state)
        doubled = encoder(torch.cat([cloud, cloud[:, :1].expand(-1, 5, -1)], dim=1), state)
        moved = encoder(cloud + 1, state)
    assert torch.allclose(feature, shuffled, atol=1e-6)
    assert torch.allclose(feature, doubled, atol=1e-6)
    assert not torch.allclose(feature, moved, atol=1e-3)


def test_normaliser_is_undone_and_maps_constants_to_zero():
    data = torch.from_numpy(np.random.default_rng(0).uniform(-3, 5, (100, 4)).astype(np.float32))
    data[:, 2] = 7.0
    affine = Affine(4)
    affine.fit(data)
    normal = affine(data)
    assert torch.allclose(affine.inverse(normal), data, atol=1e-5)
    assert torch.equal(normal[:, 2], torch.zeros(100))
    others = normal[:, [0, 1, 3]]
    assert torch.allclose(others.amin(0), torch.tensor(-1.0), atol=1e-5)
    assert torch.allclose(others.amax(0), torch.tensor(1.0), atol=1e-5)


def test_ema_decay():
    assert [ema_decay(0), ema_decay(1)] == [0.0, 0.0]
    assert ema_decay(2) == pytest.approx(1 - 2**-0.75)
    assert ema_decay(1001) == pytest.approx(1 - 1001**-0.75)
    assert ema_decay(10**7) == 0.9999


def test_blend_moves_towards_source():
    target, source = nn.Linear(2, 2), nn.Linear(2, 2)
    expected = 0.75 * target.weight + 0.25 * source.weight
    blend(target, source, 0.25)
    assert torch.allclose(target.weight, expected, atol=1e-7)


def test_learning_rate_schedule():
    rate = Optimizer([nn.Linear(1, 1)], lr=1.0, total_steps=110, warmup=10).learning_rate
    assert rate(0) == pytest.approx(1 / 11)
    assert rate(10) == 1.0
    assert rate(60) == pytest.approx(0.5)
    assert rate(110) == pytest.approx(0.0)


def test_optimizer_clips_and_resumes():
    layer, twin = nn.Linear(3, 1), nn.Linear(3, 1)
    twin.load_state_dict(layer.state_dict())
    data = torch.randn(20, 8, 3, generator=torch.Generator().manual_seed(0))

    def make(module):
        return Optimizer([module], lr=0.1, total_steps=20, warmup=2, clip=1e-3)

    first, second = make(layer), make(twin)
    for step, x in enumerate(data):
        if step == 10:  # a new optimiser continues for the twin
            state, second = second.state(), make(twin)
            second.load_state(state)
        for module, optimizer in ((layer, first), (twin, second)):
            optimizer.step(module(x).square().mean())
    assert torch.equal(layer.weight, twin.weight)


def test_initialise_depends_on_its_generator_alone():
    layer = nn.Sequential(nn.Linear(3, 3), nn.Conv1d(3, 3, 5))
    weights = []
    for seed in (0, 0, 1):
        torch.rand(3)
        initialise(layer, torch.Generator().manual_seed(seed))
        weights.append(layer[1].weight.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
