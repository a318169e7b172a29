"""The timing protocol: batch 1, recorded observations, a fresh process pinned to one core, interleaved blocks.

Four nested clocks are read in every call, with the monotonic clock:

    t_e2e     raw scans (host arrays) -> action chunk (host array): crop, sampling, copies, and
    t_policy  tensors in -> tensors out, which is
    t_encode  the observation encoder, then
    t_sample  the generative head with all its network evaluations.

Methods are measured in blocks A B B A ..., so that drift of the machine hits all of them, and each is compared with the
reference by the ratio of medians with a block bootstrap interval (`bench.stats.ratio_of_medians`).
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench import registry
from bench.artifacts import Artifact, unpack_tensors
from bench.hardware import busy_cores, fingerprint
from bench.interfaces import Method, Observations, Scan, Task
from bench.seeding import Purpose, episode_seed, sequence, torch_generator
from bench.stats import ratio_of_medians

CLOCKS = ("t_e2e", "t_policy", "t_encode", "t_sample")
INPUTS = 256
"""Recorded observations that are cycled through: never one constant tensor."""
N_FOR_P90 = 64
"""Fewest calls for which a 90th percentile holds with 99 % confidence (MLPerf Inference, early stopping)."""
CONTENDED_CORES = 0.3
"""Other work on the machine above this marks the figures as contended."""

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contender:
    """One variant to be timed."""

    row: Mapping[str, Any]  # fields of the latency row that are known beforehand
    method: Method
    checkpoint: Artifact


def record_inputs(task: Task, base_seed: int, n_obs_steps: int, count: int = INPUTS) -> list[list[Scan]]:
    """Record ``count`` histories of ``n_obs_steps`` raw scans from expert episodes on test seeds."""
    inputs: list[list[Scan]] = []
    episode = 0
    while len(inputs) < count:
        task.reset(episode_seed(base_seed, task.spec.id, Purpose.TEST, episode))
        expert = task.expert()
        history = [task.scan()] * n_obs_steps
        for step in range(task.spec.max_steps):
            if step % 3 == 0 and len(inputs) < count:
                inputs.append(list(history))
            if task.step(np.clip(expert.act(), -1, 1)).done or len(inputs) == count:
                break
            history = [*history[1:], task.scan()]
        episode += 1
    return inputs


def timed_call(method: Method, task: Task, scans: Sequence[Scan], generator: torch.Generator) -> tuple[float, ...]:
    """One policy call; returns the `CLOCKS` in milliseconds."""
    device = next(method.network.parameters()).device
    synchronise = torch.cuda.synchronize if device.type == "cuda" else _nothing
    clock = time.perf_counter_ns
    start = clock()
    seen = [task.preprocess(scan) for scan in scans[-method.spec.n_obs_steps :]]
    clouds = torch.from_numpy(np.stack([o.point_cloud for o in seen]))[None].to(device)
    states = torch.from_numpy(np.stack([o.agent_pos for o in seen]))[None].to(device)
    synchronise()
    policy_start = clock()
    condition = method.encode(Observations(clouds, states))
    synchronise()
    encoded = clock()
    chunk = method.sample(condition, generator)
    synchronise()
    sampled = clock()
    chunk.cpu().numpy()
    end = clock()
    spans = (end - start, sampled - policy_start, encoded - policy_start, sampled - encoded)
    return tuple(span / 1e6 for span in spans)


def _nothing() -> None:
    """The CPU needs no synchronisation."""


class Timer:
    """Times one contender: cold call, warm-up, blocks of calls."""

    def __init__(self, contender: Contender, task: Task, inputs: Sequence[Sequence[Scan]], base_seed: int) -> None:
        self.contender = contender
        self._task, self._inputs, self._next = task, inputs, 0
        device = next(contender.method.network.parameters()).device
        self._generator = torch_generator(sequence(base_seed, task.spec.id, Purpose.NOISE), device)
        self.blocks: list[Times] = []  # each [calls, len(CLOCKS)], ms
        self.nfe = 0
        self.cold_ms = 0.0
        self.warm = False

    def _count_evaluation(self, *_: object) -> None:
        self.nfe += 1

    def _call(self) -> tuple[float, ...]:
        self._next = (self._next + 1) % len(self._inputs)
        with torch.inference_mode():
            return timed_call(self.contender.method, self._task, self._inputs[self._next], self._generator)

    def warm_up(self, seconds: float) -> None:
        """Call until at least 20 calls and ``seconds`` have passed and the median of ten calls is steady within 2 %.

        After twenty times as long the entry is left marked as not warm.
        """
        hook = self.contender.method.network.register_forward_hook(self._count_evaluation)
        self.cold_ms = self._call()[0]
        hook.remove()
        times: list[float] = []
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < 20 * seconds:
            times.append(self._call()[0])
            if len(times) >= 20 and elapsed >= seconds:
                last, before = np.median(times[-10:]), np.median(times[-20:-10])
                self.warm = bool(abs(last / before - 1) < 0.02)
                if self.warm:
                    return

    def run_block(self, calls: int) -> None:
        """Time a block of calls, without garbage collection."""
        gc.collect()
        gc.disable()
        try:
            self.blocks.append(np.array([self._call() for _ in range(calls)]))
        finally:
            gc.enable()

    def row(self, reference: Timer | None, contended: bool) -> dict[str, Any]:
        """The row of ``latency.jsonl``."""
        method, times = self.contender.method, np.concatenate(self.blocks)
        spec = method.spec
        speedup = None
        if reference is not None and reference is not self:
            speedup = {name: self._speedup(reference, i) for i, name in enumerate(CLOCKS) if name != "t_encode"}
        return {
            "schema": "latency/1", **self.contender.row, "checkpoint": self.contender.checkpoint.sha256,
            "n": len(times), "nfe": self.nfe, "executed_steps": spec.executed_steps, "horizon": spec.horizon,
            "params": sum(t.numel() for t in method.state().values()),
            "params_network": sum(p.numel() for p in method.network.parameters()),
            "checkpoint_bytes": len(self.contender.checkpoint.data),
            **{name: _percentiles(times[:, i]) for i, name in enumerate(CLOCKS)},
            "e2e_quantiles": [float(q) for q in np.quantile(times[:, 0], (np.arange(100) + 0.5) / 100)],
            "cold_ms": self.cold_ms, "warm": self.warm, "contended": contended,
            "reference": reference.contender.row["variant"] if reference else None, "speedup": speedup,
            "peak_rss_mb": _peak_rss_mb(),
            "hardware": fingerprint(),
        }  # fmt: skip

    def _speedup(self, reference: Timer, clock: int) -> dict[str, float]:
        pair = ([b[:, clock] for b in reference.blocks], [b[:, clock] for b in self.blocks])
        estimate = ratio_of_medians(*pair)
        return {"ratio": estimate.value, "low": estimate.low, "high": estimate.high}


def _peak_rss_mb() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _percentiles(times: Times) -> dict[str, float | None]:
    p90 = float(np.quantile(times, 0.9)) if len(times) >= N_FOR_P90 else None
    return {"p50": float(np.median(times)), "p90": p90}


def compare(
    contenders: Sequence[Contender],
    task: Task,
    *,
    base_seed: int,
    reference: str | None,
    blocks: int,
    calls: int,
    warmup_s: float,
) -> list[dict[str, Any]]:
    """Time all contenders in interleaved blocks; one row each, with the speed-up over the variant ``reference``."""
    contended = busy_cores() > CONTENDED_CORES
    inputs = record_inputs(task, base_seed, max(c.method.spec.n_obs_steps for c in contenders))
    timers = [Timer(c, task, inputs, base_seed) for c in contenders]
    for timer in timers:
        timer.warm_up(warmup_s)
    for block in range(blocks):
        for timer in timers if block % 2 == 0 else timers[::-1]:
            timer.run_block(calls)
    base = next((t for t in timers if t.contender.row["variant"] == reference), None)
    return [timer.row(base, contended) for timer in timers]


def main(job_path: str, rows_path: str) -> None:
    """Entry of the fresh process: read a job, pin to one core and one thread, measure, write the rows."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    task = registry.tasks().make(job["row"]["task"])
    contenders = []
    for entry in job["entries"]:
        artifact = Artifact(Path(entry["checkpoint"]).read_bytes())
        method = registry.methods().make(
            entry["method"], task.spec, job["row"]["profile"], entry["options"], job["row"]["device"]
        )
        method.load_state(unpack_tensors(artifact.data, job["row"]["device"]))
        row = {**job["row"], "key": entry["key"], "method": entry["method"], "variant": entry["variant"]}
        contenders.append(Contender(row, method, artifact))
    rows = compare(contenders, task, reference=job["reference"], **job["protocol"])
    Path(rows_path).write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
