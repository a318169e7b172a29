"""DP3, 3D Diffusion Policy: a diffusion model of action chunks, conditioned on a point cloud and the robot state.

Source: Ze et al. 2024, 3D Diffusion Policy (arXiv 2403.03954), and its released code. Training: t uniform on 0..99,
x_t = alpha_t x0 + sigma_t eps, loss = mean (net(x_t, t, c) - x0)^2; the encoder that gives c is trained with it.
Inference: DDIM with NFE steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from bench.interfaces import Batch, UserError
from methods.joint import Dp3Config, JointPolicy
from methods.nets.diffusion import TRAIN_STEPS, DdimSampler, ddim_timesteps
from methods.networks import SIZES
from methods.policy import RAW, read_options

CONFIGS = {
    "smoke": Dp3Config(SIZES["smoke"], 40, 32, 1, 1e-3, 5, 1e-6, None, 0.9, 0.0, 16),
    "lite": Dp3Config(SIZES["lite"], 1500, 64, 4, 3e-3, 100, 1e-6, 1.0, 0.998, 0.0, 64),
    # 3000 epochs of 15 batches: 9 demonstrations of 200 steps give 1809 windows
    "paper": Dp3Config(SIZES["paper"], 45_000, 128, 1, 1e-4, 500, 1e-6, None, 0.9999),
}
NFE = 10  # network evaluations by default
ONE_STEP_TIMESTEP = TRAIN_STEPS - 1  # where a single evaluation starts, unless told otherwise


class Dp3(JointPolicy):
    """DP3; options ``nfe`` (1 to 100) and, for ``nfe=1``, the timestep ``t`` that the noise is labelled with."""

    name, configs = "dp3", CONFIGS
    choices: ClassVar = {"nfe": range(1, TRAIN_STEPS + 1), "t": range(TRAIN_STEPS)}
    config: Dp3Config

    def _options(self, name: str, given: Mapping[str, str] | None) -> dict[str, int]:
        values = read_options(name, given, self.choices)
        nfe = values.get("nfe", NFE)
        if "t" in values and nfe != 1:
            raise UserError(f"option t={values['t']} of {name} goes with nfe=1 only, not with nfe={nfe}")
        return {"nfe": nfe} | ({"t": values.get("t", ONE_STEP_TIMESTEP)} if nfe == 1 else {})

    def _set_up(self, options: Mapping[str, int]) -> None:
        # the scheduler's own single timestep is 0, which labels pure noise as a clean sample
        timesteps = [options["t"]] if options["nfe"] == 1 else ddim_timesteps(options["nfe"])
        self._sampler = DdimSampler(timesteps, self.device)
        self._raw: dict[str, Tensor] = {}

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step on the denoising loss; returns it as ``loss``."""
        condition = self._joint.condition(batch.frames, generator)
        x0 = self._clean_chunks(batch.action, self.config.noise_draws)
        t = self._draw_timesteps(len(batch.action), generator)
        x_t = self.schedule.add_noise(x0, self._randn_like(x0, generator), t)
        loss = functional.mse_loss(self._joint.net.unet(x_t, t, condition), x0)
        self._joint.step(loss)
        self._thaw()
        return {"loss": loss.detach()}

    def _draw_timesteps(self, windows: int, generator: torch.Generator) -> Tensor:
        """Timesteps ``[K * B]``, each uniform on 0..99; the K of one window are evenly spread, for less variance."""
        draws = self.config.noise_draws
        first = torch.randint(TRAIN_STEPS, (windows,), generator=generator, device=self.device)
        spread = torch.arange(draws, device=self.device) * TRAIN_STEPS // draws
        return ((first + spread[:, None]) % TRAIN_STEPS).flatten()

    def state(self) -> dict[str, Tensor]:
        """EMA weights and normaliser; under ``raw.`` the weights without EMA, for students that start from these."""
        raw = dict(self._modules["net"].named_parameters()) if self._modules else self._raw
        return super().state() | {RAW + name.removeprefix(RAW): t.detach().clone() for name, t in raw.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load `state`; the ``raw.`` part may be absent."""
        super().load_state({name: tensor for name, tensor in state.items() if not name.startswith(RAW)})
        self._raw = {name: tensor for name, tensor in state.items() if name.startswith(RAW)}
        self._modules = {}

    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        network = self.ema.unet
        return self._sampler(lambda x, t: network(x, t, condition), noise)
