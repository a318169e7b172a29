"""The plain form of `unet.ConditionalUnet1d`, one PyTorch layer after the other: for tests and as baseline.

Parameters have the same names and shapes, so that each loads the other's checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nets.unet import ConditionalUnet1d, ConvNorm, ResidualBlock


class PlainUnet1d(ConditionalUnet1d):
    """The U-Net as a sequence of Conv1d, GroupNorm, Mish and Linear calls, each block with its own FiLM layer."""

    def forward(self, x: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """Predict x0; arguments as in `ConditionalUnet1d.forward`."""
        draws = len(x) // len(condition)
        embedding = self.time(timestep).expand(len(x), -1)
        g = torch.cat([embedding, condition.repeat(draws, 1)], dim=1)
        h = x.transpose(1, 2)
        skips = []
        for i, stage in enumerate(self.down):
            h = _stage(stage, h, g)
            skips.append(h)
            if i < self.n_levels - 1:
                h = self.downsample[i](h)
        h = _stage(self.mid, h, g)
        for stage, upsample in zip(self.up, self.upsample, strict=True):
            h = upsample(_stage(stage, torch.cat([h, skips.pop()], dim=1), g))
        return self.out(_conv_norm(self.head, h)).transpose(1, 2)


def _conv_norm(layer: ConvNorm, x: Tensor) -> Tensor:
    return functional.mish(layer.norm(layer.conv(x)))


def _stage(stage: nn.ModuleList, x: Tensor, g: Tensor) -> Tensor:
    for block in stage:
        x = _block(block, x, g)
    return x


def _block(block: ResidualBlock, x: Tensor, g: Tensor) -> Tensor:
    scale, shift = block.film(functional.mish(g))[:, :, None].chunk(2, dim=1)
    h = _conv_norm(block.first, x) * scale + shift
    return _conv_norm(block.second, h) + (x if block.skip is None else block.skip(x))
