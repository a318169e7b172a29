"""The clocks of the latency protocol: what one policy call at batch 1 is made of, and what reading the clocks costs.

Four nested regions are timed in every call, with the monotonic clock:

    t_e2e     raw scans (host arrays) -> action chunk (host array): crop, sampling, copies, and
    t_policy  tensors in -> tensors out, which is
    t_encode  the observation encoder, then
    t_sample  the generative head with all its network evaluations.

A device that works asynchronously is synchronised at both ends of every region, and never inside the sampler, which
would change the method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.interfaces import Method, MethodSpec, ObservationKind, Observations, Task
from bench.seeding import Purpose, episode_seed
from bench.sensors import Reading, batch, preprocess, scan

CLOCKS = ("t_e2e", "t_policy", "t_encode", "t_sample")
INPUTS = 256
"""Recorded observations that are cycled through: never one constant tensor."""


class Policy(Protocol):
    """The part of `bench.interfaces.Method` that is timed."""

    spec: MethodSpec
    network: torch.nn.Module

    def encode(self, observations: Observations, /) -> Tensor:
        """Observations -> condition."""

    def sample(self, condition: Tensor, generator: torch.Generator, /) -> Tensor:
        """Condition -> chunk of actions."""


class NoOp:
    """A policy that does nothing with the observations of another: what is timed is the clocks themselves."""

    def __init__(self, method: Method, action_dim: int) -> None:
        self.spec, self.network = method.spec, method.network
        self._chunk = torch.zeros(1, method.spec.executed_steps, action_dim, device=device_of(method))

    def encode(self, *_: object) -> Tensor:
        """A tensor that is there already."""
        return self._chunk

    def sample(self, *_: object) -> Tensor:
        """A tensor that is there already."""
        return self._chunk


class Unsynchronised(NamedTuple):
    """One call without synchronisation between its parts, in ms."""

    upstream: float  # wall clock round the policy, not synchronised: how published figures were taken
    cuda: float | None  # CUDA events round the policy; None on CPUs


def record_inputs(
    task: Task, base_seed: int, n_obs_steps: int, count: int = INPUTS, kind: ObservationKind = "point_cloud"
) -> list[list[Reading]]:
    """Record ``count`` histories of ``n_obs_steps`` raw readings from expert episodes on test seeds."""
    inputs: list[list[Reading]] = []
    episode = 0
    while len(inputs) < count:
        task.reset(episode_seed(base_seed, task.spec.id, Purpose.TEST, episode))
        expert = task.expert()
        history = [scan(task, kind)] * n_obs_steps
        for step in range(task.spec.max_steps):
            if step % 3 == 0 and len(inputs) < count:
                inputs.append(list(history))
            if task.step(np.clip(expert.act(), -1, 1)).done or len(inputs) == count:
                break
            history = [*history[1:], scan(task, kind)]
        episode += 1
    return inputs


def timed_call(
    policy: Policy, task: Task, readings: Sequence[Reading], generator: torch.Generator
) -> tuple[float, ...]:
    """One policy call; returns the `CLOCKS` in milliseconds."""
    device = device_of(policy)
    synchronise = synchroniser(device)
    clock = time.perf_counter_ns
    synchronise()
    start = clock()
    observations = _observe(policy, task, readings, device)
    synchronise()
    policy_start = clock()
    condition = policy.encode(observations)
    synchronise()
    encoded = clock()
    chunk = policy.sample(condition, generator)
    synchronise()
    sampled = clock()
    chunk.cpu().numpy()
    end = clock()
    spans = (end - start, sampled - policy_start, encoded - policy_start, sampled - encoded)
    return tuple(span / 1e6 for span in spans)


def unsynchronised_call(
    policy: Policy, task: Task, readings: Sequence[Reading], generator: torch.Generator
) -> Unsynchronised:  # fmt: skip
    """One policy call as published runners time it, and by the device's own clock. Only explains gaps, never ranks."""
    device = device_of(policy)
    observations = _observe(policy, task, readings, device)
    synchroniser(device)()
    begin = _event(device)
    start = time.time()
    chunk = policy.sample(policy.encode(observations), generator)
    upstream = 1e3 * (time.time() - start)
    end = _event(device)
    synchroniser(device)()
    chunk.cpu().numpy()
    return Unsynchronised(upstream, begin.elapsed_time(end) if begin and end else None)


def count_flops(policy: Policy, task: Task, readings: Sequence[Reading], generator: torch.Generator) -> int | None:
    """FLOPs of one call by PyTorch's count of matrix products and convolutions; None where it sees none."""
    observations = _observe(policy, task, readings, device_of(policy))
    with FlopCounterMode(display=False) as counter:
        policy.sample(policy.encode(observations), generator)
    return int(counter.get_total_flops()) or None


def device_of(policy: Policy) -> torch.device:
    """Where the policy computes."""
    return next((p.device for p in policy.network.parameters()), torch.device("cpu"))


def synchroniser(device: torch.device) -> Callable[[], None]:
    """What waits until all work on ``device`` is done."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return _nothing


def _nothing() -> None:
    """The CPU needs no synchronisation."""


def _event(device: torch.device) -> torch.cuda.Event | None:
    """A time stamp in the device's stream."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def _observe(policy: Policy, task: Task, readings: Sequence[Reading], device: torch.device) -> Observations:
    return batch([[preprocess(task, reading) for reading in readings[-policy.spec.n_obs_steps :]]], device)
