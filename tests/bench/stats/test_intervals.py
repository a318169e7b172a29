"""Intervals of one share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import boschloo, clopper_pearson, jeffreys, wilson


@pytest.mark.parametrize(("n", "points"), [(20, 16.8), (50, 10.9), (60, 10.0), (100, 7.8), (200, 5.5), (500, 3.5)])
def test_wilson_half_widths_at_80_percent(n: int, points: float) -> None:
    estimate = wilson(round(0.8 * n), n)
    assert estimate.value == 0.8
    assert 50 * (estimate.high - estimate.low) == pytest.approx(points, abs=0.051)


@pytest.mark.parametrize(
    ("interval", "k", "n", "low", "high"),
    [
        (wilson, 0, 20, 0.0, 0.16113),  # z²/(n + z²) with z = 1.95996
        (wilson, 20, 20, 0.83887, 1.0),
        (clopper_pearson, 0, 20, 0.0, 0.16843),  # 1 - 0.025^(1/20)
        (clopper_pearson, 20, 20, 0.83157, 1.0),
    ],
)
def test_intervals_at_the_ends(interval, k: int, n: int, low: float, high: float) -> None:
    estimate = interval(k, n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_the_estimate_and_mirror_failures(counts: tuple[int, int]) -> None:
    k, n = counts
    for interval in (wilson, clopper_pearson, jeffreys):
        ours, mirrored = interval(k, n), interval(n - k, n)
        assert 0 <= ours.low <= ours.value <= ours.high <= 1
        assert ours.low == pytest.approx(1 - mirrored.high, abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    for interval in (wilson, clopper_pearson, jeffreys):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is SciPy's
            interval(k, n)
    for counts in ((k, n), (1, 2)), ((1, 2), (k, n)):
        with pytest.raises(ValueError, match="0 <= k <= n"):
            boschloo(*counts)
