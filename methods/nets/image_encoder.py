"""Observation encoder of image policies: a residual network with GroupNorm, spatial softmax, and an MLP of the state.

Sources: Chi et al. 2023, Diffusion Policy (arXiv 2303.04137): ResNet-18 from scratch, GroupNorm for BatchNorm with 16
channels a group, spatial softmax for the average over the picture, random crops of 76 from 84 in training and the one
in the middle when acting. ResNet: He et al. 2016 (arXiv 1512.03385). Spatial softmax: Levine et al. 2016 (arXiv
1504.00702).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS_PER_GROUP = 16


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the picture's encoder."""

    crop: int  # pixels of the square that is seen
    stem: int  # channels of the first convolution
    stem_kernel: int
    widths: tuple[int, ...]  # channels of the stages; the second and later ones halve the picture
    n_blocks: int  # residual blocks of each stage
    keypoints: int  # of the spatial softmax


class ImageEncoder(nn.Module):
    """Picture -> feature.

    Args:
        sizes: of the network.
        out_dim: size of the feature.
    """

    def __init__(self, sizes: VisionSizes, out_dim: int) -> None:
        super().__init__()
        self.crop = sizes.crop
        kernel = sizes.stem_kernel
        self.stem = nn.Conv2d(3, sizes.stem, kernel, stride=2, padding=kernel // 2, bias=False)
        self.stem_norm = _norm(sizes.stem)
        blocks = []
        for i, (c_in, c_out) in enumerate(pairwise((sizes.stem, *sizes.widths))):
            blocks.append(_Block(c_in, c_out, stride=2 if i else 1))
            blocks += [_Block(c_out, c_out) for _ in range(sizes.n_blocks - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.keypoints = nn.Conv2d(sizes.widths[-1], sizes.keypoints, 1)
        self.project = nn.Linear(2 * sizes.keypoints, out_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Encode pictures ``[M, S, S, 3]`` uint8, S at least ``crop``, by their middles: ``[M, out_dim]``."""
        edge = (image.shape[1] - self.crop) // 2
        middle = image[:, edge : edge + self.crop, edge : edge + self.crop]
        x = (middle.float() / 127.5 - 1).permute(0, 3, 1, 2)  # channels last in memory, as the CPU likes it
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = self.blocks(functional.max_pool2d(x, 3, stride=2, padding=1))
        return self.project(spatial_softmax(self.keypoints(x)).flatten(1))


class _Block(nn.Module):
    """Two 3x3 convolutions and a way past them."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = _norm(c_out)
        self.second = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.second_norm = _norm(c_out)
        self.skip = None
        if stride > 1 or c_in != c_out:
            self.skip = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), _norm(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """``[M, C_in, H, W]`` -> ``[M, C_out, H / stride, W / stride]``."""
        h = functional.relu(self.first_norm(self.first(x)))
        h = self.second_norm(self.second(h))
        return functional.relu(h + (x if self.skip is None else self.skip(x)))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // CHANNELS_PER_GROUP), channels)


def spatial_softmax(maps: Tensor) -> Tensor:
    """The mean place of each map ``[M, K, H, W]`` under the softmax over its pixels: x, y in [-1, 1], ``[M, K, 2]``."""
    height, width = maps.shape[2:]
    weight = maps.flatten(2).softmax(dim=2)
    x = torch.linspace(-1, 1, width, device=maps.device).repeat(height)
    y = torch.linspace(-1, 1, height, device=maps.device).repeat_interleave(width)
    return weight @ torch.stack([x, y], dim=1)


def random_crops(image: Tensor, crop: int, generator: torch.Generator) -> Tensor:
    """A square of each picture ``[M, S, S, 3]`` at a place of its own: ``[M, crop, crop, 3]``."""
    count, size = image.shape[:2]
    places = torch.randint(size - crop + 1, (2, count), generator=generator, device=image.device).tolist()
    squares = zip(image, *places, strict=True)
    return torch.stack([picture[y : y + crop, x : x + crop] for picture, y, x in squares])


class ImageStateEncoder(nn.Module):
    """Picture and state of one frame -> a feature each, concatenated."""

    def __init__(self, agent_pos_dim: int, vision: VisionSizes, feature_dim: int, state_hidden: int) -> None:
        super().__init__()
        self.image = ImageEncoder(vision, feature_dim)
        self.state = nn.Sequential(
            nn.Linear(agent_pos_dim, state_hidden), nn.ReLU(), nn.Linear(state_hidden, feature_dim)
        )
        self.out_dim = 2 * feature_dim

    def forward(self, image: Tensor, agent_pos: Tensor) -> Tensor:
        """Encode frames, ``[M, S, S, 3]`` uint8 and normalised ``[M, P]``, as ``[M, out_dim]``."""
        return torch.cat([self.image(image), self.state(agent_pos)], dim=1)
