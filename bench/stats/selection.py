"""What selecting the best evaluations does to a success rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.intervals import Counts, Estimate, Floats, normal_quantile


class TopMean(NamedTuple):
    """Mean of the best of several evaluations of a policy whose true success never changes."""

    expected: float
    bias: float  # expected less true success


def paper_top5(p: float, *, episodes: int = 20, evaluations: int = 15, best: int = 5) -> TopMean:
    """Expected mean of the ``best`` highest of ``evaluations`` success rates, each over ``episodes`` at success ``p``.

    Published success rates of DP3 and its students are such means: 15 evaluations during a training, 20 episodes each.
    Exact, by the order statistics of Binomial(episodes, p): the r-th lowest of m exceeds x if fewer than r are <= x.

    Raises:
        ValueError: unless 0 <= p <= 1 and 1 <= best <= evaluations.
    """
    if not 0 <= p <= 1 or not 1 <= best <= evaluations:
        raise ValueError(f"need 0 <= p <= 1 and 1 <= best <= evaluations, got {p}, {best} of {evaluations}")
    below = stats.binom.cdf(np.arange(episodes), episodes, p)  # P(one evaluation <= x), x = 0 ... episodes - 1
    ranks = np.arange(evaluations - best + 1, evaluations + 1)[:, None]
    above = np.asarray(stats.binom.cdf(ranks - 1, evaluations, below))  # [best, episodes]: P(that rank > x)
    expected = float(above.sum() / (best * episodes))
    return TopMean(expected, expected - p)


def best_evaluations(
    successes: npt.ArrayLike,
    episodes: npt.ArrayLike,
    tasks: npt.ArrayLike,
    *,
    best: int = 5,
    reps: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the ``best`` highest evaluations of each training, then over the trainings of a task, then over tasks.

    The value is biased upward as a success rate (`paper_top5`); the interval is about what the same selection would
    give again, not about success. It is the normal one with the standard error of new episodes (drawn at the measured
    rates, with half a success and half a failure added, so that 0 and 1 have a spread) or, where that is wider and
    tasks have several trainings, Student's with the spread among trainings, pooled over tasks.

    Args:
        successes: ``[C, P]`` of C trainings with P evaluations each.
        episodes: ``[C, P]`` counts.
        tasks: ``[C]`` which task each training is of.

    Raises:
        ValueError: if the shapes do not fit, counts are impossible, or there are fewer than ``best`` evaluations.
    """
    k, n = np.asarray(successes, np.int64), np.asarray(episodes, np.int64)
    _, task, trainings = np.unique(np.asarray(tasks), return_inverse=True, return_counts=True)
    if k.ndim != 2 or k.shape != n.shape or len(task) != len(k) or not k.size:
        raise ValueError(f"need counts [C, P] of C trainings, got {k.shape}, {n.shape} and {len(task)} tasks")
    if not 1 <= best <= k.shape[1] or (n < 1).any() or (k < 0).any() or (k > n).any():
        raise ValueError(f"need 0 <= successes <= episodes and 1 <= best <= evaluations, got {best} of {k.shape[1]}")
    weight = 1.0 / (trainings[task] * len(trainings))  # [C], sums to 1
    values = _top_means(k / n, best)
    value = float(weight @ values)
    drawn = np.random.default_rng(seed).binomial(n, (k + 0.5) / (n + 1), (reps, *k.shape)) / n
    half = normal_quantile(confidence) * float(np.std(_top_means(drawn, best) @ weight))
    if freedom := len(task) - len(trainings):
        half = max(half, _student_half(values, task, trainings, freedom, confidence))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _top_means(rates: Floats, best: int) -> Floats:
    """Means of the ``best`` highest along the last axis."""
    return np.asarray(np.sort(rates, axis=-1)[..., -best:].mean(axis=-1))


def _student_half(values: Floats, task: Counts, trainings: Counts, freedom: int, confidence: float) -> float:
    """Half the width of the interval of a mean over tasks, from the spread of the trainings within them."""
    centre = np.bincount(task, values) / trainings
    variance = float(np.square(values - centre[task]).sum()) / freedom
    error = np.sqrt(variance * (1.0 / trainings).sum()) / len(trainings)
    return float(stats.t.ppf(0.5 + confidence / 2.0, freedom) * error)
