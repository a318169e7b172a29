"""Diffusion Policy on images: the diffusion model of `dp3`, conditioned on a picture instead of a point cloud.

Source: Chi et al. 2023, Diffusion Policy (arXiv 2303.04137), with the encoder of `methods.nets.image_encoder`. Loss,
U-Net, sampler and chunks are those of `dp3` (Ze et al. 2024, arXiv 2403.03954), which predicts x0 and takes ten DDIM
steps, so that the two differ in what they see.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from methods.dp3 import Dp3
from methods.images import SIZES, SeesImages
from methods.joint import Dp3Config, Frames
from methods.nets.image_encoder import ImageStateEncoder, random_crops

CONFIGS = {
    "smoke": Dp3Config(SIZES["smoke"], 40, 16, 1, 1e-3, 5, 1e-6, None, 0.9),
    "lite": Dp3Config(SIZES["lite"], 1500, 32, 8, 1e-3, 100, 1e-6, 1.0, 0.999),
    # as dp3, and with it 3000 epochs of 15 batches
    "paper": Dp3Config(SIZES["paper"], 45_000, 128, 1, 1e-4, 500, 1e-6, None, 0.9999),
}


class CroppedPictures(Frames):
    """Pictures ``[T, 84, 84, 3]``, cropped at random whenever they are encoded."""

    def encode(self, encoder: ImageStateEncoder, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Encode windows ``[B, To]`` of frames, with a graph: ``[B * To, D]``."""
        flat = windows.to(self._states.device).flatten()
        pictures = random_crops(self._seen[flat], self._config.sizes.vision.crop, generator)
        return encoder(pictures, self._states[flat])


class Dp(Dp3, SeesImages):
    """Diffusion Policy on images; option ``nfe`` (1 to 100)."""

    name, configs = "dp", CONFIGS
    choices: ClassVar = {"nfe": Dp3.choices["nfe"]}
    frames_type = CroppedPictures
