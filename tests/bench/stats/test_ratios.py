"""Ratios of positive quantities over tasks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.stats import geometric_ratio


def test_geometric_ratio_is_student_on_logarithms() -> None:
    first, second = np.array([1.0, 2.0, 8.0, 3.0]), np.array([2.0, 2.0, 2.0, 6.0])
    found = geometric_ratio(first, second)
    assert found.value == pytest.approx(stats.gmean(first) / stats.gmean(second))
    test = stats.ttest_rel(np.log(first), np.log(second)).confidence_interval()
    assert (np.log(found.low), np.log(found.high)) == pytest.approx((test.low, test.high))
    back = geometric_ratio(second, first)
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_geometric_ratio_of_tasks_that_agree_has_no_width() -> None:
    assert geometric_ratio([0.5, 1.0], [1.0, 2.0]) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0]), ([1.0, 0.0], [1.0, 1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_geometric_ratio_needs_positive_numbers_of_two_tasks(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="two positive numbers for each of two or more tasks"):
        geometric_ratio(first, second)
