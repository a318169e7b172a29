"""Times one variant, and makes its row of ``latency.jsonl``."""

from __future__ import annotations

import gc
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.artifacts import Artifact
from bench.clocks import CLOCKS, NoOp, Policy, Unsynchronised, count_flops, device_of, timed_call, unsynchronised_call
from bench.hardware import fingerprint, gpu_state
from bench.interfaces import Method, Task
from bench.latency_figures import DEADLINES_HZ
from bench.percentiles import Times, midpoint_quantiles, missed, percentiles
from bench.runtimes import EAGER
from bench.seeding import Purpose, sequence, torch_generator
from bench.sensors import Reading

_WARM_CALLS, _STEADY, _WARM_CAP_S = 20, 0.02, 60.0
_NO_OP_CALLS = 64
_MIB = 2**20


@dataclass(frozen=True)
class Contender:
    """One variant to be timed."""

    row: Mapping[str, Any]  # fields of the latency row that are known beforehand
    method: Method
    checkpoint: Artifact | None  # None: untrained weights
    runtime: str = EAGER


class Timed(NamedTuple):
    """What a timer has measured."""

    row: dict[str, Any]  # of ``latency.jsonl``, but for what compares it with others
    blocks: Sequence[Times]  # each [calls, len(CLOCKS)], ms


class Timer:
    """Times one contender: cold call, warm-up, blocks of calls."""

    def __init__(self, contender: Contender, task: Task, inputs: Sequence[Sequence[Reading]], base_seed: int) -> None:
        self.contender, self.variant = contender, str(contender.row["variant"])
        self._task, self._inputs, self._next = task, inputs, 0
        self._device = device_of(contender.method)
        self._generator = torch_generator(sequence(base_seed, task.spec.id, Purpose.NOISE), self._device)
        self.blocks: list[Times] = []  # each [calls, len(CLOCKS)], ms
        self._unsynchronised: list[Unsynchronised] = []
        self.nfe, self.cold_ms, self.warm = 0, 0.0, False
        self._flops: int | None = None
        self._harness_ms = self._peak_rss = 0.0
        self._gpu = gpu_state(self._device)

    def _count_evaluation(self, *_: object) -> None:
        self.nfe += 1

    def _readings(self) -> Sequence[Reading]:
        self._next = (self._next + 1) % len(self._inputs)
        return self._inputs[self._next]

    def _call(self, policy: Policy | None = None) -> tuple[float, ...]:
        with torch.inference_mode():
            return timed_call(policy or self.contender.method, self._task, self._readings(), self._generator)

    def warm_up(self, seconds: float) -> float:
        """Call until at least 20 calls and ``seconds`` have passed and the median of ten calls is steady within 2 %.

        After twenty times as long, at most a minute, the entry is left marked as not warm. FLOPs and the cost of the
        clocks are found at the end.

        Returns:
            the median of the last ten calls, ms.
        """
        hook = self.contender.method.network.register_forward_hook(self._count_evaluation)
        self.cold_ms = self._call()[0]
        hook.remove()
        times: list[float] = []
        start = time.monotonic()
        cap = min(_WARM_CAP_S, 20 * seconds)
        while not self.warm and (elapsed := time.monotonic() - start) < cap:
            times.append(self._call()[0])
            if len(times) >= _WARM_CALLS and elapsed >= seconds:
                last, before = np.median(times[-10:]), np.median(times[-20:-10])
                self.warm = bool(abs(last / before - 1) < _STEADY)
        if self.contender.runtime == EAGER:  # of others PyTorch sees a part at most
            with torch.inference_mode():
                self._flops = count_flops(self.contender.method, self._task, self._readings(), self._generator)
        idle = NoOp(self.contender.method, self._task.spec.action_dim)
        self._harness_ms = float(np.median([self._call(idle)[1] for _ in range(_NO_OP_CALLS)]))
        gc.collect()
        gc.freeze()  # what is there by now need not be looked at before every block
        return float(np.median(times[-10:] or self.cold_ms))

    def run_block(self, calls: int) -> None:
        """Time a block of calls, without garbage collection; then a tenth as many, unsynchronised."""
        gc.collect()
        gc.disable()
        try:
            self.blocks.append(np.array([self._call() for _ in range(calls)]))
            with torch.inference_mode():
                for _ in range(math.ceil(calls / 10)):
                    method, readings = self.contender.method, self._readings()
                    self._unsynchronised.append(unsynchronised_call(method, self._task, readings, self._generator))
        finally:
            gc.enable()
        self._peak_rss = _peak_rss_mb()  # here, as making the row takes memory too

    def result(self) -> Timed:
        """All that was measured."""
        gc.unfreeze()
        method, times, checkpoint = self.contender.method, np.concatenate(self.blocks), self.contender.checkpoint
        medians = np.array([np.median(block, axis=0) for block in self.blocks])  # [blocks, len(CLOCKS)]
        spec, state = method.spec, method.state()
        cuda = [call.cuda for call in self._unsynchronised if call.cuda is not None]
        row = {
            "schema": "latency/2", **self.contender.row, "checkpoint": checkpoint.sha256 if checkpoint else None,
            "threads": torch.get_num_threads(), "flags": self._flags(), "n": len(times), "nfe": self.nfe,
            "executed_steps": spec.executed_steps, "horizon": spec.horizon,
            "params": sum(t.numel() for t in state.values()),
            "params_network": sum(p.numel() for p in method.network.parameters()),
            "checkpoint_bytes": len(checkpoint.data) if checkpoint else None, "flops": self._flops,
            **{name: percentiles(times[:, i]) for i, name in enumerate(CLOCKS)},
            "e2e_quantiles": midpoint_quantiles(times[:, 0]),
            "block_medians": dict(zip(CLOCKS, medians.T.tolist(), strict=True)),
            "deadline_misses": {str(hz): missed(times[:, 0], hz) for hz in DEADLINES_HZ},
            "t_upstream": float(np.median([call.upstream for call in self._unsynchronised])),
            "t_cuda": float(np.median(cuda)) if cuda else None,
            "harness_ms": self._harness_ms, "cold_ms": self.cold_ms, "warm": self.warm,
            "peak_rss_mb": round(self._peak_rss, 1),
            "peak_gpu_mb": round(torch.cuda.max_memory_allocated(self._device) / _MIB, 1) if cuda else None,
            "gpu": {"start": self._gpu, "end": gpu_state(self._device) or {}} if self._gpu else None,
            "hardware": fingerprint(), "parallel_info": torch.__config__.parallel_info(),
        }  # fmt: skip
        return Timed(row, self.blocks)

    def _flags(self) -> dict[str, Any]:
        dtype = next((p.dtype for p in self.contender.method.network.parameters()), torch.float32)
        return {
            "dtype": str(dtype).removeprefix("torch."),
            "tf32": bool(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32),
            "autocast": torch.is_autocast_enabled(self._device.type), "runtime": self.contender.runtime,
        }  # fmt: skip


def _peak_rss_mb() -> float:
    """Of this process, simulator and recorded inputs included."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux the usage of a process begins at the peak of the one that started it
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    unit = _MIB if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
