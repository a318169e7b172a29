"""Success of two runs on matched episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.stats import Estimate, Verdict, judge, mean_difference


@dataclass(frozen=True)
class SuccessRow:
    """One method on one suite."""

    suite: str
    variant: str
    tasks: int
    pairs: int  # matched episodes
    base: float  # success, mean over tasks of the mean over training seeds
    new: float
    difference: Estimate  # new less base
    p_loss: float
    lost_tasks: Sequence[str]
    verdict: Verdict


def compare_success(pairs: pd.DataFrame, margin: float) -> list[SuccessRow]:
    """Judge every method on every suite of matched episodes (`bench.comparison.matching.pair_episodes`)."""
    keys, groups, tasks = [], [], []
    for (suite, variant), own in pairs.groupby(["suite_base", "variant"], sort=True):
        names, row = np.unique(own["task"].to_numpy(str), return_inverse=True)
        seeds, column = np.unique(own["training_seed"].to_numpy(int), return_inverse=True)
        old, new = (own[name].to_numpy(bool) for name in ("success_base", "success_new"))
        outcomes = old & ~new, new & ~old, np.ones_like(old), old, new
        counts = np.zeros((len(outcomes), len(names), len(seeds)), np.int64)
        for total, outcome in zip(counts, outcomes, strict=True):
            np.add.at(total, (row, column), outcome)
        keys.append((str(suite), str(variant)))
        groups.append(counts)
        tasks.append(names)
    rows = []
    judged = judge([(lost, won, n) for lost, won, n, *_ in groups], margin=margin)
    for key, (lost, won, n, *solved), names, found in zip(keys, groups, tasks, judged, strict=True):
        before, after = (float(((k / np.maximum(n, 1)).sum(axis=1) / (n > 0).sum(axis=1)).mean()) for k in solved)
        rows.append(SuccessRow(
            *key, tasks=len(names), pairs=int(n.sum()), base=before, new=after,
            difference=mean_difference(won, lost, n), p_loss=found.p_loss,
            lost_tasks=[str(name) for name in names[found.lost]], verdict=found.verdict,
        ))  # fmt: skip
    return rows
