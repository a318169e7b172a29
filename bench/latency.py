"""The timing protocol: batch 1, recorded observations, a fresh process for each variant, interleaved blocks.

Variants are measured in blocks A B B A ..., so that drift of the machine hits all of them, and each is compared with
the reference by the ratio of medians with a block bootstrap interval (`bench.stats.ratio_of_medians`). What is timed in
a call: `bench.clocks`. Why so: ``docs/latency.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import stats

from bench.clocks import CLOCKS
from bench.hardware import busy_cores, load_average
from bench.latency_timer import Timed
from bench.percentiles import Times
from bench.stats import ratio_of_medians

CONTENDED_CORES, CONTENDED_GPU = 0.3, 0.1
"""Other work on the machine above this, before or after the timing, marks the figures as contended."""
COMPARED = ("t_e2e", "t_policy", "t_sample")
"""Clocks by which a variant is compared with the reference."""
_GUESS_MS = 10.0  # of a call, for the time left before anything was timed


@dataclass(frozen=True)
class Budget:
    """How long each variant is timed: in ``blocks`` of equal size, until both ``calls`` and ``seconds`` are reached."""

    blocks: int
    calls: int
    seconds: float
    warmup_s: float

    def calls_in_block(self, call_ms: float) -> int:
        """Calls in a block where a call takes ``call_ms``."""
        return math.ceil(max(self.calls, self.seconds * 1e3 / call_ms) / self.blocks)

    def duration(self, call_ms: float) -> float:
        """Seconds that the blocks of a variant take, roughly."""
        return self.blocks * self.calls_in_block(call_ms) * call_ms / 1e3


class Progress(NamedTuple):
    """How far a comparison is."""

    doing: str
    seconds_left: float


class VariantTimer(Protocol):
    """A `bench.latency_timer.Timer`, here or in another process."""

    variant: str

    def warm_up(self, seconds: float) -> float:
        """Call until times are steady; returns the median of the last calls, ms."""

    def run_block(self, calls: int) -> None:
        """Time a block of calls."""

    def result(self) -> Timed:
        """All that was measured."""


def compare(
    timers: Sequence[VariantTimer],
    budget: Budget,
    *,
    references: Mapping[str, str],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Time all variants in interleaved blocks; one row each.

    Args:
        timers: one of each variant.
        budget: how long each is timed.
        references: by variant, the variant over which its speed-up is stated.
        on_progress: told what is being done, between blocks.
    """
    load, busy = load_average(), busy_cores() > CONTENDED_CORES
    call_ms = [_GUESS_MS] * len(timers)
    for i, timer in enumerate(timers):
        left = sum(map(budget.duration, call_ms)) + (len(timers) - i) * budget.warmup_s
        on_progress(Progress(f"warming up {timer.variant}", left))
        call_ms[i] = timer.warm_up(budget.warmup_s)
    turn = [(timer, budget.calls_in_block(ms)) for timer, ms in zip(timers, call_ms, strict=True)]
    for block in range(budget.blocks):
        left = sum(map(budget.duration, call_ms)) * (1 - block / budget.blocks)
        on_progress(Progress(f"block {block + 1} of {budget.blocks}", left))
        for timer, calls in turn if block % 2 == 0 else turn[::-1]:
            timer.run_block(calls)
    busy = busy_cores() > CONTENDED_CORES or busy
    timed = [timer.result() for timer in timers]
    by_name = {t.row["variant"]: t for t in timed}
    rows = []
    for t in timed:
        base = by_name.get(references.get(t.row["variant"], ""))
        rows.append({
            **t.row, "contended": busy or _gpu_in_use(t.row["gpu"]), "load_average": load,
            "reference": base.row["variant"] if base else None,
            "speedup": _speedup(base.blocks, t.blocks) if base and base is not t else None,
        })  # fmt: skip
    return rows


def _gpu_in_use(gpu: Mapping[str, Mapping[str, float | None]] | None) -> bool:
    """Whether others used the GPU before the start, as far as NVML told."""
    return gpu is not None and (gpu["start"]["utilisation"] or 0.0) > CONTENDED_GPU


def _speedup(reference: Sequence[Times], own: Sequence[Times]) -> dict[str, dict[str, float]]:
    """By clock: reference time over own time with its interval, and p; both sides are ``[blocks, calls, clocks]``."""
    found = {}
    for name in COMPARED:
        theirs, ours = (np.array(blocks)[..., CLOCKS.index(name)] for blocks in (reference, own))
        ratio = ratio_of_medians(theirs, ours)
        p = float(stats.mannwhitneyu(theirs.ravel(), ours.ravel()).pvalue)
        found[name] = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "p": p}
    return found
