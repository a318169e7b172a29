"""Latency of two runs, from the percentiles that records hold, on the same hardware only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report.measures import CELL
from bench.stats import Estimate
from bench.store import Run

CLOCKS = ("t_e2e", "t_policy")
SLOWER = 1.10
"""Ratio of times above which a method counts as slower."""


@dataclass(frozen=True)
class LatencyRow:
    """One method on one suite by one clock."""

    suite: str
    variant: str
    clock: str
    base_ms: float
    new_ms: float
    ratio: Estimate | None  # new over base; without interval there is None
    verdict: str  # slower, faster, alike, undecided, or why not comparable


def compare_latency(base: Run, new: Run) -> Iterator[LatencyRow]:
    """Ratios of medians, over the tasks that both runs timed in the same way."""
    by = [*CELL, "device", "mode"]
    ours, theirs = (run.latency.drop_duplicates(by, keep="last") for run in (base, new))
    timed = pd.merge(ours, theirs, on=by, suffixes=("_base", "_new"))
    for (suite, variant), own in timed.groupby(["suite_base", "variant"], sort=True):
        rows: Any = own.to_dict("records")
        refused = next((why for row in rows if (why := _not_comparable(row))), None)
        for clock in CLOCKS:
            clocks = {side: [row[f"{clock}_{side}"] for row in rows] for side in ("base", "new")}
            base_ms, new_ms = (float(np.exp(np.mean([np.log(c["p50"]) for c in side]))) for side in clocks.values())
            variances = [
                _log_variance(c, row[f"n_{side}"]) for side in clocks for c, row in zip(clocks[side], rows, strict=True)
            ]
            ratio = _ratio(new_ms / base_ms, variances, len(rows))
            verdict = refused or (_speed_verdict(ratio) if ratio else "not judged: too few calls for a percentile")
            yield LatencyRow(str(suite), str(variant), clock, base_ms, new_ms, ratio, verdict)


def _ratio(ratio: float, variances: Sequence[float | None], tasks: int) -> Estimate | None:
    """A ratio of geometric means over tasks, with its 95 % interval where the variances of all logarithms are known."""
    known = [v for v in variances if v is not None]
    if len(known) < len(variances):
        return None
    spread = math.exp(1.959964 * math.sqrt(sum(known)) / tasks)
    return Estimate(ratio, ratio / spread, ratio * spread)


def _not_comparable(row: Mapping[Any, Any]) -> str | None:
    """Why two timings say nothing about each other."""
    ours, theirs = row["hardware_base"], row["hardware_new"]
    software = ("python", "torch")  # may be what the comparison is about
    for name in sorted({*ours, *theirs} - {*software}):
        if ours.get(name) != theirs.get(name):
            return f"not comparable: {name} {ours.get(name)} in base, {theirs.get(name)} in new"
    if row["contended_base"] or row["contended_new"]:
        return "not comparable: machine busy while timed"
    if not (row["warm_base"] and row["warm_new"]):
        return "not comparable: not warm"
    return None


def _log_variance(clock: Mapping[str, Any], calls: int) -> float | None:
    """Variance of the logarithm of a median of so many calls, if times are log-normal: records hold no single times."""
    if clock["p90"] is None:
        return None
    sigma = math.log(clock["p90"] / clock["p50"]) / 1.281552
    return math.pi / 2 * sigma**2 / calls


def _speed_verdict(ratio: Estimate) -> str:
    if ratio.low > SLOWER:
        return "slower"
    if ratio.high < 1 / SLOWER:
        return "faster"
    return "alike" if ratio.low >= 1 / SLOWER and ratio.high <= SLOWER else "undecided"
