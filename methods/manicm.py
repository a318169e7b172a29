"""ManiCM: consistency distillation of DP3 in action space; one evaluation at test time, or four.

Source: ManiCM (arXiv 2406.01586) and its released code, in corrected form. With the frozen EMA teacher, t on the grid
{9, 19, ..., 99} and s = max(t - 10, 0):

    f(x, t)  = c_skip(t) x + c_out(t) net(x, t, c)        (consistency function; f(x, 0) = x)
    x_s      = one DDIM step of the teacher from x_t
    loss     = mean (f_student(x_t, t) - f_target(x_s, s))^2,    target <- 0.95 target + 0.05 student

`manicm-released` follows the released code where it differs: the DDIM step takes the network output for the noise, so
that x_s = (alpha_s + sigma_s) xhat0; the teacher is not averaged, its prediction not clipped; the student is run
without EMA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from bench.interfaces import Batch, DemoSet, TaskSpec
from methods.distillation import Student
from methods.nets.diffusion import TRAIN_STEPS
from methods.nets.optim import Optimizer, blend, ema_decay
from methods.networks import SIZES, NetSizes
from methods.policy import profile_config, trainable

SKIP = 10  # k, timesteps that one distilled step jumps over
SIGMA_DATA, TIMESTEP_SCALE = 0.5, 10.0  # of the boundary condition
LCM_TIMESTEPS = {1: (99,), 4: (99, 75, 49, 25)}  # of the released sampler


@dataclass(frozen=True)
class ManiCmConfig:
    """Hyper-parameters of distillation."""

    sizes: NetSizes  # of the teacher
    train_steps: int
    batch_size: int  # B, windows
    noise_draws: int  # K for each window
    lr: float
    warmup: int
    weight_decay: float
    clip: float
    target_rate: float  # of the target network: weight of the old value, per step
    ema_cap: float  # largest decay of the EMA that acts
    released_compat: bool = False


CONFIGS = {
    "smoke": ManiCmConfig(SIZES["smoke"], 20, 32, 1, 2e-4, 5, 1e-6, 1.0, 0.95, 0.9),
    "lite": ManiCmConfig(SIZES["lite"], 300, 64, 2, 2e-4, 50, 1e-6, 1.0, 0.95, 0.99),
    "paper": ManiCmConfig(SIZES["paper"], 45_000, 128, 1, 5e-5, 500, 1e-6, 1.0, 0.95, 0.9999),
}


def boundary(t: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out of the consistency function at timesteps ``[B]``, each ``[B, 1, 1]``."""
    scaled = TIMESTEP_SCALE * t[:, None, None].float()
    total = scaled.square() + SIGMA_DATA**2
    return SIGMA_DATA**2 / total, scaled / total.sqrt()


class ManiCm(Student):
    """ManiCM; option ``nfe`` (1 or 4)."""

    name, configs = "manicm", CONFIGS
    choices: ClassVar = {"nfe": LCM_TIMESTEPS}
    config: ManiCmConfig

    def _set_up(self, options: Mapping[str, int]) -> None:
        timesteps = LCM_TIMESTEPS[options["nfe"]]
        self._steps = [torch.tensor([t], device=self.device) for t in timesteps]
        self._boundaries = [tuple(float(c) for c in boundary(t)) for t in self._steps]
        self._noise_levels = [(float(self.schedule.alpha[t]), float(self.schedule.sigma[t])) for t in timesteps]

    def begin_training(
        self,
        demos: DemoSet,
        teacher: Mapping[str, Tensor] | None,
        generator: torch.Generator,  # noqa: ARG002
    ) -> None:
        """Copy the teacher to student and target, precompute the features of all frames."""
        c = self.config
        self._features = self._start_distillation(demos, teacher, raw=c.released_compat)
        self._student = trainable(self.ema.unet)
        self._target = trainable(self.ema.unet).requires_grad_(False)
        self._teacher = trainable(self.ema.unet).requires_grad_(False)
        self._teacher.freeze()
        self._optimizer = Optimizer([self._student], c.lr, c.train_steps, c.warmup, c.weight_decay, c.clip)
        self._modules = {"student": self._student, "target": self._target}
        self._optimizers = {"student": self._optimizer}
        self._counters = {"ema": 0}

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of consistency distillation; returns ``loss``."""
        condition = self._condition(self._features, batch.frames)
        x0 = self._clean_chunks(batch.action, self.config.noise_draws)
        i = torch.randint(TRAIN_STEPS // SKIP, (len(x0),), generator=generator, device=self.device)
        t = SKIP * i + SKIP - 1
        x_t = self.schedule.add_noise(x0, self._randn_like(x0, generator), t)
        c_skip, c_out = boundary(t)
        prediction = c_skip * x_t + c_out * self._student(x_t, t, condition)
        with torch.no_grad():
            s = (t - SKIP).clamp(min=0)
            x_s = self.teacher_step(x_t, t, s, self._teacher(x_t, t, condition))
            c_skip, c_out = boundary(s)
            goal = c_skip * x_s + c_out * self._target(x_s, s, condition)
        loss = functional.mse_loss(prediction, goal)
        self._optimizer.step(loss)
        self._thaw()
        blend(self._target, self._student, 1 - self.config.target_rate)
        decay = 0.0 if self.config.released_compat else ema_decay(self._counters["ema"], self.config.ema_cap)
        blend(self.ema.unet, self._student, 1 - decay)
        self._counters["ema"] += 1
        return {"loss": loss.detach()}

    def teacher_step(self, x_t: Tensor, t: Tensor, s: Tensor, x0: Tensor) -> Tensor:
        """DDIM from t to s ``[B]`` with the teacher's prediction ``x0`` ``[B, H, A]``: x_s."""
        alpha_s, sigma_s = self.schedule.at(s)
        if self.config.released_compat:
            return (alpha_s + sigma_s) * x0
        alpha, sigma = self.schedule.at(t)
        x0 = x0.clamp(-1, 1)
        return alpha_s * x0 + sigma_s * (x_t - alpha * x0) / sigma.clamp(min=1e-4)

    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
        x = noise
        for step, (t, (c_skip, c_out)) in enumerate(zip(self._steps, self._boundaries, strict=True)):
            clean = c_skip * x + c_out * self.ema.unet(x, t, condition).clamp(-1, 1)
            if step + 1 == len(self._steps):
                break
            alpha, sigma = self._noise_levels[step + 1]
            x = alpha * clean + sigma * self._randn_like(x, generator)
        return clean.clamp(-1, 1)


def released(
    task: TaskSpec, profile: str, options: Mapping[str, str] | None = None, device: str | torch.device = "cpu"
) -> ManiCm:
    """ManiCM as its released code trains it."""
    config = replace(profile_config(CONFIGS, profile, task), released_compat=True)
    return ManiCm(task, profile, options, device, config)
