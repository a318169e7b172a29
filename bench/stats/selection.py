"""What selecting the best evaluations does to a success rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.cells import shrunk, widening
from bench.stats.intervals import Bools, Counts, Estimate, Floats, normal_quantile, score_ends

_LEAST = 0.5
"""How much of p (1 - p) at the mean of what is drawn counts at least as that of the value.

Rates that are drawn from are never 0 or 1. Where measured ones are, p (1 - p) of the value vanishes beside the variance
of the draws: an interval scaled by it would be wide, and as wide with more data. The whole of it would cover too seldom
with few episodes: 92 % for one task, 20 episodes, success near 90 %.
"""


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
    give again, not about success. Its standard error is that of new episodes, drawn at rates that are closer together
    than measured ones: their variance is what is left without the noise of episodes. The interval has the form of
    Wilson's and is widened as trainings of a task differ (`bench.stats.cells.widening`).

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
    value = float((np.bincount(task, values) / trainings).mean())  # by weights it could miss 1 by a rounding
    drawn = np.random.default_rng(seed).binomial(n, _without_noise(k, n), (reps, *k.shape)) / n
    again = _top_means(drawn, best)  # [reps, C]
    variance = np.asarray(again.var(axis=0))
    q2, _ = widening(*_by_task(task, trainings, values, variance), confidence)
    middle = float(weight @ again.mean(axis=0))
    chance, least = value * (1 - value), _LEAST * middle * (1 - middle)
    if chance < least:  # trainings agree for lack of room: that says nothing about how they vary
        chance, q2 = least, np.maximum(q2, normal_quantile(confidence) ** 2)
    c = float(np.square(weight) @ variance) / chance if chance > 0 else 0.0
    low, high = score_ends(value, c, 0.0, q2)
    return Estimate(value, float(low), float(high))


def _top_means(rates: Floats, best: int) -> Floats:
    """Means of the ``best`` highest along the last axis."""
    return np.asarray(np.sort(rates, axis=-1)[..., -best:].mean(axis=-1))


def _without_noise(k: Counts, n: Counts) -> Floats:
    """Success ``[C, P]`` of evaluations, drawn together to the variance that is left without that of their episodes.

    How much is left is pooled over trainings; half a success and half a failure are added, so that none is 0 or 1.
    """
    rate = (k + 0.5) / (n + 1)
    centre = rate.mean(axis=1, keepdims=True)
    if rate.shape[1] < 2:
        return np.asarray(rate)
    noise = float((rate * (1 - rate) / np.maximum(n - 1, 1)).mean())
    observed = float(rate.var(axis=1, ddof=1).mean())
    return shrunk(rate, centre, noise, observed)


def _by_task(task: Counts, trainings: Counts, values: Floats, variance: Floats) -> tuple[Floats, Floats, Floats, Bools]:
    """Values, variances (twice: as estimated and as expected) and which there are, ``[M, S]``."""
    order = np.argsort(task, kind="stable")
    column = np.arange(len(task)) - np.repeat(trainings.cumsum() - trainings, trainings)
    tables = np.zeros((3, len(trainings), trainings.max()))
    for table, filled in zip(tables, (values, variance, np.ones(len(task))), strict=True):
        table[task[order], column] = filled[order]
    return tables[0], tables[1], tables[1], tables[2] > 0
