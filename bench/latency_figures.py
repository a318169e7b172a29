"""What follows from a latency row and is therefore not stored in it: rates, cost per control step, notes, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEADLINES_HZ = (10, 20, 50)
"""Control rates of which the misses are counted."""
FACTOR, P_VALUE = 1.10, 0.002
"""A difference is called where the ratio's whole interval lies beyond this factor and Mann-Whitney's p below that."""
NO_DIFFERENCE = "no difference shown"
_THROTTLED = 0x04 | 0x08 | 0x20 | 0x40 | 0x80  # NVML: power cap, slowdowns by hardware, heat (twice), power brake

Row = Mapping[str, Any]


def per_control_step_ms(row: Row) -> float:
    """Median call spread over the control steps that it serves. The step that computes still pays for all of them."""
    return float(row["t_e2e"]["p50"] / row["executed_steps"])


def hz_chunk(row: Row) -> float:
    """Calls (chunks of actions) per second."""
    return float(1000 / row["t_e2e"]["p50"])


def hz_control(row: Row) -> float:
    """Control steps per second if nothing else took time."""
    return hz_chunk(row) * int(row["executed_steps"])


def launch_overhead_ms(row: Row) -> float | None:
    """On GPUs: the part of a policy call before and after the work in the stream. None on CPUs."""
    return None if row["t_cuda"] is None else float(row["t_policy"]["p50"] - row["t_cuda"])


def throttled(row: Row) -> bool:
    """Whether the GPU was slowed down by power or heat at the start or at the end, as far as NVML told."""
    readings = (row["gpu"] or {}).values()
    return any(int(reading.get("throttle_reasons") or 0) & _THROTTLED for reading in readings)


def notes(row: Row) -> list[str]:
    """What a reader must know about a timing before using it."""
    marks = {
        "machine busy while timed": row["contended"], "not warm": not row["warm"], "GPU throttled": throttled(row),
        "untrained weights": row["checkpoint"] is None,
    }  # fmt: skip
    return [words for words, holds in marks.items() if holds]


def verdict(speedup: Mapping[str, float]) -> str:
    """``faster``, ``slower`` or `NO_DIFFERENCE`: an entry against its reference by one clock.

    Args:
        speedup: ``ratio``, ``low``, ``high`` of reference time over own time, and ``p``.
    """
    if speedup["p"] < P_VALUE:
        if speedup["low"] > FACTOR:
            return "faster"
        if speedup["high"] < 1 / FACTOR:
            return "slower"
    return NO_DIFFERENCE
