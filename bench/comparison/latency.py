"""Latency of two runs, from the medians of their blocks, on the same hardware only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.latency_figures import FACTOR, P_VALUE, throttled
from bench.report.measures import CELL
from bench.stats import Estimate, RunRatio, ratio_between_runs
from bench.store import Run

CLOCKS = ("t_e2e", "t_policy")
NOT_JUDGED = "not judged: recorded without block medians; time again"


@dataclass(frozen=True)
class LatencyRow:
    """One method on one suite by one clock."""

    suite: str
    variant: str
    clock: str
    base_ms: float
    new_ms: float | None  # None where new was not timed
    ratio: Estimate | None  # new over base; None where not both have block medians
    p: float | None  # Mann-Whitney on the block medians
    verdict: str  # slower, faster, alike, undecided, or why there is none


def compare_latency(base: Run, new: Run) -> Iterator[LatencyRow]:
    """Ratios of block medians, over the tasks that both runs timed in the same way; a row also for what new did not."""
    by = [*CELL, "device", "mode"]
    ours, theirs = (run.latency.drop_duplicates(by, keep="last") for run in (base, new))
    timed = pd.merge(ours, theirs, on=by, how="left", suffixes=("_base", "_new"), indicator=True)
    for (suite, variant), own in timed.groupby(["suite_base", "variant"], sort=True):
        both, missing = (own[own["_merge"] == side].to_dict("records") for side in ("both", "left_only"))
        if both:
            yield from _judged(str(suite), str(variant), both)
        if missing:
            yield from _untimed(str(suite), str(variant), missing)


def _judged(suite: str, variant: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[LatencyRow]:
    refused = next((why for row in rows if (why := _not_comparable(row))), None)
    blocks = {side: [row[f"block_medians_{side}"] for row in rows] for side in ("base", "new")}
    recorded = all(isinstance(medians, dict) for side in blocks.values() for medians in side)
    for clock in CLOCKS:
        base_ms, new_ms = (_mean_ms(rows, f"{clock}_{side}") for side in blocks)
        found = None
        if recorded:
            found = ratio_between_runs(*([medians[clock] for medians in blocks[side]] for side in ("new", "base")))
        verdict = refused or (_verdict(found) if found else NOT_JUDGED)
        ratio, p = found or (None, None)
        yield LatencyRow(suite, variant, clock, base_ms, new_ms, ratio, p, verdict)


def _untimed(suite: str, variant: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[LatencyRow]:
    """A timing that is missing must not pass for one that is alike."""
    first, more = rows[0], f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    which = f"{first['task']}, training seed {first['training_seed']}, {first['mode']} on {first['device']}"
    verdict = f"not compared: new has no timing of {which}{more}"
    for clock in CLOCKS:
        yield LatencyRow(suite, variant, clock, _mean_ms(rows, f"{clock}_base"), None, None, None, verdict)


def _mean_ms(rows: Sequence[Mapping[Any, Any]], clock: str) -> float:
    """Geometric mean of medians."""
    return float(np.exp(np.mean([np.log(row[clock]["p50"]) for row in rows])))


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
    if any(throttled({"gpu": row[f"gpu_{side}"]}) for side in ("base", "new")):
        return "not comparable: GPU throttled"
    return None


def _verdict(found: RunRatio) -> str:
    """A change is called by the rule of `bench.latency_figures.verdict`: the whole interval and Mann-Whitney's p."""
    low, high = found.ratio.low, found.ratio.high
    if found.p < P_VALUE:
        if low > FACTOR:
            return "slower"
        if high < 1 / FACTOR:
            return "faster"
    return "alike" if low >= 1 / FACTOR and high <= FACTOR else "undecided"
