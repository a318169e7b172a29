"""Behaviour cloning: the chunk is regressed from the observation, by the networks and the recipe of DP3.

    loss = mean (net(0, 99, c) - x0)^2

The U-Net sees zeros where the noise would be and a constant timestep: the cheapest policy of one evaluation, with
nothing generative about it. It gives the mean of the demonstrated chunks, so what a generative policy adds is what it
does better than this one where demonstrations differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from bench.interfaces import Batch
from methods.dp3 import CONFIGS as DP3
from methods.dp3 import ONE_STEP_TIMESTEP
from methods.joint import Dp3Config, JointPolicy

CONFIGS = {profile: replace(config, noise_draws=1) for profile, config in DP3.items()}  # there is no noise to draw


class Bc(JointPolicy):
    """Behaviour cloning by regression; one evaluation, deterministic."""

    name, configs = "bc", CONFIGS
    config: Dp3Config

    def _set_up(self, options: Mapping[str, int]) -> None:  # noqa: ARG002
        self._t = torch.tensor([ONE_STEP_TIMESTEP], device=self.device)

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step on the squared error of the chunk; returns it as ``loss``."""
        condition = self._joint.condition(batch.frames, generator)
        x0 = self._clean_chunks(batch.action, 1)
        loss = functional.mse_loss(self._joint.net.unet(torch.zeros_like(x0), self._t, condition), x0)
        self._joint.step(loss)
        self._thaw()
        return {"loss": loss.detach()}

    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return self.ema.unet(torch.zeros_like(noise), self._t, condition).clamp(-1, 1)
