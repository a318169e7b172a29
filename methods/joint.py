"""Training of encoder and U-Net together, from scratch, by the recipe of DP3: what differs is the loss alone.

Source: 3D Diffusion Policy, released training code (Ze et al. 2024, arXiv 2403.03954), with what `docs/methods.md` says
of it. A method that is trained this way differs from the teacher in its loss and its sampler, so that a difference in
success is theirs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.interfaces import DemoSet
from methods.nets.encoder import ObservationEncoder
from methods.nets.optim import Optimizer, blend, ema_decay, initialise
from methods.networks import NetSizes, Networks
from methods.policy import ChunkPolicy, trainable


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


class Frames(ABC):
    """All frames of the demonstrations, normalised, and how windows of them are encoded in training.

    Args:
        seen: clouds ``[T, N, 3]`` or pictures ``[T, S, S, 3]``.
        states: ``[T, P]``.
        config: the recipe.
    """

    def __init__(self, seen: Tensor, states: Tensor, config: Dp3Config) -> None:
        self._seen, self._states, self._config = seen, states, config
        self.modules: dict[str, nn.Module] = {}  # what `encode` changes, a part of the state of training

    @abstractmethod
    def encode(self, encoder: Any, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, with a graph: ``[B * To, D]``."""


class Winners(nn.Module):
    """For each frame of the demonstrations, the points where the channels of the point encoder were largest."""

    def __init__(self, frames: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(frames, channels, dtype=torch.int64))


class CloudFrames(Frames):
    """Point clouds ``[T, N, 3]``; the search for maxima is the fast one where the recipe asks for it."""

    def __init__(self, seen: Tensor, states: Tensor, config: Dp3Config) -> None:
        super().__init__(seen, states, config)
        self._winners = Winners(len(seen), config.sizes.point_widths[-1])
        self.modules = {"winners": self._winners}

    def encode(self, encoder: ObservationEncoder, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, with a graph: ``[B * To, D]``."""
        draws, device = self._config.search_points, self._seen.device
        flat = windows.to(device).flatten()
        states = self._states[flat]
        if self._config.state_noise:
            noise = torch.randn(states.shape, generator=generator, device=device)
            states = states + self._config.state_noise * noise
        if draws is None or device.type != "cpu":
            return encoder(self._seen[flat], states)
        extra = torch.randint(self._seen.shape[1], (len(flat), draws), generator=generator)
        clouds = encoder.points.encode_frames(self._seen, flat, self._winners.table, extra)
        return torch.cat([clouds, encoder.state(states)], dim=1)


class JointTraining:
    """The networks in training, their optimiser, and the averaged weights that follow them.

    Args:
        averaged: the networks that act, with their initial weights; moved by `step`.
        frames: the demonstrations.
        config: the recipe.
    """

    def __init__(self, averaged: Networks, frames: Frames, config: Dp3Config) -> None:
        self._averaged, self._frames, self._config = averaged, frames, config
        self.net = trainable(averaged).train()
        self.optimizer = Optimizer(
            (self.net.encoder, self.net.unet), config.lr, config.train_steps, config.warmup, config.weight_decay,
            config.clip,
        )  # fmt: skip

    def condition(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, with a graph: ``[B, C]``."""
        return self._frames.encode(self.net.encoder, windows, generator).view(len(windows), -1)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of ``loss``; the averaged weights follow."""
        self.optimizer.step(loss)
        self._averaged.thaw()
        decay = ema_decay(self.optimizer.step_count - 1, self._config.ema_cap)
        blend(self._averaged, self.net, 1 - decay)


class JointPolicy(ChunkPolicy):
    """Base of the methods that are trained this way: a subclass adds its loss and its sampler."""

    frames_type: type[Frames] = CloudFrames

    def begin_training(
        self,
        demos: DemoSet,
        teacher: Mapping[str, Tensor] | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> None:
        """Initialise the networks from ``generator``, fit the normaliser, build the optimiser."""
        self._thaw()
        initialise(self.ema, generator)
        seen, states = self._all_frames(demos)
        self.ema.fit_normalizer(seen, states, self._to_device(demos.action))
        frames = self.frames_type(*self.ema.normalise(seen, states), self.recipe)
        self._joint = JointTraining(self.ema, frames, self.recipe)
        self._modules = {"net": self._joint.net, **frames.modules}
        self._optimizers = {"net": self._joint.optimizer}
