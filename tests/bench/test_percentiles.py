"""Percentiles: only where there are calls enough, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.percentiles import LEAST_N, midpoint_quantiles, missed, percentiles


@pytest.mark.parametrize(("name", "least"), [("p90", 64), ("p97", 219), ("p99", 662)])
def test_a_percentile_needs_its_least_number_of_calls(name: str, least: int) -> None:
    times = np.random.default_rng(0).exponential(size=least)
    assert percentiles(times)[name] == pytest.approx(np.quantile(times, int(name[1:]) / 100))
    assert percentiles(times[1:])[name] is None
    assert percentiles(times[1:])[f"{name}_ci"] is None
    # The rule: with so many calls one of them may lie above the percentile and it still holds with 99 % confidence.
    share = int(name[1:]) / 100
    assert stats.binom.cdf(1, least, 1 - share) <= 0.01 < stats.binom.cdf(1, least - 1, 1 - share)


def test_an_end_without_an_order_statistic_is_null() -> None:
    low, high = percentiles(np.arange(220.0))["p97_ci"]
    assert low is not None
    low, high = percentiles(np.arange(3.0))["p50_ci"]
    assert (low, high) == (None, None)
    assert LEAST_N["p50"] == 1
    assert percentiles(np.ones(1))["p50"] == 1.0


@pytest.mark.parametrize("name", ["p50", "p90"])
def test_intervals_cover(name: str) -> None:
    rng = np.random.default_rng(1)
    truth = stats.lognorm.ppf(int(name[1:]) / 100, 1)
    intervals = [percentiles(rng.lognormal(size=100))[f"{name}_ci"] for _ in range(400)]
    assert np.mean([low <= truth <= high for low, high in intervals]) > 0.93


def test_quantiles_stand_for_the_calls() -> None:
    times = np.random.default_rng(2).lognormal(size=5000)
    found = midpoint_quantiles(times)
    assert len(found) == 100
    assert np.mean(found) == pytest.approx(times.mean(), rel=0.03)
    assert midpoint_quantiles(np.array([3.0])) == [3.0] * 100


def test_calls_that_miss_a_deadline() -> None:
    assert missed(np.array([19.0, 20.0, 21.0, 60.0]), hz=50) == 0.5
