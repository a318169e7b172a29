"""Noise schedule and DDIM sampler of DP3: 100 steps, squared-cosine, networks that predict the clean sample x0.

Sources: Nichol & Dhariwal 2021, eq. 17 (cosine schedule); Song et al. 2021 (DDIM), eq. 12 with sigma = 0; 3D Diffusion
Policy, released configuration ("sample" prediction, clipping to [-1, 1], "leading" timesteps, final abar = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

TRAIN_STEPS = 100

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, H, A], t [1]) -> x0 [B, H, A]


def _alpha_bar() -> Tensor:
    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(0.999, 1 - f((t + 1) / TRAIN_STEPS) / f(t / TRAIN_STEPS)) for t in range(TRAIN_STEPS)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), dim=0)


class Schedule:
    """alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t), t = 0..99, as tables ``[100]`` on a device."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.alpha_bar = _alpha_bar()
        self.alpha = self.alpha_bar.sqrt().float().to(device)
        self.sigma = (1 - self.alpha_bar).sqrt().float().to(device)

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma ``[B, 1, 1]`` at timesteps ``[B]``."""
        return self.alpha[t][:, None, None], self.sigma[t][:, None, None]

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha_t x0 + sigma_t eps, for ``[B, H, A]`` and ``[B]``."""
        alpha, sigma = self.at(t)
        return alpha * x0 + sigma * noise


def ddim_timesteps(nfe: int) -> list[int]:
    """ "Leading" timesteps, descending: 90, 80, ..., 0 for 10 evaluations; 0 alone for one."""
    stride = TRAIN_STEPS // nfe
    return [i * stride for i in reversed(range(nfe))]


class DdimSampler:
    """Deterministic DDIM over fixed timesteps; the last step returns the clipped prediction itself."""

    def __init__(self, timesteps: Sequence[int], device: torch.device | str = "cpu") -> None:
        alpha_bar = _alpha_bar()
        self._steps: list[tuple[Tensor, float, float, float, float]] = []
        for i, t in enumerate(timesteps):
            before = float(alpha_bar[timesteps[i + 1]]) if i + 1 < len(timesteps) else 1.0
            now = float(alpha_bar[t])
            step = (now**0.5, (1 - now) ** 0.5, before**0.5, (1 - before) ** 0.5)
            self._steps.append((torch.tensor([t], device=device), *step))

    def __call__(self, denoise: Denoiser, x: Tensor) -> Tensor:
        """Take noise ``[B, H, A]`` to a clean sample in [-1, 1]."""
        for t, alpha, sigma, alpha_before, sigma_before in self._steps:
            x0 = denoise(x, t)
            # the noise estimate belongs to the unclipped prediction
            noise = (x - alpha * x0) / sigma if sigma_before else None
            x = x0.clamp(-1, 1)
            if noise is not None:
                x = alpha_before * x + sigma_before * noise
        return x
