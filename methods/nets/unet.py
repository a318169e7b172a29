"""The conditional 1-D U-Net of Diffusion Policy and DP3, written for chunks of 4 steps.

Same function and same parameters as a network of Conv1d, ConvTranspose1d, GroupNorm and Linear layers (3D Diffusion
Policy, the network of its released code; `reference.py` has the plain form), computed in another way:

* A convolution over L <= 8 positions is one matrix product: activations are flattened to ``[B, C * L]`` and the kernel
  is laid out as the ``[C_out * L_out, C_in * L_in]`` matrix that it stands for. Taps that never meet data cost nothing.
* The FiLM layers of all blocks are one matrix product, split into a part of the time embedding and a part of the
  observation: K noise draws of the same observation share the latter.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nets.kernels import norm_mish_film

GROUPS = 8
_MAX_DENSE = 8  # positions up to which a convolution is laid out as a matrix


class ConvNorm(nn.Module):
    """Parameters of Conv1d (kernel 5) -> GroupNorm(8) -> Mish."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(c_in, c_out, 5, padding=2)
        self.norm = nn.GroupNorm(GROUPS, c_out)


class ResidualBlock(nn.Module):
    """Parameters of a residual block: ConvNorm, FiLM (scale, shift), ConvNorm; a 1x1 convolution if widths differ."""

    def __init__(self, c_in: int, c_out: int, cond_dim: int) -> None:
        super().__init__()
        self.first = ConvNorm(c_in, c_out)
        self.second = ConvNorm(c_out, c_out)
        self.film = nn.Linear(cond_dim, 2 * c_out)
        self.skip = nn.Conv1d(c_in, c_out, 1) if c_in != c_out else None


class TimeEmbedding(nn.Module):
    """Sinusoids of the diffusion timestep -> Linear -> Mish -> Linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, 4 * dim)
        self.project = nn.Linear(4 * dim, dim)
        frequencies = torch.exp(-math.log(1e4) * torch.arange(dim // 2) / (dim // 2 - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, timestep: Tensor) -> Tensor:
        """Embed timesteps ``[B]`` as ``[B, dim]``."""
        angle = timestep[:, None] * self.frequencies
        return self.project(functional.mish(self.expand(torch.cat([angle.sin(), angle.cos()], dim=1))))


class _Affine(NamedTuple):
    """A convolution laid out as a matrix, or (``matrix`` None) left as the layer it is."""

    layer: nn.Conv1d | nn.ConvTranspose1d
    matrix: Tensor | None  # [C_out * L_out, C_in * L_in]
    bias: Tensor | None  # [C_out * L_out]

    def __call__(self, x: Tensor) -> Tensor:
        if self.matrix is not None:
            return functional.linear(x, self.matrix, self.bias)
        return self.layer(x.view(len(x), self.layer.in_channels, -1)).flatten(1)


class _Film(NamedTuple):
    """All FiLM layers as one."""

    time: Tensor  # [F, temb]
    observation: Tensor  # [F, C]
    bias: Tensor  # [F]


class ConditionalUnet1d(nn.Module):
    """Predicts the clean action chunk x0 from a noisy one, the timestep and the observation.

    Args:
        action_dim: A.
        cond_dim: size C of the observation condition.
        horizon: H, a multiple of 2 to the number of down-samplings.
        down_dims: channels of the levels; the length is halved after each level but the last.
        n_blocks: residual blocks of each level and of the middle.
        time_dim: size of the time embedding.
    """

    def __init__(
        self,
        action_dim: int,
        cond_dim: int,
        horizon: int,
        down_dims: tuple[int, ...],
        n_blocks: int = 2,
        time_dim: int = 128,
    ) -> None:
        super().__init__()
        self.action_dim, self.horizon, self.n_levels = action_dim, horizon, len(down_dims)
        width = time_dim + cond_dim

        def level(c_in: int, c_out: int) -> nn.ModuleList:
            return nn.ModuleList(ResidualBlock(c_in if i == 0 else c_out, c_out, width) for i in range(n_blocks))

        dims = (action_dim, *down_dims)
        self.time = TimeEmbedding(time_dim)
        self.down = nn.ModuleList(level(a, b) for a, b in pairwise(dims))
        self.downsample = nn.ModuleList(nn.Conv1d(c, c, 3, stride=2, padding=1) for c in down_dims[:-1])
        self.mid = level(down_dims[-1], down_dims[-1])
        reverse = down_dims[::-1]
        self.up = nn.ModuleList(level(2 * a, b) for a, b in pairwise(reverse))
        self.upsample = nn.ModuleList(nn.ConvTranspose1d(c, c, 4, stride=2, padding=1) for c in reverse[1:])
        self.head = ConvNorm(down_dims[0], down_dims[0])
        self.out = nn.Conv1d(down_dims[0], action_dim, 1)
        self._plan = self._make_plan()
        self._tables: dict[tuple[int, ...], Tensor] = {}
        self._frozen: tuple[list[_Affine], _Film] | None = None

    @property
    def blocks(self) -> list[ResidualBlock]:
        """The residual blocks in the order of execution."""
        return [block for stage in (*self.down, self.mid, *self.up) for block in stage]

    def forward(self, x: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """Predict x0.

        Args:
            x: noisy chunks ``[K * B, H, A]``, all B observations for the first noise draw first.
            timestep: ``[K * B]``, or ``[1]`` for all.
            condition: ``[B, C]``.

        Returns:
            ``[K * B, H, A]``.
        """
        affine, film_layer = self._frozen or self._layout()
        draws = len(x) // len(condition)
        by_observation = functional.linear(functional.mish(condition), film_layer.observation, film_layer.bias)
        by_time = functional.linear(functional.mish(self.time(timestep)), film_layer.time)
        by_time = by_time.expand(len(x), -1).view(draws, len(condition), -1)
        film = (by_observation + by_time).flatten(0, 1)
        films = iter(film.split([block.film.out_features for block in self.blocks], dim=1))
        layers = iter(affine)

        def run(stage: nn.ModuleList, h: Tensor) -> Tensor:
            for block in stage:
                first, second = block.first.norm, block.second.norm
                y = norm_mish_film(next(layers)(h), first.weight, first.bias, next(films), GROUPS)
                y = norm_mish_film(next(layers)(y), second.weight, second.bias, None, GROUPS)
                h = y + (h if block.skip is None else next(layers)(h))
            return h

        h = x.transpose(1, 2).flatten(1)
        skips = []
        for i, stage in enumerate(self.down):
            h = run(stage, h)
            skips.append(h)
            if i < self.n_levels - 1:
                h = next(layers)(h)
        h = run(self.mid, h)
        for stage in self.up:
            h = run(stage, torch.cat([h, skips.pop()], dim=1))
            h = next(layers)(h)
        h = norm_mish_film(next(layers)(h), self.head.norm.weight, self.head.norm.bias, None, GROUPS)
        return next(layers)(h).view(len(h), self.action_dim, self.horizon).transpose(1, 2)

    def freeze(self) -> None:
        """Lay the weights out once for repeated calls without gradients; `thaw` before they change."""
        with torch.no_grad():
            self._frozen = self._layout()

    def thaw(self) -> None:
        """Forget what `freeze` laid out."""
        self._frozen = None

    def _layout(self) -> tuple[list[_Affine], _Film]:
        films = [block.film for block in self.blocks]
        time_dim = self.time.project.out_features
        weight = torch.cat([f.weight for f in films])
        film = _Film(weight[:, :time_dim], weight[:, time_dim:], torch.cat([f.bias for f in films]))
        return [self._affine(layer, length) for layer, length in self._plan], film

    def _make_plan(self) -> list[tuple[nn.Conv1d | nn.ConvTranspose1d, int]]:
        """All convolutions in the order of execution, with the number of positions of their input."""
        plan: list[tuple[nn.Conv1d | nn.ConvTranspose1d, int]] = []
        length = self.horizon

        def visit(stage: nn.ModuleList) -> None:
            for block in stage:
                layers = [block.first.conv, block.second.conv] + ([block.skip] if block.skip is not None else [])
                plan.extend((layer, length) for layer in layers)

        for i, stage in enumerate(self.down):
            visit(stage)
            if i < self.n_levels - 1:
                plan.append((self.downsample[i], length))
                length //= 2
        visit(self.mid)
        for stage, upsample in zip(self.up, self.upsample, strict=True):
            visit(stage)
            plan.append((upsample, length))
            length *= 2
        return [*plan, (self.head.conv, length), (self.out, length)]

    def _affine(self, layer: nn.Conv1d | nn.ConvTranspose1d, length: int) -> _Affine:
        if length > _MAX_DENSE:
            return _Affine(layer, None, None)
        taps = self._taps(layer, length)  # [k, L_out * L_in]
        out_length = taps.shape[1] // length
        a, b, _ = layer.weight.shape  # out, in; of a transposed convolution in, out
        blocks = (layer.weight.flatten(0, 1) @ taps).view(a, b, out_length, length)
        order = (1, 2, 0, 3) if isinstance(layer, nn.ConvTranspose1d) else (0, 2, 1, 3)
        matrix = blocks.permute(order).reshape(layer.out_channels * out_length, layer.in_channels * length)
        return _Affine(layer, matrix, layer.bias[:, None].expand(-1, out_length).reshape(-1))

    def _taps(self, layer: nn.Conv1d | nn.ConvTranspose1d, length: int) -> Tensor:
        """One-hot map ``[k, L_out * L_in]``: which tap of the kernel joins an output position to an input position."""
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        transposed = isinstance(layer, nn.ConvTranspose1d)
        key = (kernel, stride, padding, transposed, length)
        like = layer.weight
        table = self._tables.get(key)
        if table is None or table.device != like.device or table.dtype != like.dtype:
            out_length = length * stride if transposed else length // stride
            i, j = torch.arange(length), torch.arange(out_length)[:, None]
            tap = j - stride * i + padding if transposed else i - stride * j + padding
            table = (tap.reshape(1, -1) == torch.arange(kernel)[:, None]).to(like)
            self._tables[key] = table
        return table
