"""Many tests at once: adjusted p-values, to be compared with the level that a single test would have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.intervals import Floats


def holm(p: npt.ArrayLike) -> Floats:
    """Holm-adjusted p-values ``[K]``: for claims. The chance of any false one stays below the level (Holm 1979)."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values ``[K]``: for exploration. They limit the share of false ones among those found (1995)."""
    values = np.asarray(p, np.float64)
    return np.asarray(stats.false_discovery_control(values)) if values.size else values
