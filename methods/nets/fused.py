"""The U-Net, or a whole sampler with it, as one call of compiled code, on the CPU: variants ``+fused``.

At batch 1 the U-Net of ``lite`` is a million products in some seven hundred operations of PyTorch, and calling these
takes several times as long as the arithmetic. Here it is a program: a table of steps on slices of one memory, all run
by one function that Numba compiles. Same functions as `ConditionalUnet1d.forward` and the samplers, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn

from methods.nets.kernels import _JIT, _exp, _normalise
from methods.nets.normalizer import Affine
from methods.nets.unet import _MAX_DENSE, GROUPS, ConditionalUnet1d

_LINEAR, _SINUSOIDS, _MISH, _NORM, _ADD, _COPY = range(6)
_NONE = -1


class _Slot(NamedTuple):
    """A vector in the memory of a program."""

    start: int
    size: int


class _Program:
    """Records steps ``(kind, source, size, target, size, a, b, c, d)``; a to d are positions and sizes by kind."""

    def __init__(self) -> None:
        self.memory = 0
        self._steps: list[tuple[int, ...]] = []
        self._constants: list[np.ndarray] = []
        self._n_constants = 0

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps ``[S, 9]`` and constants."""
        return np.array(self._steps), np.concatenate(self._constants)

    def slot(self, size: int) -> _Slot:
        self.memory += size
        return _Slot(self.memory - size, size)

    def linear(self, x: _Slot, matrix: Tensor, bias: Tensor | None) -> _Slot:
        places = (self._keep(matrix), _NONE if bias is None else self._keep(bias))
        return self._step(_LINEAR, x, self.slot(len(matrix)), *places)

    def sinusoids(self, timestep: _Slot, frequencies: Tensor) -> _Slot:
        return self._step(_SINUSOIDS, timestep, self.slot(2 * len(frequencies)), self._keep(frequencies))

    def mish(self, x: _Slot) -> _Slot:
        return self._step(_MISH, x, self.slot(x.size))

    def norm_mish_film(self, x: _Slot, norm: nn.GroupNorm, film: int) -> _Slot:
        """``film``: where in the memory the scales of the channels begin, with the shifts after them."""
        length = x.size // norm.num_channels
        affine = (self._keep(part.repeat_interleave(length)) for part in (norm.weight, norm.bias))
        return self._step(_NORM, x, self.slot(x.size), *affine, film, norm.num_channels)

    def add(self, x: _Slot, y: _Slot) -> _Slot:
        return self._step(_ADD, x, self.slot(x.size), y.start)

    def join(self, x: _Slot, y: _Slot) -> _Slot:
        both = self.slot(x.size + y.size)
        self._step(_COPY, x, _Slot(both.start, x.size))
        self._step(_COPY, y, _Slot(both.start + x.size, y.size))
        return both

    def _step(self, kind: int, x: _Slot, target: _Slot, *places: int) -> _Slot:
        self._steps.append((kind, *x, *target, *places, *[_NONE] * (4 - len(places))))
        return target

    def _keep(self, values: Tensor) -> int:
        self._constants.append(values.detach().to(torch.float32).reshape(-1).numpy())
        self._n_constants += values.numel()
        return self._n_constants - values.numel()


class FusedUnet:
    """The forward of a U-Net on the CPU with the weights that it has now: it does not follow them when they change."""

    def __init__(self, unet: ConditionalUnet1d) -> None:
        self.action_dim, self.horizon = unet.action_dim, unet.horizon
        program = _Program()
        time_dim = unet.time.project.out_features
        sizes = (unet.action_dim * unet.horizon, 1, unet.blocks[0].film.in_features - time_dim)
        inputs = [program.slot(size) for size in sizes]
        out = _record(program, unet, *inputs)
        memory = np.zeros(program.memory, np.float32)
        self.program = (np.array([slot.start for slot in inputs]), *program.tables(), memory, out.start)

    def __call__(self, x: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """As `ConditionalUnet1d.forward`."""
        chunks = x.transpose(1, 2).flatten(1).contiguous().numpy()
        out = np.empty_like(chunks)
        times = timestep.to(torch.float32).contiguous().numpy()
        _run(chunks, times, condition.contiguous().numpy(), *self.program, out)
        return torch.from_numpy(out).view(len(x), self.action_dim, self.horizon).transpose(1, 2)


class Update(NamedTuple):
    """x -> by_x x + by_clean x0 + by_clipped clip(x0) + by_noise eps, with the network's x0 and eps ~ N(0, I)."""

    by_x: float
    by_clean: float
    by_clipped: float
    by_noise: float = 0.0


class FusedSampler:
    """Noise -> actions as one call: all evaluations of a U-Net, what lies between them, and the scale of the actions.

    Args:
        unet: its fused forward.
        timesteps: of the N evaluations.
        updates: what follows each of them; the last result is clipped to [-1, 1].
        action: the normaliser of actions.
        executed: first of the actions that are kept, and how many these are.
    """

    def __init__(
        self, unet: FusedUnet, timesteps: Sequence[int], updates: Sequence[Update], action: Affine,
        executed: tuple[int, int],
    ) -> None:  # fmt: skip
        self._unet, (self._first, self._count) = unet, executed
        self._timesteps, self._updates = np.array(timesteps, np.float32), np.array(updates, np.float32)
        self._affine = torch.stack([action.scale, action.offset]).numpy()
        self._draws = 1 + int(np.count_nonzero(self._updates[:, 3]))

    def __call__(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Condition ``[B, C]`` -> actions ``[B, K, A]``, from the noise that the method itself would draw."""
        u, batch = self._unet, len(condition)
        shape = (batch, u.horizon, u.action_dim)
        noise = [torch.randn(shape, generator=generator).numpy() for _ in range(self._draws)]
        out = np.empty((batch, self._count, u.action_dim), np.float32)
        _sample(
            np.stack(noise) if len(noise) > 1 else noise[0][None], condition.contiguous().numpy(), self._timesteps,
            self._updates, self._affine, self._first, *u.program, out,
        )  # fmt: skip
        return torch.from_numpy(out)


def fusable(unet: ConditionalUnet1d) -> bool:
    """Whether all convolutions of ``unet`` are laid out as matrices: its chunks are short."""
    return unet.horizon <= _MAX_DENSE


def _record(program: _Program, unet: ConditionalUnet1d, x: _Slot, timestep: _Slot, condition: _Slot) -> _Slot:
    """The steps of `ConditionalUnet1d.forward`; returns where the flattened result is."""
    with torch.no_grad():
        affine, film_layer = unet._layout()
    layers = iter(affine)

    def apply(h: _Slot) -> _Slot:
        layer = next(layers)
        assert layer.matrix is not None
        return program.linear(h, layer.matrix, layer.bias)

    time = program.sinusoids(timestep, unet.time.frequencies)
    time = program.linear(time, unet.time.expand.weight, unet.time.expand.bias)
    time = program.linear(program.mish(time), unet.time.project.weight, unet.time.project.bias)
    by_time = program.linear(program.mish(time), film_layer.time, None)
    by_observation = program.linear(program.mish(condition), film_layer.observation, film_layer.bias)
    film = program.add(by_observation, by_time).start

    def run(stage: nn.ModuleList, h: _Slot) -> _Slot:
        nonlocal film
        for block in stage:
            y = program.norm_mish_film(apply(h), block.first.norm, film)
            film += block.film.out_features
            y = program.norm_mish_film(apply(y), block.second.norm, _NONE)
            h = program.add(y, h if block.skip is None else apply(h))
        return h

    skips = []
    h = x
    for i, stage in enumerate(unet.down):
        h = run(stage, h)
        skips.append(h)
        if i < unet.n_levels - 1:
            h = apply(h)
    h = run(unet.mid, h)
    for stage in unet.up:
        h = apply(run(stage, program.join(h, skips.pop())))
    return apply(program.norm_mish_film(apply(h), unet.head.norm, _NONE))


@numba.njit(**_JIT)
def _mish(values: np.ndarray, bits: np.ndarray, powers: np.ndarray, e: np.ndarray, out: np.ndarray) -> None:
    two = np.float32(2.0)
    _exp(values, bits, powers, e)
    for i in range(len(values)):
        n = e[i] * (e[i] + two)  # mish(y) = y n / (n + 2), n = e^y (e^y + 2)
        out[i] = values[i] * n / (n + two)


@numba.njit(**_JIT)
def _run(
    chunks: np.ndarray, timesteps: np.ndarray, conditions: np.ndarray, inputs: np.ndarray, steps: np.ndarray,
    constants: np.ndarray, memory: np.ndarray, result: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Run the program for every row of ``chunks`` ``[K * B, A * H]``; ``conditions`` ``[B, C]`` repeat."""
    for row in range(len(chunks)):
        memory[inputs[0] : inputs[0] + chunks.shape[1]] = chunks[row]
        memory[inputs[1]] = timesteps[row % len(timesteps)]
        memory[inputs[2] : inputs[2] + conditions.shape[1]] = conditions[row % len(conditions)]
        _evaluate(steps, constants, memory)
        out[row] = memory[result : result + out.shape[1]]


@numba.njit(**_JIT)
def _sample(
    noise: np.ndarray, conditions: np.ndarray, timesteps: np.ndarray, updates: np.ndarray, affine: np.ndarray,
    first: int, inputs: np.ndarray, steps: np.ndarray, constants: np.ndarray, memory: np.ndarray, result: int,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Take ``noise`` ``[D, B, H, A]`` by ``updates`` ``[N, 4]`` to actions, of which ``out`` ``[B, K, A]`` are kept."""
    _, batch, horizon, width = noise.shape
    low, high = np.float32(-1.0), np.float32(1.0)
    scale, offset = affine[0], affine[1]
    for row in range(batch):
        x = memory[inputs[0] : inputs[0] + width * horizon]  # [A * H]
        for h in range(horizon):
            for a in range(width):
                x[a * horizon + h] = noise[0, row, h, a]
        drawn = 1
        for n in range(len(timesteps)):
            memory[inputs[1]] = timesteps[n]
            memory[inputs[2] : inputs[2] + conditions.shape[1]] = conditions[row]
            _evaluate(steps, constants, memory)
            factor = updates[n]
            for i in range(len(x)):
                clean = memory[result + i]
                x[i] = factor[0] * x[i] + factor[1] * clean + factor[2] * min(max(clean, low), high)
            if factor[3]:
                for h in range(horizon):
                    for a in range(width):
                        x[a * horizon + h] += factor[3] * noise[drawn, row, h, a]
                drawn += 1
        for k in range(out.shape[1]):
            for a in range(width):
                out[row, k, a] = (min(max(x[a * horizon + first + k], low), high) - offset[a]) / scale[a]


@numba.njit(**_JIT)
def _evaluate(steps: np.ndarray, constants: np.ndarray, memory: np.ndarray) -> None:
    """Run the program once, on the inputs that are in the memory."""
    size = max(steps[:, 4].max(), steps[:, 2].max())
    hat, e, bits = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.int32)
    powers, inverse_std = bits.view(np.float32), np.empty(GROUPS, np.float32)
    for s in range(len(steps)):
        kind, source, n_in, target, n_out, a, b, c, channels = steps[s]
        x, y = memory[source : source + n_in], memory[target : target + n_out]
        if kind == _LINEAR:
            for i in range(n_out):
                weights = constants[a + i * n_in : a + (i + 1) * n_in]
                total = np.float32(0.0)
                for j in range(n_in):
                    total += weights[j] * x[j]
                y[i] = total
            if b >= 0:
                y += constants[b : b + n_out]
        elif kind == _SINUSOIDS:
            half = n_out // 2
            for i in range(half):
                angle = x[0] * constants[a + i]
                y[i], y[half + i] = np.sin(angle), np.cos(angle)
        elif kind == _MISH:
            _mish(x, bits, powers, e, y)
        elif kind == _NORM:
            normal = hat[:n_in]
            _normalise(x, GROUPS, normal, inverse_std)
            weights, shifts = constants[a : a + n_in], constants[b : b + n_in]
            for i in range(n_in):
                normal[i] = normal[i] * weights[i] + shifts[i]
            _mish(normal, bits, powers, e, y)
            if c >= 0:
                length = n_in // channels
                for k in range(channels):
                    scale, shift = memory[c + k], memory[c + channels + k]
                    for i in range(k * length, (k + 1) * length):
                        y[i] = y[i] * scale + shift
        elif kind == _ADD:
            other = memory[a : a + n_in]
            for i in range(n_in):
                y[i] = x[i] + other[i]
        else:
            y[:] = x
