"""Observation encoder of DP3: a small PointNet on the cloud and an MLP on the robot state, joined over To frames.

Source: 3D Diffusion Policy (DP3), the encoder of its released code: an MLP shared over points, a maximum over points, a
projection; widths 64-128-256-64 there.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nets.kernels import argmax_rows, compact, fusable, layer_norm_relu

_CHUNK_ROWS = 1024  # points encoded at once in the search for maxima, so that activations stay in the L2 cache


class PointEncoder(nn.Module):
    """Shared MLP (Linear, LayerNorm, ReLU), maximum over points, Linear, LayerNorm.

    The gradient of the maximum reaches one point for each channel. So on the CPU training first finds these points
    without a graph, then encodes them alone with one: the same result and gradient for a fraction of the cost.

    Args:
        widths: of the hidden layers.
        out_dim: size of the feature.
    """

    def __init__(self, widths: tuple[int, ...], out_dim: int) -> None:
        super().__init__()
        dims = (3, *widths)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.project = nn.Linear(widths[-1], out_dim)
        self.project_norm = nn.LayerNorm(out_dim)

    def forward(self, points: Tensor) -> Tensor:
        """Encode normalised clouds ``[M, N, 3]`` as ``[M, out_dim]``."""
        fused = fusable(points)
        pooled = self._pool_by_critical_points(points) if fused else self._shared_mlp(points).amax(dim=1)
        return self.project_norm(self.project(pooled))

    def _shared_mlp(self, points: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            points = functional.relu(norm(linear(points)))
        return points

    def _pool_by_critical_points(self, points: Tensor) -> Tensor:
        clouds, n_points, _ = points.shape
        rows = self.critical_rows(points)  # [M, C]
        array = rows.numpy()
        distinct = torch.from_numpy(compact(array, clouds * n_points))
        hidden = self._shared_mlp(points.reshape(-1, 3)[distinct])
        channels = hidden.shape[1]
        # no pair (row, channel) occurs twice: `take` spreads the gradient without collisions
        return hidden.take(rows * channels + torch.arange(channels))

    @torch.no_grad()
    def critical_rows(self, points: Tensor) -> Tensor:
        """The row, of all ``M * N``, where each channel of each cloud ``[M, N, 3]`` is largest: ``[M, C]`` int64."""
        clouds, n_points, _ = points.shape
        best = torch.empty(clouds, self.linears[-1].out_features, dtype=torch.int64)
        chunk = max(1, _CHUNK_ROWS // n_points)
        buffers = [torch.empty(chunk * n_points, linear.out_features) for linear in self.linears]
        weights = [linear.weight.t() for linear in self.linears]
        norms = [(norm.weight.numpy(), norm.bias.numpy()) for norm in self.norms]
        flat = points.reshape(-1, 3)
        for first in range(0, clouds, chunk):
            last = min(first + chunk, clouds)
            h = flat[first * n_points : last * n_points]
            for linear, weight, norm, buffer in zip(self.linears, weights, norms, buffers, strict=True):
                h = torch.addmm(linear.bias, h, weight, out=buffer[: len(h)])
                layer_norm_relu(h.numpy(), *norm)
            argmax_rows(h.view(last - first, n_points, -1).numpy(), first * n_points, best[first:last].numpy())
        return best


class ObservationEncoder(nn.Module):
    """Cloud and state of one frame -> a feature each, concatenated (64 + 64 in the published sizes)."""

    def __init__(self, agent_pos_dim: int, point_widths: tuple[int, ...], feature_dim: int, state_hidden: int) -> None:
        super().__init__()
        self.points = PointEncoder(point_widths, feature_dim)
        self.state = nn.Sequential(
            nn.Linear(agent_pos_dim, state_hidden), nn.ReLU(), nn.Linear(state_hidden, feature_dim)
        )
        self.out_dim = 2 * feature_dim

    def forward(self, point_cloud: Tensor, agent_pos: Tensor) -> Tensor:
        """Encode normalised frames ``[M, N, 3]`` and ``[M, P]`` as ``[M, out_dim]``."""
        return torch.cat([self.points(point_cloud), self.state(agent_pos)], dim=1)
