"""Observation encoder of DP3: a small PointNet on the cloud and an MLP on the robot state, joined over To frames.

Source: 3D Diffusion Policy (DP3), the encoder of its released code: an MLP shared over points, a maximum over points, a
projection; widths 64-128-256-64 there.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nets.kernels import compact, gather_candidates, layer_norm_relu, segment_argmax

_CHUNK_ROWS = 1024  # points encoded at once in the search for maxima, so that activations stay in the L2 cache


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

    def forward(self, points: Tensor) -> Tensor:
        """Encode normalised clouds ``[M, N, 3]`` as ``[M, out_dim]``."""
        if not (points.device.type == "cpu" and points.dtype == torch.float32):
            pooled = self._shared_mlp(self._embed(points)).amax(dim=1)
        elif torch.is_grad_enabled():
            clouds, n_points, _ = points.shape
            pooled, _ = self._pool_critical(points.reshape(-1, 3), n_points * torch.arange(1, clouds + 1))
        else:
            pooled = self._hidden(self._embed(points.reshape(-1, 3))).view(*points.shape[:2], -1).amax(dim=1)
        return self.project_norm(self.project(pooled))

    def _embed(self, points: Tensor) -> Tensor:
        """Coordinates ``[..., 3]`` and their sinusoids: ``[..., E]``."""
        if not self.octaves:
            return points
        scales = math.pi * 2.0 ** torch.arange(self.octaves, device=points.device, dtype=points.dtype)
        angles = (points[..., None, :] * scales[:, None]).flatten(-2)
        return torch.cat([points, angles.sin(), angles.cos()], dim=-1)

    def _shared_mlp(self, points: Tensor) -> Tensor:
        """All layers before the maximum, of embedded points."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            points = functional.relu(norm(linear(points)))
        return points

    @torch.no_grad()
    def _hidden(self, rows: Tensor) -> Tensor:
        """`_shared_mlp` of embedded points ``[S, E]`` without a graph, few at a time to stay in the cache."""
        out = torch.empty(len(rows), self.linears[-1].out_features)
        weights = [linear.weight.t() for linear in self.linears]
        norms = [(norm.weight.detach().numpy(), norm.bias.detach().numpy()) for norm in self.norms]
        buffers = [torch.empty(min(_CHUNK_ROWS, len(rows)), linear.out_features) for linear in self.linears[:-1]]
        for first in range(0, len(rows), _CHUNK_ROWS):
            h = rows[first : first + _CHUNK_ROWS]
            targets = [buffer[: len(h)] for buffer in buffers] + [out[first : first + len(h)]]
            for linear, weight, norm, target in zip(self.linears, weights, norms, targets, strict=True):
                h = torch.addmm(linear.bias, h, weight, out=target)
                layer_norm_relu(h.numpy(), *norm)
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
