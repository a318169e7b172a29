"""FlowPolicy: consistency flow matching of action chunks, one evaluation at test time and no teacher.

Source: Zhang et al. 2024, FlowPolicy (arXiv 2412.04987), and its released code; the loss is that of Consistency Flow
Matching (Yang et al. 2024, arXiv 2407.02398). From noise z at time 0 to the chunk x1 at time 1 leads a straight line,
and the U-Net predicts its velocity. With t uniform on (eps, 1), r = min(t + delta, 1), e the end of the segment of
[0, 1] that holds t, and x_t = t x1 + (1 - t) z:

    v_t  = net(x_t, 99 t, c),   f_t = x_t + (e - t) v_t             (where the line of t ends its segment)
    loss = mean (f_t - f_r)^2 + alpha mean (v_t - v_r)^2 [t < b] [e - t > 1.01 delta]

with the same z in x_t and x_r, and f_r replaced by the true end x_e once r reaches the boundary b. What is meant for r
is the goal and gets no gradient; `flowpolicy-released` follows the released code, where gradients flow into both and
the chunk is not clipped. Inference: Euler steps of equal length, one by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from bench.interfaces import Batch, TaskSpec
from methods.dp3 import CONFIGS as DP3
from methods.joint import Dp3Config, JointPolicy
from methods.policy import profile_config

TIME_SCALE = 99  # times from 0 to 1 are embedded as the timesteps 0 to 99 of diffusion
MAX_NFE = 100


@dataclass(frozen=True)
class FlowConfig:
    """Hyper-parameters of training: DP3's, and those of the flow."""

    recipe: Dp3Config
    segments: int = 2  # equal parts of [0, 1] within which the flow is straight
    first_time: float = 0.01  # eps: the smallest t in training, and where inference starts
    delta: float = 0.01  # from t to r
    boundary: float = 1.0  # b: from this r on the goal is the true end of the segment; 0 makes it a regression
    velocity_weight: float = 1e-5  # alpha
    released_compat: bool = False


CONFIGS = {
    # with the published delta each step carries a hundredth of the way to the goal: too little for a small budget
    "smoke": FlowConfig(DP3["smoke"], delta=0.1),
    "lite": FlowConfig(DP3["lite"], delta=0.1),
    "paper": FlowConfig(DP3["paper"]),
}


class FlowPolicy(JointPolicy):
    """FlowPolicy; option ``nfe`` (1 to 100), the number of Euler steps."""

    name, configs = "flowpolicy", CONFIGS
    choices: ClassVar = {"nfe": range(1, MAX_NFE + 1)}
    config: FlowConfig

    @property
    def recipe(self) -> Dp3Config:
        """The hyper-parameters that are DP3's."""
        return self.config.recipe

    def _set_up(self, options: Mapping[str, int]) -> None:
        first, nfe = self.config.first_time, options["nfe"]
        times = [first + (1 - first) * i / nfe for i in range(nfe)]
        self._timesteps = [torch.tensor([TIME_SCALE * t], device=self.device) for t in times]

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of consistency flow matching; returns ``loss``."""
        condition = self._joint.condition(batch.frames, generator)
        x1 = self._clean_chunks(batch.action, self.config.recipe.noise_draws)
        z = self._randn_like(x1, generator)
        loss = self.loss(x1, z, self._draw_times(len(batch.action), generator), condition)
        self._joint.step(loss)
        self._thaw()
        return {"loss": loss.detach()}

    def loss(self, x1: Tensor, z: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The loss of the networks in training at chunks and noise ``[K * B, H, A]`` and times ``[K * B]``."""
        c = self.config
        r = (t + c.delta).clamp(max=1)
        end = (torch.floor(t * c.segments) + 1).clamp(max=c.segments) / c.segments
        v_t, f_t = self._line(x1, z, t, end, condition)
        with torch.set_grad_enabled(c.released_compat):
            v_r, f_r = self._line(x1, z, r, end, condition)
            goal = torch.where(_wide(r < c.boundary), f_r, between(z, x1, end))
        matters = (t < c.boundary) & (end - t > 1.01 * c.delta)  # not across the end of a segment
        straightness = (v_t - v_r).square() * _wide(matters)
        return (f_t - goal).square().mean() + c.velocity_weight * straightness.mean()

    def _line(self, x1: Tensor, z: Tensor, t: Tensor, end: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity at x_t, and where it leads to by the time ``end``."""
        x_t = between(z, x1, t)
        velocity = self._joint.net.unet(x_t, TIME_SCALE * t, condition)
        return velocity, x_t + _wide(end - t) * velocity

    def _draw_times(self, windows: int, generator: torch.Generator) -> Tensor:
        """Times ``[K * B]``, each uniform on eps..1; the K of one window are evenly spread, for less variance."""
        draws, first = self.config.recipe.noise_draws, self.config.first_time
        start = torch.rand(windows, generator=generator, device=self.device)
        spread = torch.arange(draws, device=self.device) / draws
        return (first + (1 - first) * ((start + spread[:, None]) % 1)).flatten()

    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        x = noise
        for t in self._timesteps:
            x = x + self.ema.unet(x, t, condition) / len(self._timesteps)
        return x if self.config.released_compat else x.clamp(-1, 1)


def between(z: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t = t x1 + (1 - t) z for ``[B, H, A]`` and ``[B]``."""
    return torch.lerp(z, x1, _wide(t))


def _wide(t: Tensor) -> Tensor:
    return t[:, None, None]


def released(
    task: TaskSpec, profile: str, options: Mapping[str, str] | None = None, device: str | torch.device = "cpu"
) -> FlowPolicy:
    """FlowPolicy as its released code trains it."""
    config = replace(profile_config(CONFIGS, profile, task), released_compat=True)
    return FlowPolicy(task, profile, options, device, config)
