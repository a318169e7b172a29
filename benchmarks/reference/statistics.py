"""Probability of improvement as it is commonly computed: one Mann-Whitney test per task and resample."""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu

from bench.stats import Estimate


def probability_of_improvement(first: np.ndarray, second: np.ndarray, reps: int, seed: int = 0) -> Estimate:
    """The same bootstrap as `bench.stats.probability_of_improvement`, without its scaling. Scores are ``[M, S]``."""
    rng = np.random.default_rng(seed)

    def value(a: np.ndarray, b: np.ndarray) -> float:
        tests = (mannwhitneyu(x, y, alternative="greater", use_continuity=False) for x, y in zip(a, b, strict=True))
        return float(np.mean([test.statistic / (a.shape[1] * b.shape[1]) for test in tests]))

    def resampled(scores: np.ndarray) -> np.ndarray:
        return np.take_along_axis(scores, rng.integers(scores.shape[1], size=scores.shape), axis=1)

    samples = [value(resampled(first), resampled(second)) for _ in range(reps)]
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(value(first, second), float(low), float(high))
