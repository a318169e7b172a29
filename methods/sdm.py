"""SDM Policy: score (distribution) matching distillation of DP3 into a one-step generator.

Source: SDM Policy (arXiv 2412.09265) and its released code, in corrected form. A generator x = G(z, t_g, c) with
z ~ N(0, I), a frozen teacher mu_R and a corrector mu_F that tracks the generator's distribution, both predicting x0:

    s(x_t)   = -(x_t - alpha_t mu) / sigma_t^2              (score from an x0 prediction)
    g        = (s_F - s_R) / Z = w_t (mu_F - mu_R) / Z,     w_t = alpha_t / sigma_t^2
    L_G      = 0.5 mean (x - stopgrad(x - g))^2             so that dL_G/dx = g / numel(x)
    L_F      = mean (mu_F(x_t, t, c) - stopgrad(x))^2

`sdm-released` follows the released code where it differs: t_g = 100; weights of the teacher without EMA, no EMA of the
generator; L_F is not detached, so that its gradient gathers in G until G is stepped (the backward pass of L_F runs
before that step, and G is evaluated anew for L_G with the same noise); G is stepped in epochs divisible by 5;
evaluation by 10 DDIM steps of G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from bench.interfaces import Batch, DemoSet, TaskSpec
from methods.distillation import Student
from methods.nets.diffusion import TRAIN_STEPS, DdimSampler, ddim_timesteps
from methods.nets.optim import Optimizer, blend, ema_decay
from methods.networks import SIZES, NetSizes
from methods.policy import profile_config, read_options, trainable


@dataclass(frozen=True)
class SdmConfig:
    """Hyper-parameters of distillation."""

    sizes: NetSizes  # of the teacher
    train_steps: int
    batch_size: int  # B, windows
    noise_draws: int  # K for each window
    lr: float  # of generator and corrector
    warmup: int
    weight_decay: float
    clip: float
    ema_cap: float  # largest decay of the EMA that acts
    ratio: int = 5  # corrector steps for each generator step
    update: Literal["steps", "epochs"] = "steps"  # count the ratio in steps, or in blocks of epochs
    scale: Literal["batch_score", "sample_score", "sample_error"] = "sample_error"  # Z, see `direction`
    timesteps: Literal["grid", "uniform"] = "uniform"  # of matching: {9, 19, ..., 99}, or 2..97
    teacher_weight: float = 0.0  # of an additional regression of G to the teacher's prediction at (z, t_g)
    demo_weight: float = 0.0  # of an additional regression of G to the demonstrated chunk
    test_noise: Literal["random", "zeros"] = "random"  # z when acting
    generator_timestep: int = 99  # t_g, in training and inference
    released_compat: bool = False


CONFIGS = {
    "smoke": SdmConfig(SIZES["smoke"], 20, 32, 1, 2e-4, 5, 1e-6, 1.0, 0.9),
    "lite": SdmConfig(SIZES["lite"], 300, 64, 2, 2e-4, 50, 1e-6, 1.0, 0.99),
    "paper": SdmConfig(SIZES["paper"], 45_000, 128, 1, 5e-5, 500, 1e-6, 1.0, 0.9999, timesteps="grid"),
}
_RELEASED = {"scale": "batch_score", "timesteps": "grid", "update": "epochs", "generator_timestep": 100}


class Sdm(Student):
    """SDM Policy; one evaluation (as released: option ``nfe``, 10 by default or 1)."""

    name, configs = "sdm", CONFIGS
    config: SdmConfig

    def _options(self, name: str, given: Mapping[str, str] | None) -> dict[str, int]:
        if not self.config.released_compat:
            return super()._options(name, given)
        return {"nfe": 10} | read_options(name, given, {"nfe": (1, 10)})

    def _set_up(self, options: Mapping[str, int]) -> None:
        t_g, nfe = self.config.generator_timestep, options["nfe"]
        self._t_g = torch.tensor([t_g], device=self.device)
        # the released one-step branch feeds 99, not 100
        self._sampler = DdimSampler([min(t_g, TRAIN_STEPS - 1)] if nfe == 1 else ddim_timesteps(nfe), self.device)

    def begin_training(
        self,
        demos: DemoSet,
        teacher: Mapping[str, Tensor] | None,
        generator: torch.Generator,  # noqa: ARG002
    ) -> None:
        """Copy the teacher to generator and corrector, precompute the features of all frames."""
        c = self.config
        self._features = self._start_distillation(demos, teacher, raw=c.released_compat)
        self._generator = trainable(self.ema.unet)
        self._corrector = trainable(self.ema.unet)
        self._teacher = trainable(self.ema.unet).requires_grad_(False)
        self._teacher.freeze()
        self._modules = {"generator": self._generator, "corrector": self._corrector}
        every = c.ratio if c.update == "steps" else 1
        steps = {"generator": -(-c.train_steps // every), "corrector": c.train_steps}
        self._optimizers = {
            key: Optimizer(
                [self._modules[key]], c.lr, steps[key], min(c.warmup, steps[key] // 4), c.weight_decay, c.clip
            )
            for key in self._modules
        }
        self._counters = {"ema": 0}

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """A step of the corrector and, every ``ratio``-th time, one of the generator; returns the losses of both."""
        c = self.config
        condition = self._condition(self._features, batch.frames)
        x0 = self._clean_chunks(batch.action, c.noise_draws)
        z, t = self._randn_like(x0, generator), self._draw_timesteps(len(x0), generator)
        losses = {"corrector": self.corrector_loss(z, t, condition, generator)}
        losses["corrector"].backward()
        self._optimizers["corrector"].apply()
        clock = batch.step if c.update == "steps" else batch.epoch
        if clock % c.ratio == 0:
            if not c.released_compat:
                z, t = self._randn_like(x0, generator), self._draw_timesteps(len(x0), generator)
            losses["generator"] = self._generator_loss(z, t, x0, condition, generator)
            self._optimizers["generator"].step(losses["generator"])
            self._thaw()
            decay = 0.0 if c.released_compat else ema_decay(self._counters["ema"], c.ema_cap)
            blend(self.ema.unet, self._generator, 1 - decay)
            self._counters["ema"] += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def corrector_loss(self, z: Tensor, t: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """L_F; its gradient reaches the corrector alone (as released, the generator too)."""
        with torch.set_grad_enabled(self.config.released_compat):
            x = self._generator(z, self._t_g, condition)
        x_t = self.schedule.add_noise(x, self._randn_like(x, generator), t)
        return functional.mse_loss(self._corrector(x_t, t, condition), x)

    def _generator_loss(
        self, z: Tensor, t: Tensor, x0: Tensor, condition: Tensor, generator: torch.Generator
    ) -> Tensor:
        x = self._generator(z, self._t_g, condition)
        loss = surrogate_loss(x, self.direction(x.detach(), t, condition, generator))
        if self.config.teacher_weight:
            with torch.no_grad():
                goal = self._teacher(z, self._t_g, condition)
            loss = loss + self.config.teacher_weight * functional.mse_loss(x, goal)
        if self.config.demo_weight:
            loss = loss + self.config.demo_weight * functional.mse_loss(x, x0)
        return loss

    @torch.no_grad()
    def direction(self, x: Tensor, t: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """g ``[B, H, A]``, the normalised descent direction of KL(generator || teacher) at samples ``x``.

        Z is the mean of |s_R| over the batch (``batch_score``, as released) or over each sample (``sample_score``), or
        the mean of |x - mu_R| over each sample with w_t left out (``sample_error``, as in distribution matching
        distillation).
        """
        x_t = self.schedule.add_noise(x, self._randn_like(x, generator), t)
        real = self._teacher(x_t, t, condition)
        difference = self._corrector(x_t, t, condition) - real
        if self.config.scale == "sample_error":
            return difference / (x - real).abs().mean(dim=(1, 2), keepdim=True).clamp(min=1e-4)
        alpha, sigma = self.schedule.at(t)
        score = ((x_t - alpha * real) / sigma.square()).abs()
        size = score.mean() if self.config.scale == "batch_score" else score.mean(dim=(1, 2), keepdim=True)
        return alpha / sigma.square() * difference / size

    def _draw_timesteps(self, n: int, generator: torch.Generator) -> Tensor:
        if self.config.timesteps == "grid":
            return 10 * torch.randint(10, (n,), generator=generator, device=self.device) + 9
        return torch.randint(2, 98, (n,), generator=generator, device=self.device)

    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        network = self.ema.unet
        z = noise if self.config.test_noise == "random" else torch.zeros_like(noise)
        return self._sampler(lambda x, t: network(x, t, condition), z)


def surrogate_loss(x: Tensor, g: Tensor) -> Tensor:
    """L_G = 0.5 mean (x - stopgrad(x - g))^2, whose gradient with respect to x is g / numel(x)."""
    return 0.5 * functional.mse_loss(x, (x - g).detach())


def released(
    task: TaskSpec, profile: str, options: Mapping[str, str] | None = None, device: str | torch.device = "cpu"
) -> Sdm:
    """SDM Policy as its released code trains and evaluates it."""
    config = replace(profile_config(CONFIGS, profile, task), released_compat=True, **_RELEASED)
    return Sdm(task, profile, options, device, config)
