"""Percentiles of call times, each only where there were enough calls for it, with distribution-free intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

LEAST_N: Mapping[str, int] = {"p50": 1, "p90": 64, "p97": 219, "p99": 662}
"""Fewest calls for which a percentile holds with 99 % confidence (MLPerf Inference, early stopping with one query over
the latency); the median is always given, its interval tells how little few calls say."""
QUANTILES = 100

Times = npt.NDArray[np.float64]


def percentiles(times: Times) -> dict[str, float | list[float | None] | None]:
    """The percentiles of `LEAST_N` and their 95 % intervals, as a clock in ``latency.jsonl`` holds them.

    Args:
        times: ``[n]``, any unit.

    Returns:
        ``p50``, ``p90``, ...: null where n is too small; ``p50_ci``, ...: ``[low, high]``, an end is null where n has
        no order statistic for it (the intervals are those of the quantile test, Conover 1999).
    """
    found: dict[str, float | list[float | None] | None] = {}
    for name, least in LEAST_N.items():
        p = int(name[1:]) / 100
        enough = len(times) >= least
        found[name] = float(np.quantile(times, p)) if enough else None
        found[f"{name}_ci"] = _interval(times, p) if enough else None
    return found


def midpoint_quantiles(times: Times, count: int = QUANTILES) -> list[float]:
    """The quantiles at (i + 0.5) / count: a sample from them is a sample from ``times``, without its order."""
    return [float(q) for q in np.quantile(times, (np.arange(count) + 0.5) / count)]


def missed(times: Times, hz: int) -> float:
    """Share of the calls that last longer than a control period, ``times`` in ms."""
    return float((times > 1000 / hz).mean())


def _interval(times: Times, p: float) -> list[float | None]:
    interval = stats.quantile_test(times, q=np.quantile(times, p), p=p).confidence_interval(0.95)
    ends = (interval.low, interval.high)  # type: ignore[attr-defined]  # the stubs take it for a number
    return [None if math.isnan(end) else float(end) for end in ends]
