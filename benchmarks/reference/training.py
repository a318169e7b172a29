"""A training step of DP3 from plain PyTorch layers, as its published implementations do it.

Same loss as `methods.dp3`, to rounding; every point of every cloud goes through the encoder with a graph, each residual
block has its own Conv1d, GroupNorm, Mish and FiLM calls, and optimiser and EMA go through the parameters one by one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.interfaces import Batch, DemoSet, TaskSpec
from methods.dp3 import Dp3Config
from methods.nets.diffusion import TRAIN_STEPS, Schedule
from methods.nets.encoder import PointEncoder
from methods.nets.optim import ema_decay
from methods.nets.reference import PlainUnet1d
from methods.networks import NetSizes, Networks
from methods.policy import RAW, ChunkPolicy


class PlainPointEncoder(PointEncoder):
    """The point encoder layer by layer, with a graph for all points."""

    def forward(self, points: Tensor) -> Tensor:
        """Encode normalised clouds ``[M, N, 3]`` as ``[M, out_dim]``."""
        return self.project_norm(self.project(self._shared_mlp(self._embed(points)).amax(dim=1)))


class PlainUnet(PlainUnet1d):
    """The U-Net layer by layer."""

    def freeze(self) -> None:
        """Plain layers have nothing to lay out."""


def plain_networks(task: TaskSpec, sizes: NetSizes, *, plain_encoder: bool = True) -> Networks:
    """The networks of a method in plain layers, or only its U-Net; they load its weights."""
    networks = Networks(task, sizes)
    networks.unet.__class__ = PlainUnet  # the same parameters, called in another way
    if plain_encoder:
        networks.encoder.points.__class__ = PlainPointEncoder
    return networks


def use_plain_layers(policy: ChunkPolicy, task: TaskSpec, sizes: NetSizes) -> None:
    """Let a policy act with plain layers of the same weights."""
    networks = plain_networks(task, sizes)
    networks.load_state_dict(policy.ema.state_dict())
    policy.ema = networks.requires_grad_(False).eval()


class PlainTeacher:
    """Trains DP3 from plain layers.

    Args:
        task: gives the sizes of state and action.
        config: hyper-parameters; the search for maxima has no counterpart here.
        demos: the demonstrations.
        start: initial weights and normaliser, the `state` of a `methods.dp3.Dp3`.
        plain_encoder: False leaves the fast point encoder in place (it looks at all points).
    """

    def __init__(
        self,
        task: TaskSpec,
        config: Dp3Config,
        demos: DemoSet,
        start: Mapping[str, Tensor],
        *,
        plain_encoder: bool = True,
    ) -> None:
        self.config, self.schedule = config, Schedule()
        self.net = plain_networks(task, config.sizes, plain_encoder=plain_encoder)
        self.net.load_state_dict({name: tensor for name, tensor in start.items() if not name.startswith(RAW)})
        self.ema = copy.deepcopy(self.net).requires_grad_(False)
        arrays = (torch.from_numpy(demos.point_cloud), torch.from_numpy(demos.agent_pos))
        self._clouds, self._states = self.net.normalise(*arrays)
        self._parameters = [*self.net.encoder.parameters(), *self.net.unet.parameters()]
        self._adam = torch.optim.AdamW(
            self._parameters, config.lr, betas=(0.95, 0.999), eps=1e-8, weight_decay=config.weight_decay
        )
        self._learning_rate = torch.optim.lr_scheduler.LambdaLR(self._adam, self._schedule)
        self._steps = 0

    def _schedule(self, step: int) -> float:
        c = self.config
        if step < c.warmup:
            return (step + 1) / (c.warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - c.warmup) / max(1, c.train_steps - c.warmup))))

    def fit_step(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """One gradient step; returns the loss. With one noise draw it draws the same numbers as `methods.dp3.Dp3`."""
        frames = batch.frames.flatten()
        features = self.net.encoder(self._clouds[frames], self._states[frames])
        x0 = self.net.normalizer.action(batch.action).repeat(self.config.noise_draws, 1, 1)
        t = torch.randint(TRAIN_STEPS, (len(x0),), generator=generator)
        x_t = self.schedule.add_noise(x0, torch.randn(x0.shape, generator=generator), t)
        loss = functional.mse_loss(self.net.unet(x_t, t, features.view(len(batch.frames), -1)), x0)
        self._adam.zero_grad()
        loss.backward()
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.config.clip, foreach=False)
        self._adam.step()
        self._learning_rate.step()
        decay = ema_decay(self._steps, self.config.ema_cap)
        with torch.no_grad():
            for average, parameter in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                average.mul_(decay).add_(parameter, alpha=1 - decay)
        self._steps += 1
        return loss.detach()
