"""Success over many tasks: mean, interquartile mean, optimality gap, performance profile.

Scores are success rates ``[M, S]`` of M tasks and S training seeds; counts have the same shape, 0 episodes where a task
lacks a training seed. Everything random is seeded: the same counts give the same intervals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.cells import Cells, shrunk, widening, without_bias
from bench.stats.intervals import Estimate, Floats, score_ends


def mean_success(successes: npt.ArrayLike, episodes: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Unweighted mean over tasks of the mean over training seeds, with a score interval.

    It is Wilson's interval, and equal to it for one checkpoint on one task, carried over to cells (task, training seed)
    whose success differs. A true mean p is inside if the measured mean is no further from it than q standard errors,
    with the variance

        c (p (1 - p) - d)       c = sum of w^2 / n over the cells, w their weights in the mean

    d, by which cells that differ vary less than p (1 - p), is taken from the data (with one success and one failure
    added, so that cells that always or never succeed do not count as certain); q grows as trainings differ
    (`bench.stats.cells.widening`). Unlike a bootstrap it has no trouble near 0 and 1 and draws nothing.

    Args:
        successes: ``[M, S]`` counts.
        episodes: ``[M, S]`` counts; 0 where a task lacks a training seed.

    Raises:
        ValueError: if the counts do not fit each other or a task has no episode.
    """
    mean, low, high = mean_ends(Cells.of(successes, episodes), confidence)
    return Estimate(float(mean), float(low), float(high))


def mean_ends(cells: Cells, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Value and ends ``[...]`` of `mean_success` for cells ``[..., M, S]``."""
    mean = np.asarray((cells.weight * cells.rate).sum(axis=(-2, -1)))
    c, within = _within(cells)
    q2, _ = widening(cells.rate, cells.variance, cells.spread / np.maximum(cells.n, 1), cells.used, confidence)
    return mean, *score_ends(mean, c, np.maximum(0.0, mean * (1 - mean) - within), q2)


def iqm_success(
    successes: npt.ArrayLike, episodes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Interquartile mean of the success rates of all cells (task, training seed), with an interval.

    It is about rates measured in n episodes: with few episodes near 0 or 1 these are skewed, and so is their
    interquartile mean. The standard error is that of a parametric bootstrap. Measured rates of tasks spread further
    than true ones, so they are drawn together until their variance is what is left without the noise of episodes
    (else each resample would trim others than a new measurement does); the noise is scaled as trainings differ. The
    interval has the form of `mean_success`, wider towards 1/2.

    Args and errors as in `mean_success`.
    """
    cells = Cells.of(successes, episodes)
    n, used = cells.n[cells.used], cells.used
    value = iqm(cells.rate[used])
    episode_variance = cells.spread / np.maximum(cells.n, 1)
    q2, factor = widening(cells.rate, cells.variance, episode_variance, used, confidence)
    factor = np.maximum(factor, 0.25)
    drawn = np.repeat(_without_noise(cells, episode_variance * factor), used.sum(axis=1))  # [K] of K cells
    noise = np.random.default_rng(seed).binomial(n, drawn, (reps, len(n))) / n - drawn
    samples = stats.trim_mean(drawn + np.sqrt(factor * without_bias(n)) * noise, 0.25, axis=1)
    _, within = _within(cells)
    c = np.var(samples) / (factor * within)
    low, high = score_ends(value, c, max(0.0, value * (1 - value) - float(within)), q2)
    return Estimate(value, float(low), float(high))


def _within(cells: Cells) -> tuple[float, Floats]:
    """The variance of the mean per variance of an episode, and the latter ``[...]`` as it is within cells."""
    share = np.square(cells.weight) / np.maximum(cells.n, 1)
    c = float(share.sum())
    return c, np.asarray((share * cells.spread).sum(axis=(-2, -1)) / c)


def _without_noise(cells: Cells, variance: Floats) -> Floats:
    """Success ``[M]`` of tasks, drawn together to the variance that is left without that of their cells."""
    seeds = cells.used.sum(axis=1)
    rate = (cells.chance * cells.used).sum(axis=1) / seeds
    noise = float(((variance * cells.used).sum(axis=1) / np.square(seeds)).mean())
    observed = float(rate.var(ddof=1)) if len(rate) > 1 else 0.0
    return shrunk(rate, rate.mean(), noise, observed)


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
