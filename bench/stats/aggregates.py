"""Success over many tasks: mean, interquartile mean, optimality gap, performance profile.

Scores are success rates ``[M, S]`` of M tasks and S training seeds; counts have the same shape, 0 episodes where a task
lacks a training seed. Everything random is seeded: the same counts give the same intervals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.bootstrap import Cells
from bench.stats.intervals import Estimate, Floats, normal_quantile, percentile_interval, wilson, wilson_ends


def mean_success(
    successes: npt.ArrayLike, episodes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Unweighted mean over tasks of the mean over training seeds, with a hierarchical bootstrap interval.

    One checkpoint on one task gets its Wilson interval, and so do, on pooled counts, outcomes that are all alike.

    A task whose outcomes are all alike has no spread to resample. The interval is therefore widened, where that is
    wider, to the square-and-add combination of the tasks' Wilson intervals (Newcombe 1998, extended to a mean): with
    tasks near 0 or 1 it then covers up to 4 points more than its nominal share.

    Args:
        successes: ``[M, S]`` counts.
        episodes: ``[M, S]`` counts; 0 where a task lacks a training seed.

    Raises:
        ValueError: if the counts do not fit each other or a task has no episode.
    """
    cells = Cells.of(successes, episodes)
    if (pooled := _pooled(cells, confidence)) is not None:
        return pooled
    rates = cells.resampled_rates(reps, seed)
    means = ((rates * cells.used).sum(axis=2) / cells.seeds).mean(axis=1)  # [R]
    low, high = percentile_interval(means, confidence)
    mean = float((cells.rate.sum(axis=1) / cells.seeds).mean())
    below, above = _square_and_add(cells, confidence)
    return Estimate(mean, min(low, mean - below), max(high, mean + above))


def iqm_success(
    successes: npt.ArrayLike, episodes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Interquartile mean of the success rates of all cells (task, training seed), with an interval.

    It is about rates measured in n episodes: with few episodes near 0 or 1 these are skewed, and so is their
    interquartile mean. The interval is the normal one with the standard error of the bootstrap, as its percentiles
    carry that skew twice; like that of the mean it is widened to what square-and-add gives.

    Args and errors as in `mean_success`.
    """
    cells = Cells.of(successes, episodes)
    if (pooled := _pooled(cells, confidence)) is not None:
        return pooled
    value = iqm(cells.rate[cells.used])
    samples = stats.trim_mean(cells.resampled_rates(reps, seed)[:, cells.used], 0.25, axis=1)  # [R]
    half = normal_quantile(confidence) * float(np.std(samples))
    below, above = _square_and_add(cells, confidence)
    return Estimate(value, max(0.0, value - max(half, below)), min(1.0, value + max(half, above)))


def iqm(scores: npt.ArrayLike) -> float:
    """Interquartile mean of all scores (any shape): the mean without the lowest and highest quarter (Agarwal 2021)."""
    return float(stats.trim_mean(np.asarray(scores, np.float64).ravel(), 0.25))


def optimality_gap(scores: npt.ArrayLike, target: float = 1.0) -> float:
    """How far scores (any shape) stay below ``target`` on average; what exceeds it does not make up (Agarwal 2021)."""
    return float(target - np.minimum(np.asarray(scores, np.float64), target).mean())


def performance_profile(scores: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Share ``[T]`` of all scores (any shape) above each of the thresholds ``[T]`` (Agarwal 2021)."""
    ordered, limits = np.sort(np.asarray(scores, np.float64), axis=None), np.asarray(thresholds, np.float64)
    if not ordered.size:
        raise ValueError("need at least one score")
    return np.asarray(1.0 - np.searchsorted(ordered, limits, side="right") / ordered.size)


def _pooled(cells: Cells, confidence: float) -> Estimate | None:
    """The Wilson interval on pooled counts where there is nothing to resample: one cell, or outcomes all alike."""
    k, n = int(cells.k.sum()), int(cells.n.sum())
    return wilson(k, n, confidence) if k in (0, n) or cells.seeds.sum() == 1 else None


def _square_and_add(cells: Cells, confidence: float) -> tuple[float, float]:
    """Distances from the mean over tasks to the ends of its interval, from the tasks' Wilson intervals."""
    k, n = cells.k.sum(axis=1), cells.n.sum(axis=1)
    low, high = wilson_ends(k, n, confidence)
    return float(np.hypot.reduce(k / n - low) / len(k)), float(np.hypot.reduce(high - k / n) / len(k))
