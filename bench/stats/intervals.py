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


def score_ends(value: npt.ArrayLike, c: npt.ArrayLike, d: npt.ArrayLike, q2: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Ends of a score interval: the p in [0, 1] with (value - p)^2 <= q2 c (p (1 - p) - d).

    With c = 1/n, d = 0 and q2 the squared normal quantile it is Wilson's.
    """
    mean, off, reach = np.asarray(value, np.float64), np.asarray(d, np.float64), np.multiply(q2, c, dtype=np.float64)
    centre, square = mean + reach / 2, np.square(mean) + reach * off
    root = np.sqrt(np.maximum(0.0, np.square(centre) - (1 + reach) * square))
    low, high = ((centre + sign * root) / (1 + reach) for sign in (-1, 1))
    return np.asarray(np.clip(low, 0.0, mean)), np.asarray(np.clip(high, mean, 1.0))


def normal_quantile(confidence: float) -> float:
    """Half the width, in standard errors, of a two-sided normal interval."""
    return float(special.ndtri(0.5 + confidence / 2.0))


def percentile_interval(samples: npt.ArrayLike, confidence: float) -> tuple[float, float]:
    """Ends that leave equal shares of ``samples`` outside."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.asarray(samples, np.float64), [tail, 1.0 - tail])
    return float(low), float(high)
