"""Training of encoder and U-Net together, from scratch, by the recipe of DP3: what differs is the loss alone.

Source: 3D Diffusion Policy, released training code (Ze et al. 2024, arXiv 2403.03954), with what `docs/methods.md` says
of it. A method that is trained this way differs from the teacher in its loss and its sampler, so that a difference in
success is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.nets.optim import Optimizer, blend, ema_decay, initialise
from methods.policy import NetSizes, Networks, trainable


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


class JointTraining:
    """The networks in training, their optimiser, and the averaged weights that follow them.

    Args:
        averaged: the networks that act; normalised and initialised here, then moved by `step`.
        point_cloud: all frames of the demonstrations ``[T, N, 3]``, metres.
        agent_pos: ``[T, P]``.
        action: ``[T, A]``.
        config: the recipe.
        generator: of the initial weights.
    """

    def __init__(
        self,
        averaged: Networks,
        point_cloud: Tensor,
        agent_pos: Tensor,
        action: Tensor,
        config: Dp3Config,
        generator: torch.Generator,
    ) -> None:
        self._averaged, self._config = averaged, config
        averaged.thaw()
        initialise(averaged, generator)
        averaged.fit_normalizer(point_cloud, agent_pos, action)
        self._clouds, self._states = averaged.normalise(point_cloud, agent_pos)
        self.net = trainable(averaged).train()
        self.winners = Winners(len(self._clouds), config.sizes.point_widths[-1])
        self.optimizer = Optimizer(
            (self.net.encoder, self.net.unet), config.lr, config.train_steps, config.warmup, config.weight_decay,
            config.clip,
        )  # fmt: skip

    def condition(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, with a graph: ``[B, C]``."""
        encoder, draws, device = self.net.encoder, self._config.search_points, self._clouds.device
        flat = frames.to(device).flatten()
        states = self._states[flat]
        if self._config.state_noise:
            noise = torch.randn(states.shape, generator=generator, device=device)
            states = states + self._config.state_noise * noise
        if draws is None or device.type != "cpu":
            return encoder(self._clouds[flat], states).view(len(frames), -1)
        extra = torch.randint(self._clouds.shape[1], (len(flat), draws), generator=generator)
        clouds = encoder.points.encode_frames(self._clouds, flat, self.winners.table, extra)
        return torch.cat([clouds, encoder.state(states)], dim=1).view(len(frames), -1)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of ``loss``; the averaged weights follow."""
        self.optimizer.step(loss)
        self._averaged.thaw()
        decay = ema_decay(self.optimizer.step_count - 1, self._config.ema_cap)
        blend(self._averaged, self.net, 1 - decay)
