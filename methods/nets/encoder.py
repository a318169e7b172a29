"""Observation encoder of DP3: a small PointNet on the cloud and an MLP on the robot state, joined over To frames.

Source: 3D Diffusion Policy (DP3), the encoder of its released code: an MLP shared over points, a maximum over points, a
projection; widths 64-128-256-64 there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nets.kernels import (
    compact,
    gather_candidates,
    layer_norm_max,
    layer_norm_relu,
    put_octaves,
    segment_argmax,
    supported,
)

_CHUNK_ROWS = 512  # points encoded at once without a graph, so that activations stay in the L2 cache


class _Layer(NamedTuple):
    """Weights of Linear and LayerNorm as the kernels take them: views, so that they follow the parameters."""

    weight: Tensor  # [C_in, C_out]
    bias: Tensor  # [C_out]
    norm: tuple[np.ndarray, np.ndarray]  # scale and shift [C_out]


class PointEncoder(nn.Module):
    """Shared MLP (Linear, LayerNorm, ReLU), maximum over points, Linear, LayerNorm.

    The gradient of the maximum reaches one point for each channel. So on the CPU training first finds these points
    without a graph, then encodes them alone with one: the same result and gradient for a fraction of the cost.

    Args:
        widths: of the hidden layers.
        out_dim: size of the feature.
        octaves: sines and cosines of pi 2^k x, k = 0..octaves - 1, are put beside the coordinates: LayerNorm keeps the
            features of a fresh MLP smooth over the whole workspace, so that small objects never give a maximum.
    """

    def __init__(self, widths: tuple[int, ...], out_dim: int, octaves: int = 0) -> None:
        super().__init__()
        self.octaves = octaves
        dims = (3 * (1 + 2 * octaves), *widths)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.project = nn.Linear(widths[-1], out_dim)
        self.project_norm = nn.LayerNorm(out_dim)
        self._frozen: tuple[list[_Layer], list[Tensor]] | None = None

    def forward(self, points: Tensor) -> Tensor:
        """Encode normalised clouds ``[M, N, 3]`` as ``[M, out_dim]``."""
        if not supported(points):
            pooled = self._shared_mlp(self._embed(points)).amax(dim=1)
        elif torch.is_grad_enabled():
            clouds, n_points, _ = points.shape
            pooled, _ = self._pool_critical(points.reshape(-1, 3), n_points * torch.arange(1, clouds + 1))
        else:
            pooled = self._pool(self._embed(points))
        return self.project_norm(self.project(pooled))

    def _embed(self, points: Tensor) -> Tensor:
        """Coordinates ``[..., 3]`` and their sinusoids: ``[..., E]``."""
        if not self.octaves:
            return points
        if supported(points):
            angle = math.pi * points
            embedded = points.new_empty(*points.shape[:-1], self.linears[0].in_features)
            put_octaves(*(x.flatten(0, -2).numpy() for x in (points, angle.sin(), angle.cos(), embedded)))
            return embedded
        scales = math.pi * 2.0 ** torch.arange(self.octaves, device=points.device, dtype=points.dtype)
        angles = (points[..., None, :] * scales[:, None]).flatten(-2)
        return torch.cat([points, angles.sin(), angles.cos()], dim=-1)

    def _shared_mlp(self, points: Tensor) -> Tensor:
        """All layers before the maximum, of embedded points."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            points = functional.relu(norm(linear(points)))
        return points

    def freeze(self) -> None:
        """Prepare weights and buffers once for repeated calls without gradients; `thaw` before a copy is made."""
        if supported(self.project.weight):
            self._frozen = self._layers(), self._scratch()

    def thaw(self) -> None:
        """Forget what `freeze` prepared."""
        self._frozen = None

    def _layers(self) -> list[_Layer]:
        return [
            _Layer(
                linear.weight.detach().t(), linear.bias.detach(), tuple(p.detach().numpy() for p in norm.parameters())
            )
            for linear, norm in zip(self.linears, self.norms, strict=True)
        ]

    def _scratch(self) -> list[Tensor]:
        return [torch.empty(_CHUNK_ROWS, linear.out_features) for linear in self.linears]

    @torch.no_grad()
    def _pool(self, clouds: Tensor) -> Tensor:
        """Maxima ``[M, C]`` of `_shared_mlp` over embedded points ``[M, N, E]``, without a graph."""
        layers, buffers = self._frozen or (self._layers(), self._scratch())
        pooled = torch.zeros(len(clouds), self.linears[-1].out_features)  # the least that ReLU gives
        for cloud, largest in zip(clouds, pooled.numpy(), strict=True):
            for rows in cloud.split(_CHUNK_ROWS):
                layer_norm_max(_before_last_norm(rows, layers, buffers).numpy(), *layers[-1].norm, largest)
        return pooled

    @torch.no_grad()
    def _hidden(self, rows: Tensor) -> Tensor:
        """`_shared_mlp` of embedded points ``[S, E]`` without a graph."""
        layers, buffers = self._layers(), self._scratch()
        out = torch.empty(len(rows), self.linears[-1].out_features)
        for part, target in zip(rows.split(_CHUNK_ROWS), out.split(_CHUNK_ROWS), strict=True):
            layer_norm_relu(_before_last_norm(part, layers, [*buffers[:-1], target]).numpy(), *layers[-1].norm)
        return out

    def _pool_critical(self, points: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Maxima ``[M, C]`` over segments of points ``[S, 3]``, and the rows that they come from ``[M, C]``."""
        points = self._embed(points)
        best = torch.empty(len(ends), self.linears[-1].out_features, dtype=torch.int64)
        segment_argmax(self._hidden(points).numpy(), ends.numpy(), best.numpy())
        positions = best.clone()
        distinct = torch.from_numpy(compact(positions.numpy(), len(points)))
        hidden = self._shared_mlp(points[distinct])
        channels = hidden.shape[1]
        # no pair (row, channel) occurs twice: `take` spreads the gradient without collisions
        return hidden.take(positions * channels + torch.arange(channels)), best

    def encode_frames(self, clouds: Tensor, frames: Tensor, winners: Tensor, extra: Tensor) -> Tensor:
        """Encode frames ``[M]`` of clouds ``[T, N, 3]``, looking for maxima among few points only.

        These are the ``winners`` of the frame's last visit, ``[T, C]`` int64, which are brought up to date, and the
        points ``extra`` ``[M, R]``: drawn at random, they find in a few visits what has become larger meanwhile.
        """
        n_points = clouds.shape[1]
        rows = torch.empty(len(frames) * (winners.shape[1] + extra.shape[1]), dtype=torch.int64)
        ends = torch.empty(len(frames), dtype=torch.int64)
        arrays = (t.numpy() for t in (frames, winners, extra))
        rows = rows[: gather_candidates(*arrays, n_points, rows.numpy(), ends.numpy())]
        pooled, best = self._pool_critical(clouds.view(-1, 3)[rows], ends)
        winners[frames] = rows[best] % n_points
        return self.project_norm(self.project(pooled))


def _before_last_norm(rows: Tensor, layers: Sequence[_Layer], buffers: Sequence[Tensor]) -> Tensor:
    """The shared MLP up to its last LayerNorm, of at most `_CHUNK_ROWS` rows; the result lies in the last buffer."""
    for i, (layer, buffer) in enumerate(zip(layers, buffers, strict=True)):
        if i:
            layer_norm_relu(rows.numpy(), *layers[i - 1].norm)
        rows = torch.addmm(layer.bias, rows, layer.weight, out=buffer[: len(rows)])
    return rows


class ObservationEncoder(nn.Module):
    """Cloud and state of one frame -> a feature each, concatenated (64 + 64 in the published sizes)."""

    def __init__(
        self, agent_pos_dim: int, point_widths: tuple[int, ...], feature_dim: int, state_hidden: int, octaves: int = 0
    ) -> None:
        super().__init__()
        self.points = PointEncoder(point_widths, feature_dim, octaves)
        self.state = nn.Sequential(
            nn.Linear(agent_pos_dim, state_hidden), nn.ReLU(), nn.Linear(state_hidden, feature_dim)
        )
        self.out_dim = 2 * feature_dim

    def forward(self, point_cloud: Tensor, agent_pos: Tensor) -> Tensor:
        """Encode normalised frames ``[M, N, 3]`` and ``[M, P]`` as ``[M, out_dim]``."""
        return torch.cat([self.points(point_cloud), self.state(agent_pos)], dim=1)
