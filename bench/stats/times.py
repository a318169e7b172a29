"""Times: the ratio of two latencies, and how many steps success takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.intervals import Counts, Estimate, Floats, percentile_interval

_DRAWS_AT_ONCE = 2**22


class SuccessTimes(NamedTuple):
    """When episodes succeed: an empirical CDF that ends at the success rate, as failures never do."""

    steps: Floats  # [T] increasing, the steps at which any episode succeeded
    share: Floats  # [T] of all episodes, failures included, that had succeeded by then
    median: Estimate  # the step by which half of all episodes had succeeded; infinite where that never was


class RunRatio(NamedTuple):
    """How times of two runs relate."""

    ratio: Estimate  # new over base, 95 % interval
    p: float  # two-sided Mann-Whitney: both runs are alike


def time_to_success(steps: npt.ArrayLike, *, confidence: float = 0.95) -> SuccessTimes:
    """Empirical CDF of the steps to success, and its median with the percentile bootstrap interval.

    The bootstrap is the exact one (Efron 1979), without drawing: of n resampled episodes at least ceil(n/2) lie among
    the i fastest with a binomial probability. Ends are episodes, the next ones outwards. Failures count, as otherwise a
    policy would look faster for failing where it is slow.

    Args:
        steps: ``[N]`` step of the first success of each episode, NaN or infinite where it failed.

    Raises:
        ValueError: if there is no episode.
    """
    times = np.asarray(steps, np.float64)
    if times.ndim != 1 or not times.size:
        raise ValueError(f"need steps [N] of at least one episode, got {times.shape}")
    ordered = np.sort(np.where(np.isnan(times), np.inf, times))
    n, half = len(ordered), -(-len(ordered) // 2)
    by_then = stats.binom.sf(half - 1, n, np.arange(1, n + 1) / n)  # P(resampled median <= i-th fastest)
    tail = (1.0 - confidence) / 2.0
    first, last = np.searchsorted(by_then, [tail, 1.0 - tail])
    low, high = ordered[max(first - 1, 0)], ordered[last]
    solved = ordered[np.isfinite(ordered)]
    at, count = np.unique(solved, return_counts=True)
    return SuccessTimes(at, count.cumsum() / n, Estimate(float(ordered[half - 1]), float(low), float(high)))


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
    is slower than a block hits both sides of the ratio. Blocks are drawn whole: the spread of their calls is in them.

    Args:
        numerator: ``[blocks, calls]`` times, at least 2 blocks.
        denominator: ``[blocks, calls]`` times measured in between; the number of calls may differ.

    Raises:
        ValueError: if the numbers of blocks differ, there are fewer than 2, or blocks are empty or of unequal length.
    """
    a, b = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or len(a) < 2 or a.size == 0 or b.size == 0:
        raise ValueError(f"need times [blocks, calls] with the same number (>= 2) of blocks, got {a.shape}, {b.shape}")
    blocks = np.random.default_rng(seed).integers(len(a), size=(reps, len(a)))
    ratios = _resampled_medians(a, blocks) / _resampled_medians(b, blocks)
    low, high = percentile_interval(ratios, confidence)
    return Estimate(float(np.median(a) / np.median(b)), low, high)


def ratio_between_runs(new: Sequence[npt.ArrayLike], base: Sequence[npt.ArrayLike]) -> RunRatio:
    """Ratio of times that were measured in two runs, from the medians of their blocks.

    Nothing ties a block of one run to a block of the other, so the interval is Welch's on the logarithms of the block
    medians, mean over the timings, and the test is Mann-Whitney's for each timing; the largest p counts, so all of them
    must differ. Neither sees what differs from run to run but not from block to block.

    Args:
        new: ``[blocks]`` medians of each timing (a task, say), 2 or more blocks each.
        base: the same timings in the other run; the numbers of blocks may differ.

    Raises:
        ValueError: if there is no timing, their numbers differ, or one has fewer than 2 blocks.
    """
    sides = [[np.log(np.asarray(blocks, np.float64)) for blocks in run] for run in (new, base)]
    if not sides[0] or len(sides[0]) != len(sides[1]) or any(x.ndim != 1 or x.size < 2 for s in sides for x in s):
        raise ValueError("need [blocks] medians (2 or more) of the same timings on both sides")
    ratio = float(np.mean([a.mean() - b.mean() for a, b in zip(*sides, strict=True)]))
    parts = np.array([[x.var(ddof=1) / x.size, x.size - 1] for side in sides for x in side])
    variance = parts[:, 0].sum()
    freedom = variance**2 / (parts[:, 0] ** 2 / parts[:, 1]).sum() if variance > 0 else 1.0
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance)) / len(sides[0])
    p = max(float(stats.mannwhitneyu(a, b).pvalue) for a, b in zip(*sides, strict=True))
    return RunRatio(Estimate(float(np.exp(ratio)), float(np.exp(ratio - half)), float(np.exp(ratio + half))), p)


def _resampled_medians(times: Floats, blocks: Counts) -> Floats:
    """Medians ``[R]`` of all calls in the blocks ``[R, blocks]``; by parts, to bound the memory."""
    parts = np.array_split(blocks, max(1, blocks.size * times.shape[1] // _DRAWS_AT_ONCE))
    return np.concatenate([np.median(times[part].reshape(len(part), -1), axis=1) for part in parts])
