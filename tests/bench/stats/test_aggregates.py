"""Success over many tasks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import iqm, iqm_success, mean_success, optimality_gap, performance_profile, sign_flip, wilson

counts = st.integers(1, 4).flatmap(
    lambda seeds: st.lists(st.lists(st.integers(0, 10), min_size=seeds, max_size=seeds), min_size=1, max_size=5)
)


def test_mean_is_unweighted_over_tasks_and_over_seeds() -> None:
    estimate = mean_success([[10, 0], [1, 4]], [[10, 10], [4, 4]])  # task means 0.5 and 0.625
    assert estimate.value == pytest.approx(0.5625)
    assert estimate.low < estimate.value < estimate.high


def test_a_missing_seed_is_left_out_wherever_it_stands() -> None:
    left = mean_success([[0, 7, 9], [5, 6, 7]], [[0, 10, 10], [10, 10, 10]])
    right = mean_success([[7, 9, 0], [5, 6, 7]], [[10, 10, 0], [10, 10, 10]])
    assert left == right
    assert left.value == pytest.approx((0.8 + 0.6) / 2)
    assert left.low < left.value < left.high


def test_one_cell_gets_wilson_and_uniform_outcomes_keep_a_width() -> None:
    assert mean_success([[17]], [[20]]) == pytest.approx(wilson(17, 20))
    assert mean_success([[20], [20]], [[20], [20]]) == pytest.approx(wilson(40, 40))
    assert mean_success([[0, 0]], [[20, 20]]) == pytest.approx(wilson(0, 40))


def test_unequal_training_seeds_widen_the_interval() -> None:
    alike = mean_success([[50, 50, 50]], [[100, 100, 100]])
    apart = mean_success([[20, 50, 80]], [[100, 100, 100]])
    assert alike.value == apart.value
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


@pytest.mark.parametrize(
    ("k", "n"), [([[1]], [[1, 1]]), ([[0], [0]], [[5], [0]]), (np.zeros((0, 1)), np.zeros((0, 1)))]
)
def test_counts_that_do_not_fit_are_refused(k, n) -> None:
    with pytest.raises(ValueError, match="episodes for every task"):
        mean_success(k, n)


@pytest.mark.parametrize("chances", [[0.98] * 3, [0.9] * 10, [1.0, 0.98, 0.3]])
def test_tasks_without_spread_do_not_make_the_interval_too_narrow(chances: list[float]) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        counts = rng.binomial(20, chances)[:, None]
        estimate = mean_success(counts, np.full_like(counts, 20))
        hits += estimate.low <= np.mean(chances) <= estimate.high
    assert hits / 1000 >= 0.935


def test_outcomes_alike_within_each_task_still_have_an_interval() -> None:
    estimate = mean_success([[2], [0], [0]], [[2], [2], [2]])
    assert estimate.low < 1 / 3 - 0.1
    assert estimate.high > 1 / 3 + 0.1


def test_iqm_drops_a_quarter_at_each_end() -> None:
    assert iqm([[100.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, -100.0]]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_a_resample_of_one_seed_takes_the_variance_of_its_episodes_only_once() -> None:
    """Seeds that differ by the chance of their episodes alone: three of 20 are as good as one of 60."""
    three = mean_success(np.tile([15, 12, 16], (20, 1)), np.full((20, 3), 20))
    one = mean_success(np.full((20, 1), 43), np.full((20, 1), 60))
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.1)


def test_iqm_of_cells_forgets_outliers() -> None:
    k = np.array([[0], [16], [17], [18], [17], [16], [17], [20]])
    estimate = iqm_success(k, np.full_like(k, 20))
    assert estimate.value == pytest.approx(np.mean([16, 17, 17, 17]) / 20)
    assert 0 < estimate.low < estimate.value < estimate.high < 1
    certain = iqm_success([[20], [20]], [[20], [20]])
    assert certain.low < certain.value == certain.high == 1


def test_optimality_gap_does_not_reward_excess() -> None:
    assert optimality_gap([0.5, 1.0]) == pytest.approx(0.25)
    assert optimality_gap([0.5, 1.0], target=0.75) == pytest.approx(0.125)


def test_performance_profile_counts_what_is_above() -> None:
    assert performance_profile([[0.2, 0.5], [0.5, 1.0]], [0.0, 0.2, 0.5, 1.0]).tolist() == [1.0, 0.75, 0.25, 0.0]
    with pytest.raises(ValueError, match="at least one score"):
        performance_profile([], [0.5])


@settings(max_examples=30)
@given(counts, st.randoms(use_true_random=False))
def test_point_values_do_not_depend_on_order(k: list[list[int]], random) -> None:
    a = np.array(k)
    shuffled = [random.sample(row, len(row)) for row in random.sample(k, len(k))]
    n = np.full_like(a, 10)
    assert mean_success(shuffled, n) == pytest.approx(mean_success(a, n))
    assert iqm(shuffled) == pytest.approx(iqm(a))
    assert optimality_gap(shuffled, 10) == pytest.approx(optimality_gap(a, 10))
    assert (performance_profile(shuffled, [2, 5]) == performance_profile(a, [2, 5])).all()
    differences = (a - 5.0) / 10
    assert sign_flip(differences, resamples=99) == sign_flip((np.array(shuffled) - 5.0) / 10, resamples=99)
