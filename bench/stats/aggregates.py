"""Success over many tasks: mean, interquartile mean, optimality gap, performance profile.

Scores are success rates ``[M, S]`` of M tasks and S training seeds; counts have the same shape, 0 episodes where a task
lacks a training seed. Everything random is seeded: the same counts give the same intervals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.bootstrap import Cells, seed_variances, student_quantile
from bench.stats.intervals import Estimate, Floats


def mean_success(successes: npt.ArrayLike, episodes: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Unweighted mean over tasks of the mean over training seeds, with a score interval.

    It is Wilson's interval, and equal to it for one checkpoint on one task, carried over to cells (task, training seed)
    whose success differs. A true mean p is inside if the measured mean is no further from it than q standard errors,
    with the variance

        c (p (1 - p) - d) + v        c = sum of w^2 / n over the cells, w their weights in the mean

    d, by which cells that differ vary less than p (1 - p), is taken from the data (with one success and one failure
    added, so that cells that always or never succeed do not count as certain); v is the variance due to training seeds,
    that between seeds less that of their episodes, pooled over tasks; q is Student's as far as v counts
    (`bench.stats.bootstrap.student_quantile`). Unlike a bootstrap it has no trouble near 0 and 1 and draws nothing.

    Args:
        successes: ``[M, S]`` counts.
        episodes: ``[M, S]`` counts; 0 where a task lacks a training seed.

    Raises:
        ValueError: if the counts do not fit each other or a task has no episode.
    """
    cells = Cells.of(successes, episodes)
    weight = cells.used / (len(cells.n) * cells.seeds[:, None])  # [M, S], sums to 1
    share = np.square(weight) / np.maximum(cells.n, 1)
    c, chance = float(share.sum()), cells.chance
    within = float((share * chance * (1 - chance)).sum()) / c
    mean = float((weight * cells.rate).sum())
    d = max(0.0, mean * (1 - mean) - within)
    _, between = seed_variances(cells.rate, cells.variance(), cells.seeds)
    v = between * float((1.0 / cells.seeds).sum()) / len(cells.n) ** 2
    q2 = student_quantile(c * within, v, int((cells.seeds - 1).sum()), confidence) ** 2
    centre, square = mean + q2 * c / 2, mean**2 + q2 * (c * d - v)  # the ends solve a quadratic equation in p
    root = float(np.sqrt(max(0.0, centre**2 - (1 + q2 * c) * square)))
    low, high = ((centre + sign * root) / (1 + q2 * c) for sign in (-1, 1))
    return Estimate(mean, max(0.0, low), min(1.0, high))


def iqm_success(
    successes: npt.ArrayLike, episodes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Interquartile mean of the success rates of all cells (task, training seed), with an interval.

    It is about rates measured in n episodes: with few episodes near 0 or 1 these are skewed, and so is their
    interquartile mean. The interval has the standard error of the hierarchical bootstrap, as its percentiles carry that
    skew twice.

    Args and errors as in `mean_success`.
    """
    cells = Cells.of(successes, episodes)
    value = iqm(cells.rate[cells.used])
    samples = stats.trim_mean(cells.resampled_rates(reps, seed)[:, cells.used], 0.25, axis=1)  # [R]
    _, between = seed_variances(cells.rate, cells.variance(), cells.seeds)
    noise = float((cells.variance().sum(axis=1) / cells.seeds).mean())
    half = student_quantile(noise, between, int((cells.seeds - 1).sum()), confidence) * float(np.std(samples))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


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
