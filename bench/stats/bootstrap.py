"""The hierarchical bootstrap: training seeds within each task, then the episodes of each drawn seed.

Stratified by task: the tasks of a suite are the suite, no sample of one, so every resample keeps them all.
"""

from __future__ import annotations

import math

import numpy as np

from bench.stats.intervals import Counts, Floats


def draw_seeds(rng: np.random.Generator, shape: tuple[int, ...]) -> Counts:
    """Indices ``shape`` = ``[..., M, S]`` of training seeds, drawn with replacement among the S that each task has."""
    return np.floor(rng.random(shape) * shape[-1]).astype(np.int64)


def seed_scale(value: Floats, variance: Floats) -> float:
    """Factor that gives resampled seed deviations the variance between training seeds.

    Args:
        value: ``[M, S]`` estimates per cell; every task has all S training seeds.
        variance: ``[M, S]`` variance of each due to its episodes.
    """
    tasks, seeds = value.shape
    observed, between = seed_variances(value, variance, np.full(tasks, seeds))
    share = between / observed if observed > 0 else 0.0
    return math.sqrt(share * seeds / max(seeds - 1, 1))


def seed_variances(value: Floats, variance: Floats, seeds: Counts) -> tuple[float, float]:
    """Variance among the seeds of a task: as observed, and less that of the episodes (method of moments).

    Both are means over the tasks with two or more seeds, and 0 where there is none.

    Args:
        value: ``[M, S]`` estimates per cell, 0 where a seed is missing.
        variance: ``[M, S]`` variance of each due to its episodes, 0 where a seed is missing.
        seeds: ``[M]`` training seeds per task.
    """
    many = seeds > 1
    if not many.any():
        return 0.0, 0.0
    used = np.arange(value.shape[1]) < seeds[:, None]
    deviation = np.where(used, value - (value.sum(axis=1) / seeds)[:, None], 0.0)
    observed = float((np.square(deviation).sum(axis=1)[many] / (seeds[many] - 1)).mean())
    episodes = float((np.where(used, variance, 0.0).sum(axis=1)[many] / seeds[many]).mean())
    return observed, max(0.0, observed - episodes)
