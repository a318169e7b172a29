"""The difference of two policies on matched episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import mean_difference, noninferiority, sign_flip

counts = st.integers(1, 4).flatmap(
    lambda seeds: st.lists(st.lists(st.integers(0, 10), min_size=seeds, max_size=seeds), min_size=1, max_size=5)
)


@settings(max_examples=30)
@given(counts, st.integers(0, 2**32 - 1))
def test_differences_change_sign_when_sides_are_swapped(k: list[list[int]], seed: int) -> None:
    first = np.array(k)
    second = np.random.default_rng(seed).integers(0, 11, first.shape)
    n = np.full_like(first, 20)
    ours, swapped = mean_difference(first, second, n), mean_difference(second, first, n)
    assert ours == pytest.approx((-swapped.value, -swapped.high, -swapped.low))
    assert sign_flip((first - second) / 20, resamples=99) == sign_flip((second - first) / 20, resamples=99)
    gain, loss = noninferiority(first, second, n), noninferiority(second, first, n)
    assert gain.difference == pytest.approx(-loss.difference)
    assert max(gain.p_loss, loss.p_loss) >= 0.5


def test_identical_outcomes_are_no_certainty() -> None:
    none = np.zeros((3, 2), int)
    estimate = mean_difference(none, none, none + 20)
    assert estimate.value == 0
    assert -0.05 < estimate.low < 0 < estimate.high < 0.05
    assert sign_flip(none) == 1.0
    assert noninferiority(none, none, none + 20)[:2] == (0.0, 1.0)


def test_difference_with_a_missing_seed() -> None:
    estimate = mean_difference([[4, 0], [2, 6]], [[0, 0], [0, 0]], [[20, 0], [20, 20]])
    assert estimate.value == pytest.approx((0.2 + 0.2) / 2)
    assert sign_flip([[0.2, np.nan], [0.1, 0.3]]) == pytest.approx(2 / 8)


@pytest.mark.parametrize("sides", [([[1]], [[1, 1]], [[2]]), ([[3]], [[0]], [[2]]), ([[0]], [[0]], [[0]])])
def test_pairs_that_do_not_fit_are_refused(sides) -> None:
    for test in (mean_difference, noninferiority):
        with pytest.raises(ValueError, match="need"):
            test(*sides)
