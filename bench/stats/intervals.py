"""Intervals for one share of successes, and what all estimators of this package return."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A point estimate and the ends of its interval."""

    value: float
    low: float
    high: float


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


def jeffreys(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """Success k/n with the equal-tailed interval of its posterior Beta(k + 1/2, n - k + 1/2).

    The ends are 0 at k = 0 and 1 at k = n (Brown, Cai and DasGupta 2001); for violins draw from the same Beta.

    Raises:
        ValueError: unless 0 <= k <= n and n >= 1.
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"need 0 <= k <= n and n >= 1, got k={k}, n={n}")
    tail = (1.0 - confidence) / 2.0
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    low, high = float(posterior.ppf(tail)), float(posterior.ppf(1.0 - tail))
    return Estimate(k / n, 0.0 if k == 0 else low, 1.0 if k == n else high)


def wilson_ends(successes: npt.ArrayLike, episodes: npt.ArrayLike, confidence: float) -> tuple[Floats, Floats]:
    """Ends of the Wilson intervals of many shares at once."""
    k, n = np.asarray(successes, np.float64), np.asarray(episodes, np.float64)
    z = normal_quantile(confidence)
    centre = (k + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(k * (n - k) / n + z**2 / 4) / (n + z**2)
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def normal_quantile(confidence: float) -> float:
    """Half the width, in standard errors, of a two-sided normal interval."""
    return float(special.ndtri(0.5 + confidence / 2.0))


def percentile_interval(samples: npt.ArrayLike, confidence: float) -> tuple[float, float]:
    """Ends that leave equal shares of ``samples`` outside."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.asarray(samples, np.float64), [tail, 1.0 - tail])
    return float(low), float(high)
