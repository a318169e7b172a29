"""The least time that a policy call can take on this machine: arithmetic over measured rate, bytes over bandwidth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.interfaces import Method, Observations, TaskSpec
from benchmarks.paired import Side, Times, timed
from benchmarks.reference.training import plain_networks, use_plain_layers
from methods.networks import NetSizes
from methods.policy import ChunkPolicy

_MATMUL = 512  # rows and columns of the matrices whose product gives the rate
_MATVEC = 1024  # columns of the matrix whose product with a vector gives the bandwidth
_FLOAT = 4  # bytes


class Work(NamedTuple):
    """What a part of a policy call must do at least."""

    flops: int  # additions and multiplications in matrix products and convolutions
    bytes: int  # of the weights that have an influence, once per network evaluation


def needed_work(policy: ChunkPolicy, task: TaskSpec, sizes: NetSizes, observations: Observations) -> dict[str, Work]:
    """Work of ``encode`` and ``sample`` for one observation.

    FLOPs are counted by PyTorch in ours and in plain layers; the lower count is taken, as neither computes only what
    matters. Weights count if they have a gradient at all: taps of a convolution that only ever meet padding have none.

    Args:
        policy: to be counted; it acts with plain layers afterwards.
    """
    flops = _flops(policy, observations)
    use_plain_layers(policy, task, sizes)
    flops = {part: min(flops[part], count) for part, count in _flops(policy, observations).items()}
    encoder = sum(p.numel() for p in policy.ema.encoder.parameters())
    unet = _weights_in_use(task, sizes)
    return {
        "encode": Work(flops["encode"], _FLOAT * (encoder + observations.point_cloud.numel())),
        "sample": Work(flops["sample"], _FLOAT * unet * policy.spec.nfe),
    }


def limit_seconds(work: Work, flops_per_second: float, bytes_per_second: float) -> float:
    """The longer of both times: arithmetic and memory traffic may overlap."""
    return max(work.flops / flops_per_second, work.bytes / bytes_per_second)


def matmul_side() -> Side:
    """Seconds per FLOP of a square float32 matrix product on this thread."""
    a, b, out = torch.rand(_MATMUL, _MATMUL), torch.rand(_MATMUL, _MATMUL), torch.empty(_MATMUL, _MATMUL)
    return timed(lambda: torch.mm(a, b, out=out), per=2 * _MATMUL**3)


def stream_side(size: int) -> Side:
    """Seconds per byte when a matrix of about ``size`` bytes is read again and again, as weights are."""
    matrix, vector = torch.rand(max(1, size // (_FLOAT * _MATVEC)), _MATVEC), torch.rand(_MATVEC)
    out = torch.empty(len(matrix))
    passes = max(1, 2**20 // (_FLOAT * matrix.numel()))  # small matrices several times, to be above the clock's grain

    def read() -> None:
        for _ in range(passes):
            torch.mv(matrix, vector, out=out)

    return timed(read, per=passes * _FLOAT * matrix.numel())


def rate(seconds_per_unit: Times) -> float:
    """Units per second, of the fastest tenth of the calls: what the hardware can do, not what it did while busy."""
    return 1 / float(np.quantile(seconds_per_unit, 0.1))


def _flops(method: Method, observations: Observations) -> dict[str, int]:
    generator = torch.Generator().manual_seed(0)

    def count(work: Callable[[], torch.Tensor]) -> tuple[int, torch.Tensor]:
        with FlopCounterMode(display=False) as counter:
            result = work()
        return counter.get_total_flops(), result

    condition = method.encode(observations)
    method.sample(condition, generator)  # lays weights out, once
    encode, _ = count(lambda: method.encode(observations))
    sample, _ = count(lambda: method.sample(condition, generator))
    return {"encode": encode, "sample": sample}


def _weights_in_use(task: TaskSpec, sizes: NetSizes) -> int:
    """Parameters of the U-Net on which its output depends."""
    unet = plain_networks(task, sizes).unet
    noise = torch.randn(1, unet.horizon, unet.action_dim)
    condition = torch.randn(1, unet.blocks[0].film.in_features - unet.time.project.out_features)
    unet(noise, torch.tensor([50]), condition).square().sum().backward()
    return sum(int(torch.count_nonzero(p.grad)) for p in unet.parameters() if p.grad is not None)
