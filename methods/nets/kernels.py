"""Fused CPU kernels: GroupNorm + Mish + FiLM with its gradient, and LayerNorm + ReLU (+ max over points).

Activations of the U-Net are ``[B, C * L]``, a flattened ``[B, C, L]``, so that the ``C / groups * L`` numbers of a
group are contiguous. The kernels are compiled by Numba on first use and cached on disk. They serve training in float32
on the CPU; elsewhere, and in inference mode, the same maths runs as plain torch operations.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_EPS = 1e-5  # of torch.nn.GroupNorm and torch.nn.LayerNorm
_JIT = {"cache": True, "fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True}


def supported(x: Tensor) -> bool:
    """Whether the kernels of this module take ``x``: float32 on the CPU, not being traced for a compiler."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()


def fusable(x: Tensor) -> bool:
    """Whether `norm_mish_film` runs in its fused form: in training."""
    return supported(x) and not torch.is_inference_mode_enabled()


def norm_mish_film(x: Tensor, weight: Tensor, bias: Tensor, film: Tensor | None, groups: int) -> Tensor:
    """FiLM(Mish(GroupNorm(x))) of activations ``[B, C * L]``.

    Args:
        x: ``[B, C * L]``.
        weight: scale of the normalisation ``[C]``.
        bias: shift of the normalisation ``[C]``.
        film: ``[B, 2 * C]``, scale then shift, or None for no modulation.
        groups: number of groups G; C is a multiple of it.
    """
    if fusable(x):
        fused: Tensor = _NormMishFilm.apply(x, weight, bias, film, groups)  # type: ignore[no-untyped-call]
        return fused
    channels = weight.shape[0]
    h = functional.mish(functional.group_norm(x.view(len(x), channels, -1), groups, weight, bias, _EPS))
    if film is not None:
        h = torch.addcmul(film[:, channels:, None], h, film[:, :channels, None])
    return h.flatten(1)


class _NormMishFilm(torch.autograd.Function):
    """The fused form of `norm_mish_film`."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, film: Tensor | None, groups: int
    ) -> Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        _forward(
            x.detach().numpy(),
            weight.detach().numpy(),
            bias.detach().numpy(),
            _array(film),
            film is not None,
            groups,
            out.numpy(),
        )
        ctx.save_for_backward(x, weight, bias, film)
        ctx.groups = groups
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, bias, film = ctx.saved_tensors
        grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
        grad_film = None if film is None else torch.empty(film.shape)
        _backward(
            grad.contiguous().numpy(),
            x.detach().numpy(),
            weight.detach().numpy(),
            bias.detach().numpy(),
            _array(film),
            film is not None,
            ctx.groups,
            grad_x.numpy(),
            grad_weight.numpy(),
            grad_bias.numpy(),
            _array(grad_film),
        )
        return grad_x, grad_weight, grad_bias, grad_film, None


def _array(film: Tensor | None) -> np.ndarray:
    return np.empty((0, 0), np.float32) if film is None else film.detach().numpy()


@numba.njit(**_JIT)
def _exp(values: np.ndarray, bits: np.ndarray, powers: np.ndarray, out: np.ndarray) -> None:
    """exp of ``values``, clamped to +-30, to float32 accuracy; written so that the compiler can vectorise it.

    exp(v) = 2^n exp(r), |r| <= ln(2)/2; 2^n is put together from its exponent bits (``powers`` is a view of ``bits``).
    """
    one = np.float32(1.0)
    for i in range(values.shape[0]):
        scaled = min(max(values[i], np.float32(-30.0)), np.float32(30.0)) * np.float32(1.4426950408889634)
        n = np.int32(scaled + np.float32(128.5)) - np.int32(128)
        r = (scaled - np.float32(n)) * np.float32(0.6931471805599453)
        series = np.float32(1.0 / 120.0) + r * (np.float32(1.0 / 720.0) + r * np.float32(1.0 / 5040.0))
        series = np.float32(0.5) + r * (np.float32(1.0 / 6.0) + r * (np.float32(1.0 / 24.0) + r * series))
        out[i] = one + r * (one + r * series)
        bits[i] = (n + np.int32(127)) << np.int32(23)
    for i in range(values.shape[0]):
        out[i] *= powers[i]


@numba.njit(**_JIT)
def _normalise(row: np.ndarray, groups: int, hat: np.ndarray, inverse_std: np.ndarray) -> None:
    """Zero mean and unit variance in each of the contiguous groups of ``row``."""
    size = row.shape[0] // groups
    scale = np.float32(1.0) / np.float32(size)
    for g in range(groups):
        start = g * size
        total = np.float32(0.0)
        for i in range(start, start + size):
            total += row[i]
        mean = total * scale
        square = np.float32(0.0)
        for i in range(start, start + size):
            square += (row[i] - mean) * (row[i] - mean)
        inverse = np.float32(1.0) / np.sqrt(square * scale + np.float32(_EPS))
        inverse_std[g] = inverse
        for i in range(start, start + size):
            hat[i] = (row[i] - mean) * inverse


@numba.njit(**_JIT)
def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    film: np.ndarray,
    modulate: bool,
    groups: int,
    out: np.ndarray,
) -> None:
    rows, width = x.shape
    channels = weight.shape[0]
    length = width // channels
    two = np.float32(2.0)
    gamma, beta = np.repeat(weight, length), np.repeat(bias, length)
    hat = np.empty(width, np.float32)
    e = np.empty(width, np.float32)
    scale = np.empty(width, np.float32)
    shift = np.empty(width, np.float32)
    bits = np.empty(width, np.int32)
    powers = bits.view(np.float32)
    inverse_std = np.empty(groups, np.float32)
    for b in range(rows):
        _normalise(x[b], groups, hat, inverse_std)
        for i in range(width):
            hat[i] = hat[i] * gamma[i] + beta[i]
        _exp(hat, bits, powers, e)
        o = out[b]
        for i in range(width):
            n = e[i] * (e[i] + two)  # mish(y) = y n / (n + 2), n = e^y (e^y + 2)
            o[i] = hat[i] * n / (n + two)
        if modulate:
            for c in range(channels):
                for j in range(c * length, (c + 1) * length):
                    scale[j] = film[b, c]
                    shift[j] = film[b, channels + c]
            for i in range(width):
                o[i] = o[i] * scale[i] + shift[i]


@numba.njit(**_JIT)
def _backward(
    grad: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    film: np.ndarray,
    modulate: bool,
    groups: int,
    grad_x: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray,
    grad_film: np.ndarray,
) -> None:
    rows, width = x.shape
    channels = weight.shape[0]
    length = width // channels
    size = width // groups
    one, two, four = np.float32(1.0), np.float32(2.0), np.float32(4.0)
    per_size = one / np.float32(size)
    gamma, beta = np.repeat(weight, length), np.repeat(bias, length)
    hat = np.empty(width, np.float32)
    y = np.empty(width, np.float32)
    e = np.empty(width, np.float32)
    d = np.empty(width, np.float32)
    sum_gamma = np.zeros(width, np.float32)
    sum_beta = np.zeros(width, np.float32)
    bits = np.empty(width, np.int32)
    powers = bits.view(np.float32)
    inverse_std = np.empty(groups, np.float32)
    for b in range(rows):
        _normalise(x[b], groups, hat, inverse_std)
        for i in range(width):
            y[i] = hat[i] * gamma[i] + beta[i]
        _exp(y, bits, powers, e)
        upstream = grad[b]
        for i in range(width):
            n = e[i] * (e[i] + two)
            q = one / (n + two)
            ratio = n * q
            d[i] = ratio + y[i] * four * e[i] * (e[i] + one) * q * q  # derivative of Mish
            y[i] *= ratio  # Mish
        if modulate:
            for c in range(channels):
                scale = film[b, c]
                by_scale, by_shift = np.float32(0.0), np.float32(0.0)
                for j in range(c * length, (c + 1) * length):
                    by_scale += upstream[j] * y[j]
                    by_shift += upstream[j]
                    d[j] *= scale
                grad_film[b, c] = by_scale
                grad_film[b, channels + c] = by_shift
        for i in range(width):
            d[i] *= upstream[i]
            sum_gamma[i] += d[i] * hat[i]
            sum_beta[i] += d[i]
            d[i] *= gamma[i]
        out = grad_x[b]
        for g in range(groups):
            start = g * size
            total, product = np.float32(0.0), np.float32(0.0)
            for i in range(start, start + size):
                total += d[i]
                product += d[i] * hat[i]
            total *= per_size
            product *= per_size
            for i in range(start, start + size):
                out[i] = inverse_std[g] * (d[i] - total - hat[i] * product)
    for c in range(channels):
        for j in range(c * length, (c + 1) * length):
            grad_weight[c] += sum_gamma[j]
            grad_bias[c] += sum_beta[j]


@numba.njit(inline="always", **_JIT)
def _moments(row: np.ndarray) -> tuple[float, float]:
    """Mean and inverse standard deviation of a row ``[C]``."""
    width = row.shape[0]
    scale = np.float32(1.0) / np.float32(width)
    total = np.float32(0.0)
    for i in range(width):
        total += row[i]
    mean = total * scale
    square = np.float32(0.0)
    for i in range(width):
        square += (row[i] - mean) * (row[i] - mean)
    return mean, np.float32(1.0) / np.sqrt(square * scale + np.float32(_EPS))


@numba.njit(**_JIT)
def layer_norm_relu(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """ReLU(LayerNorm(x)) of rows ``[M, C]``, in place."""
    rows, width = x.shape
    for r in range(rows):
        row = x[r]
        mean, inverse = _moments(row)
        for i in range(width):
            row[i] = max((row[i] - mean) * inverse * weight[i] + bias[i], np.float32(0.0))


@numba.njit(**_JIT)
def layer_norm_max(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, largest: np.ndarray) -> None:
    """Raise ``largest`` ``[C]`` to the maximum of LayerNorm(x) over rows ``[M, C]`` where that is larger."""
    rows, width = x.shape
    for r in range(rows):
        row = x[r]
        mean, inverse = _moments(row)
        for i in range(width):
            largest[i] = max((row[i] - mean) * inverse * weight[i] + bias[i], largest[i])


@numba.njit(**_JIT)
def put_octaves(points: np.ndarray, sine: np.ndarray, cosine: np.ndarray, out: np.ndarray) -> None:
    """Write points, then sines, then cosines of all octaves into rows of ``out`` ``[M, 3 + 6 K]``.

    ``sine`` and ``cosine`` ``[M, 3]`` are those of the first octave; every further one follows by doubling the angle.
    """
    span = (out.shape[1] - 3) // 2
    for r in range(len(points)):
        for i in range(3):
            s, c = sine[r, i], cosine[r, i]
            out[r, i] = points[r, i]
            for k in range(3 + i, 3 + span, 3):
                out[r, k], out[r, k + span] = s, c
                s, c = np.float32(2.0) * s * c, np.float32(1.0) - np.float32(2.0) * s * s


@numba.njit(**_JIT)
def gather_candidates(
    frames: np.ndarray, winners: np.ndarray, extra: np.ndarray, n_points: int, rows: np.ndarray, ends: np.ndarray
) -> int:
    """List the distinct points that a frame's maxima are looked for among: its last winners and some ``extra`` ones.

    Args:
        frames: ``[M]``, rows of ``winners``.
        winners: ``[T, C]``, point indices in 0..N-1.
        extra: ``[M, R]``, point indices.
        n_points: N.
        rows: ``[M * (C + R)]``, filled with frame * N + point.
        ends: ``[M]``, filled with the end of each frame's part of ``rows``.

    Returns:
        How many rows were filled.
    """
    seen = np.full(n_points, -1, np.int64)
    n = 0
    for m in range(frames.shape[0]):
        frame = frames[m]
        for source in (winners[frame], extra[m]):
            for i in range(source.shape[0]):
                point = source[i]
                if seen[point] != m:
                    seen[point] = m
                    rows[n] = frame * n_points + point
                    n += 1
        ends[m] = n
    return n


@numba.njit(**_JIT)
def segment_argmax(hidden: np.ndarray, ends: np.ndarray, best: np.ndarray) -> None:
    """The row of each segment where each channel is largest: ``hidden`` [S, C], ``ends`` [M] -> ``best`` [M, C]."""
    width = hidden.shape[1]
    top = np.empty(width, np.float32)
    arg = np.empty(width, np.int32)
    start = 0
    for m in range(ends.shape[0]):
        top[:] = hidden[start]
        arg[:] = start
        for r in range(start + 1, ends[m]):
            row = hidden[r]
            for i in range(width):
                larger = row[i] > top[i]
                arg[i] = np.int32(r) if larger else arg[i]
                top[i] = row[i] if larger else top[i]
        best[m] = arg
        start = ends[m]


@numba.njit(**_JIT)
def compact(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Renumber ``rows`` [M, C] in place to positions in the list of distinct rows, which is returned (sorted)."""
    seen = np.zeros(n_rows, np.int64)
    flat = rows.reshape(-1)
    for i in range(flat.shape[0]):
        seen[flat[i]] = 1
    distinct = np.empty(int(seen.sum()), np.int64)
    n = 0
    for r in range(n_rows):
        if seen[r]:
            distinct[n] = r
            seen[r] = n
            n += 1
    for i in range(flat.shape[0]):
        flat[i] = seen[flat[i]]
    return distinct
