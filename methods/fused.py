"""The samplers of the methods as one call of compiled code each, for variants ``+fused``."""

from __future__ import annotations

from bench.interfaces import Method
from methods.dp3 import Dp3
from methods.manicm import ManiCm
from methods.nets.diffusion import DdimSampler
from methods.nets.fused import FusedSampler, FusedUnet, Update, fusable
from methods.networks import N_OBS_STEPS
from methods.policy import ChunkPolicy
from methods.sdm import Sdm


def fused_sampler(method: Method) -> FusedSampler | None:
    """The sampler of ``method``, whose weights are loaded; None where there is no such form of it."""
    if not isinstance(method, ChunkPolicy) or not fusable(method.ema.unet):
        return None
    if isinstance(method, ManiCm):
        steps = _consistency(method)
    elif isinstance(method, Dp3) or (isinstance(method, Sdm) and method.config.test_noise == "random"):
        steps = _ddim(method._sampler)
    else:
        return None
    kept = N_OBS_STEPS - 1, method.spec.executed_steps
    method.ema.unet.freeze()
    return FusedSampler(FusedUnet(method.ema.unet), *zip(*steps, strict=True), method.ema.normalizer.action, kept)


def _ddim(sampler: DdimSampler) -> list[tuple[int, Update]]:
    """Timesteps and updates of `DdimSampler`; the last result is the clipped prediction."""
    return [
        (int(t), Update(after / sigma, -after * alpha / sigma, alpha_after))
        for t, alpha, sigma, alpha_after, after in sampler._steps
    ]


def _consistency(method: ManiCm) -> list[tuple[int, Update]]:
    """The same of `ManiCm`, which adds noise between its steps."""
    levels = [*method._noise_levels[1:], (1.0, 0.0)]
    return [
        (int(t), Update(alpha * skip, 0.0, alpha * out, sigma))
        for t, (skip, out), (alpha, sigma) in zip(method._steps, method._boundaries, levels, strict=True)
    ]
