"""Intervals and tests for success counts and latencies: pure functions on documented arrays.

Success counts are ``[M, S]``: M tasks, S training seeds; a training seed that a task lacks has 0 episodes.
Everything random is seeded, so the same records give the same intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_DRAWS_AT_ONCE = 2**22


class Estimate(NamedTuple):
    """A point estimate and the ends of its interval."""

    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """Outcome of two policies on the same N episodes."""

    n: int
    only_first: int  # episodes that the first alone solved
    only_second: int
    difference: float  # success of the first minus success of the second
    p: float | None  # two-sided exact McNemar; None where the outcomes are identical and there is nothing to test


def wilson(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """Success k/n of one checkpoint on one task, with the score interval (Wilson 1927).

    Raises:
        ValueError: unless 0 <= k <= n and n >= 1.
    """
    interval = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Estimate(k / n, float(interval.low), float(interval.high))


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """Success k/n with the exact interval (Clopper and Pearson 1934): never below its nominal coverage, so wider.

    Raises:
        ValueError: unless 0 <= k <= n and n >= 1.
    """
    interval = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    return Estimate(k / n, float(interval.low), float(interval.high))


def mean_success(
    successes: npt.ArrayLike, episodes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Unweighted mean over tasks of the mean over training seeds, with a hierarchical bootstrap interval.

    Stratified by task: every resample keeps all M tasks, draws S training seeds of each with replacement, then the
    episodes of each drawn seed. Outcomes are 0 or 1, so resampling n episodes of which k succeeded is a binomial draw.
    One checkpoint on one task gets its Wilson interval, and so do, on pooled counts, outcomes that are all alike.

    A task whose outcomes are all alike has no spread to resample. The interval is therefore widened, where that is
    wider, to the square-and-add combination of the tasks' Wilson intervals (Newcombe 1998, extended to a mean): by
    simulation it then covers at least its nominal share, at most 5 points more.

    Args:
        successes: ``[M, S]`` counts.
        episodes: ``[M, S]`` counts; 0 where a task lacks a training seed.

    Raises:
        ValueError: if the shapes differ or a task has no episode.
    """
    k, n = np.atleast_2d(np.asarray(successes, np.int64)), np.atleast_2d(np.asarray(episodes, np.int64))
    if k.shape != n.shape or n.size == 0 or not (n > 0).any(axis=1).all():
        raise ValueError(f"need counts [M, S] with episodes for every task, got {k.shape} and {n.shape}")
    total_k, total_n = int(k.sum()), int(n.sum())
    if total_k in (0, total_n) or np.count_nonzero(n) == 1:
        return wilson(total_k, total_n, confidence)

    present_first = np.argsort(n == 0, axis=1, kind="stable")
    k, n = np.take_along_axis(k, present_first, axis=1), np.take_along_axis(n, present_first, axis=1)
    seeds = np.count_nonzero(n, axis=1)[:, None]  # [M, 1]
    rate = k / np.maximum(n, 1)
    used = np.arange(n.shape[1]) < seeds  # [M, S]

    rng = np.random.default_rng(seed)
    drawn = np.floor(rng.random((reps, *n.shape)) * seeds).astype(np.int64)  # [R, M, S]
    task = np.arange(len(n))[None, :, None]
    drawn_n = n[task, drawn]
    drawn_rate = rng.binomial(drawn_n, rate[task, drawn]) / drawn_n
    means = ((drawn_rate * used).sum(axis=2) / seeds[:, 0]).mean(axis=1)  # [R]
    low, high = _percentile_interval(means, confidence)
    below, above = _square_and_add(k.sum(axis=1), n.sum(axis=1), confidence)
    mean = float((rate.sum(axis=1) / seeds[:, 0]).mean())
    return Estimate(mean, min(low, mean - below), max(high, mean + above))


def _square_and_add(k: Counts, n: Counts, confidence: float) -> tuple[float, float]:
    """Distances from the mean of proportions k/n ``[M]`` to the ends of its interval, from their Wilson intervals."""
    parts = [wilson(int(successes), int(episodes), confidence) for successes, episodes in zip(k, n, strict=True)]
    below, above = np.array([(p.value - p.low, p.high - p.value) for p in parts]).T
    return float(np.hypot.reduce(below) / len(k)), float(np.hypot.reduce(above) / len(k))


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> Paired:
    """Exact McNemar test on matched episodes: only those that one policy solved and the other did not count.

    Args:
        first: ``[N]`` outcomes of the first policy, true where it succeeded.
        second: ``[N]`` outcomes of the second on the same episodes, in the same order.

    Raises:
        ValueError: if the lengths differ or there is no episode.
    """
    a, b = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"need two outcomes for each of N episodes, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p = float(stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else None
    return Paired(a.size, only_a, only_b, (only_a - only_b) / a.size, p)


def iqm(scores: npt.ArrayLike) -> float:
    """Interquartile mean of all scores (any shape): the mean without the lowest and highest quarter (Agarwal 2021)."""
    return float(stats.trim_mean(np.asarray(scores, np.float64).ravel(), 0.25))


def ratio_of_medians(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    *,
    reps: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Ratio of two medians measured in interleaved blocks, with a block bootstrap interval.

    Block i of one side was measured next to block i of the other, so both are drawn together: drift of the machine that
    is slower than a block hits both sides of the ratio. Calls are drawn again within the drawn blocks, because with few
    blocks their spread alone understates the error.

    Args:
        numerator: ``[blocks, calls]`` times, at least 2 blocks.
        denominator: ``[blocks, calls]`` times measured in between; the number of calls may differ.

    Raises:
        ValueError: if the numbers of blocks differ, there are fewer than 2, or blocks are empty or of unequal length.
    """
    a, b = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or len(a) < 2 or a.size == 0 or b.size == 0:
        raise ValueError(f"need times [blocks, calls] with the same number (>= 2) of blocks, got {a.shape}, {b.shape}")
    rng = np.random.default_rng(seed)
    blocks = rng.integers(len(a), size=(reps, len(a)))
    ratios = _resampled_medians(a, blocks, rng) / _resampled_medians(b, blocks, rng)
    low, high = _percentile_interval(ratios, confidence)
    return Estimate(float(np.median(a) / np.median(b)), low, high)


def _resampled_medians(times: Floats, blocks: Counts, rng: np.random.Generator) -> Floats:
    """Medians ``[R]`` of the blocks ``[R, blocks]``, calls resampled within each; by parts, to bound the memory."""
    medians = []
    for part in np.array_split(blocks, max(1, blocks.size * times.shape[1] // _DRAWS_AT_ONCE)):
        calls = rng.integers(times.shape[1], size=(*part.shape, times.shape[1]))
        drawn = times[part[:, :, None], calls]
        medians.append(np.median(drawn.reshape(len(part), -1), axis=1))
    return np.concatenate(medians)


def _percentile_interval(samples: Floats, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return float(low), float(high)
