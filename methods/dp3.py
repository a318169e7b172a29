"""DP3, 3D Diffusion Policy: a diffusion model of action chunks, conditioned on a point cloud and the robot state.

Source: Ze et al. 2024, 3D Diffusion Policy (arXiv 2403.03954), and its released code. Training: t uniform on 0..99,
x_t = alpha_t x0 + sigma_t eps, loss = mean (net(x_t, t, c) - x0)^2; the encoder that gives c is trained with it.
Inference: DDIM with NFE steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.interfaces import Batch, DemoSet, MethodSpec, TaskSpec, UserError
from methods.nets.diffusion import TRAIN_STEPS, DdimSampler, ddim_timesteps
from methods.nets.optim import Optimizer, blend, ema_decay, initialise
from methods.policy import (
    HORIZON,
    N_ACTION_STEPS,
    N_OBS_STEPS,
    RAW,
    SIZES,
    ChunkPolicy,
    NetSizes,
    profile_config,
    read_options,
    trainable,
)


@dataclass(frozen=True)
class Dp3Config:
    """Hyper-parameters of training."""

    sizes: NetSizes
    train_steps: int  # gradient steps
    batch_size: int  # B, windows
    noise_draws: int  # K, noise draws for each encoded window: the U-Net sees K * B rows
    lr: float  # peak learning rate
    warmup: int  # steps of linear warm-up
    weight_decay: float
    clip: float | None  # largest gradient norm
    ema_cap: float  # largest decay of the EMA, per step
    state_noise: float = 0.0  # standard deviation of training noise on the normalised robot state
    search_points: int | None = None  # points drawn per frame in the search for maxima (CPU); None: all are looked at


class Winners(nn.Module):
    """For each frame of the demonstrations, the points where the channels of the point encoder were largest."""

    def __init__(self, frames: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(frames, channels, dtype=torch.int64))


CONFIGS = {
    "smoke": Dp3Config(SIZES["smoke"], 40, 32, 1, 1e-3, 5, 1e-6, None, 0.9, 0.0, 16),
    "lite": Dp3Config(SIZES["lite"], 3000, 64, 4, 3e-3, 100, 1e-6, 1.0, 0.999, 0.0, 64),
    # 3000 epochs of 15 batches: 9 demonstrations of 200 steps give 1809 windows
    "paper": Dp3Config(SIZES["paper"], 45_000, 128, 1, 1e-4, 500, 1e-6, None, 0.9999),
}
NFE = 10  # network evaluations by default
ONE_STEP_TIMESTEP = TRAIN_STEPS - 1  # where a single evaluation starts, unless told otherwise


class Dp3(ChunkPolicy):
    """DP3; options ``nfe`` (1 to 100) and, for ``nfe=1``, the timestep ``t`` that the noise is labelled with."""

    def __init__(
        self,
        task: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        config: Dp3Config | None = None,
    ) -> None:
        self.config = config or profile_config(CONFIGS, profile)
        given = read_options("dp3", options, {"nfe": range(1, TRAIN_STEPS + 1), "t": range(TRAIN_STEPS)})
        nfe = given.get("nfe", NFE)
        if "t" in given and nfe != 1:
            raise UserError(f"option t={given['t']} of dp3 goes with nfe=1 only, not with nfe={nfe}")
        in_force = {"nfe": nfe} | ({"t": given.get("t", ONE_STEP_TIMESTEP)} if nfe == 1 else {})
        spec = MethodSpec(
            name="dp3",
            teacher=None,
            horizon=HORIZON,
            n_obs_steps=N_OBS_STEPS,
            n_action_steps=N_ACTION_STEPS,
            nfe=nfe,
            train_steps=self.config.train_steps,
            batch_size=self.config.batch_size,
            config=asdict(self.config),
            options=in_force,
        )
        super().__init__(spec, task, self.config.sizes, device)
        # the scheduler's own single timestep is 0, which labels pure noise as a clean sample
        self._sampler = DdimSampler([in_force["t"]] if nfe == 1 else ddim_timesteps(nfe), self.device)
        self._raw: dict[str, Tensor] = {}

    def begin_training(
        self,
        demos: DemoSet,
        teacher: Mapping[str, Tensor] | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> None:
        """Fit the normaliser, initialise the networks from ``generator``, build the optimiser."""
        initialise(self.ema, generator)
        self.ema.normalizer.fit(*(self._to_device(part) for part in (demos.point_cloud, demos.agent_pos, demos.action)))
        self._clouds, self._states = self._normalised_frames(demos)
        self._thaw()
        self._net = trainable(self.ema).train()
        c = self.config
        parts = (self._net.encoder, self._net.unet)
        self._optimizer = Optimizer(parts, c.lr, c.train_steps, c.warmup, c.weight_decay, c.clip)
        self._winners = Winners(len(self._clouds), c.sizes.point_widths[-1])
        self._modules = {"net": self._net, "winners": self._winners}
        self._optimizers = {"net": self._optimizer}
        self._counters = {"ema": 0}

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step on the denoising loss; returns it as ``loss``."""
        frames = batch.frames.to(self.device).flatten()
        features = self._encode(frames, generator)
        x0 = self._clean_chunks(batch.action, self.config.noise_draws)
        t = self._draw_timesteps(len(batch.action), generator)
        x_t = self.schedule.add_noise(x0, self._randn_like(x0, generator), t)
        loss = functional.mse_loss(self._net.unet(x_t, t, features.view(len(batch.frames), -1)), x0)
        self._optimizer.step(loss)
        self._thaw()
        blend(self.ema, self._net, 1 - ema_decay(self._counters["ema"], self.config.ema_cap))
        self._counters["ema"] += 1
        return {"loss": loss.detach()}

    def _draw_timesteps(self, windows: int, generator: torch.Generator) -> Tensor:
        """Timesteps ``[K * B]``, each uniform on 0..99; the K of one window are evenly spread, for less variance."""
        draws = self.config.noise_draws
        first = torch.randint(TRAIN_STEPS, (windows,), generator=generator, device=self.device)
        spread = torch.arange(draws, device=self.device) * TRAIN_STEPS // draws
        return ((first + spread[:, None]) % TRAIN_STEPS).flatten()

    def _encode(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Features ``[M, D]`` of frames ``[M]``, with a graph."""
        encoder, draws = self._net.encoder, self.config.search_points
        states = self._states[frames]
        if self.config.state_noise:
            states = states + self.config.state_noise * self._randn_like(states, generator)
        if draws is None or self.device.type != "cpu":
            return encoder(self._clouds[frames], states)
        extra = torch.randint(self._clouds.shape[1], (len(frames), draws), generator=generator)
        clouds = encoder.points.encode_frames(self._clouds, frames, self._winners.table, extra)
        return torch.cat([clouds, encoder.state(states)], dim=1)

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
