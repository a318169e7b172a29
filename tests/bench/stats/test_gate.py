"""What the gate calls a regression, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import Verdict, judge
from benchmarks.statistics import Design, verdicts

SUITE = Design(0.7, 20, tasks=57, spread=0.15)


def one(only_old: list[int], only_new: list[int], n: int = 20) -> Verdict:
    """The verdict on one training seed of some tasks."""
    return judge([tuple(np.array(x)[:, None] for x in (only_old, only_new, [n] * len(only_old)))])[0].verdict


def test_no_difference_raises_no_alarm() -> None:
    assert verdicts(SUITE, 0.0, 2000)[Verdict.REGRESSION] <= 0.01
    assert verdicts(SUITE._replace(tasks=6), 0.0, 2000)[Verdict.REGRESSION] <= 0.01


def test_training_noise_raises_no_alarm_with_three_seeds() -> None:
    assert verdicts(SUITE._replace(seeds=3, seed_sd=0.08), 0.0, 2000)[Verdict.REGRESSION] <= 0.01


def test_a_loss_is_found() -> None:
    assert verdicts(SUITE, 0.10, 500)[Verdict.REGRESSION] >= 0.95


def test_verdicts() -> None:
    assert one([0, 0], [0, 0]) is Verdict.IDENTICAL
    assert one([20], [0]) is Verdict.REGRESSION
    assert one([3], [2]) is Verdict.UNDECIDED
    assert one([5] * 50, [5] * 50, n=100) is Verdict.NOT_WORSE
    assert one([9] * 50, [7] * 50, n=100) is Verdict.NOT_WORSE  # two points: real, and smaller than the margin
    assert one([0] * 50, [5] * 50, n=100) is Verdict.NOT_WORSE


def test_one_task_that_breaks_is_no_matter_for_the_mean_and_still_a_regression() -> None:
    old, new = np.full((57, 1), 1), np.full((57, 1), 1)
    old[7] = 18
    found = judge([(old, new, np.full((57, 1), 20))])[0]
    assert found.p_margin < 0.01
    assert found.verdict is Verdict.REGRESSION
    assert np.flatnonzero(found.lost).tolist() == [7]


def test_more_groups_make_it_harder_for_each() -> None:
    group = (np.array([[9]]), np.array([[0]]), np.array([[20]]))
    even = (np.array([[3]]), np.array([[3]]), np.array([[20]]))
    alone, *_ = judge([group])
    among, *_ = judge([group, *[even] * 4])
    assert alone.verdict is Verdict.REGRESSION
    assert among.verdict is Verdict.UNDECIDED
    assert among.p_loss == pytest.approx(5 * alone.p_loss)
    assert judge([]) == []
