"""Per-channel affine maps to [-1, 1] from the range of the demonstrations (as in the released code of DP3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_CONSTANT = 1e-4  # a channel whose range is below this is constant


class Affine(nn.Module):
    """x -> x * scale + offset over the last axis; a constant channel is mapped to 0."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("offset", torch.zeros(dim))

    def fit(self, data: Tensor) -> None:
        """Take scale and offset from data ``[..., dim]``."""
        flat = data.reshape(-1, data.shape[-1])
        low, high = flat.amin(0), flat.amax(0)
        constant = high - low < _CONSTANT
        scale = torch.where(constant, 1.0, 2 / torch.where(constant, 1.0, high - low))
        self.scale.copy_(scale)
        self.offset.copy_(torch.where(constant, -low, -1 - scale * low))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return torch.addcmul(self.offset, x, self.scale)

    def inverse(self, x: Tensor) -> Tensor:
        """Undo `forward`."""
        return (x - self.offset) / self.scale


class Normalizer(nn.Module):
    """The maps of clouds, states and actions."""

    def __init__(self, agent_pos_dim: int, action_dim: int) -> None:
        super().__init__()
        self.point_cloud = Affine(3)
        self.agent_pos = Affine(agent_pos_dim)
        self.action = Affine(action_dim)

    def fit(self, point_cloud: Tensor, agent_pos: Tensor, action: Tensor) -> None:
        """Fit all maps to demonstrations."""
        self.point_cloud.fit(point_cloud)
        self.agent_pos.fit(agent_pos)
        self.action.fit(action)
