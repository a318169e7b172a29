"""Diffusion Policy on images: the diffusion model of `dp3`, conditioned on a picture instead of a point cloud.

Source: Chi et al. 2023, Diffusion Policy (arXiv 2303.04137), with the encoder of `methods.nets.image_encoder`. Loss,
U-Net, sampler and chunks are those of `dp3` (Ze et al. 2024, arXiv 2403.03954), which predicts x0 and takes ten DDIM
steps, so that the two differ in what they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from bench.interfaces import DemoSet, TaskSpec
from methods.dp3 import Dp3, Dp3Config
from methods.images import SIZES, ImageNetworks, SeesImages
from methods.joint import JointTraining
from methods.nets.diffusion import TRAIN_STEPS
from methods.nets.image_encoder import random_crops
from methods.nets.optim import Optimizer, initialise
from methods.policy import profile_config, read_options, trainable

CONFIGS = {
    "smoke": Dp3Config(SIZES["smoke"], 40, 16, 1, 1e-3, 5, 1e-6, None, 0.9),
    "lite": Dp3Config(SIZES["lite"], 1500, 32, 8, 1e-3, 100, 1e-6, 1.0, 0.999),
    # as dp3, and with it 3000 epochs of 15 batches
    "paper": Dp3Config(SIZES["paper"], 45_000, 128, 1, 1e-4, 500, 1e-6, None, 0.9999),
}


class Dp(Dp3, SeesImages):
    """Diffusion Policy on images; option ``nfe`` (1 to 100)."""

    def __init__(
        self,
        task: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        config: Dp3Config | None = None,
    ) -> None:
        read_options("dp", options, {"nfe": range(1, TRAIN_STEPS + 1)})
        super().__init__(task, profile, options, device, config or profile_config(CONFIGS, profile))
        self.spec = replace(self.spec, name="dp")

    def begin_training(
        self,
        demos: DemoSet,
        teacher: Mapping[str, Tensor] | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> None:
        """Fit the normaliser, initialise the networks from ``generator``, build the optimiser."""
        initialise(self.ema, generator)
        self.ema.normalizer.fit(self._to_device(demos.agent_pos), self._to_device(demos.action))
        self._joint = _ImageTraining(self.ema, *self._normalised_frames(demos), self.config)
        self._modules, self._optimizers = {"net": self._joint.net}, {"net": self._joint.optimizer}
        self._thaw()


class _ImageTraining(JointTraining):
    """The same training with pictures ``[T, 84, 84, 3]`` and normalised states ``[T, P]`` of all frames."""

    def __init__(self, averaged: ImageNetworks, pictures: Tensor, states: Tensor, config: Dp3Config) -> None:
        self._averaged, self._config, self._pictures, self._states = averaged, config, pictures, states
        averaged.thaw()
        self.net = trainable(averaged).train()
        parts = (self.net.encoder, self.net.unet)
        self.optimizer = Optimizer(
            parts, config.lr, config.train_steps, config.warmup, config.weight_decay, config.clip
        )

    def condition(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, cropped at random, with a graph: ``[B, C]``."""
        flat = frames.to(self._states.device).flatten()
        pictures = random_crops(self._pictures[flat], self._config.sizes.vision.crop, generator)
        return self.net.encoder(pictures, self._states[flat]).view(len(frames), -1)
