"""Behaviour cloning: the chunk is regressed from the observation, by the networks and the recipe of DP3.

    loss = mean (net(0, 99, c) - x0)^2

The U-Net sees zeros where the noise would be and a constant timestep: the cheapest policy of one evaluation, with
nothing generative about it. It gives the mean of the demonstrated chunks, so what a generative policy adds is what it
does better than this one where demonstrations differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import torch
from torch import Tensor
from torch.nn import functional

from bench.interfaces import Batch, MethodSpec, TaskSpec
from methods.dp3 import CONFIGS as DP3
from methods.dp3 import ONE_STEP_TIMESTEP, Dp3Config
from methods.joint import JointPolicy
from methods.policy import HORIZON, N_ACTION_STEPS, N_OBS_STEPS, profile_config, read_options

CONFIGS = {profile: replace(config, noise_draws=1) for profile, config in DP3.items()}  # there is no noise to draw


class Bc(JointPolicy):
    """Behaviour cloning by regression; one evaluation, deterministic."""

    def __init__(
        self,
        task: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        config: Dp3Config | None = None,
    ) -> None:
        self.config = config or profile_config(CONFIGS, profile)
        read_options("bc", options, {"nfe": (1,)})
        spec = MethodSpec(
            name="bc",
            teacher=None,
            horizon=HORIZON,
            n_obs_steps=N_OBS_STEPS,
            n_action_steps=N_ACTION_STEPS,
            nfe=1,
            train_steps=self.config.train_steps,
            batch_size=self.config.batch_size,
            config=asdict(self.config),
            options={"nfe": 1},
        )
        super().__init__(spec, task, self.config.sizes, device)
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
