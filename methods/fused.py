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
    if not isinstance(method, ChunkPolicy) or type(method).sample is not ChunkPolicy.sample:
        return None
    steps = _steps(method)
    if steps is None or not fusable(method.ema.unet):
        return None
    kept = N_OBS_STEPS - 1, method.spec.executed_steps
    method.ema.unet.freeze()
    return FusedSampler(FusedUnet(method.ema.unet), *zip(*steps, strict=True), method.ema.normalizer.action, kept)


def _steps(method: ChunkPolicy) -> list[tuple[int, Update]] | None:
    """Timesteps and updates of a sampler; None for one of its own, that of a subclass included."""
    sampler = type(method)._sample
    if isinstance(method, ManiCm) and sampler is ManiCm._sample:
        return _consistency(method)
    if isinstance(method, Dp3) and sampler is Dp3._sample:
        return _ddim(method._sampler)
    if isinstance(method, Sdm) and sampler is Sdm._sample and method.config.test_noise == "random":
        return _ddim(method._sampler)
    return None


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
