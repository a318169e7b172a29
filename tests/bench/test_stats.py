"""Known answers, coverage by simulation, symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import clopper_pearson, iqm, mcnemar, mean_success, ratio_of_medians, wilson


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
    for interval in (wilson, clopper_pearson):
        ours, mirrored = interval(k, n), interval(n - k, n)
        assert 0 <= ours.low <= ours.value <= ours.high <= 1
        assert ours.low == pytest.approx(1 - mirrored.high, abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is SciPy's
        wilson(k, n)


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
    assert mean_success([[17]], [[20]]) == wilson(17, 20)
    assert mean_success([[20], [20]], [[20], [20]]) == wilson(40, 40)
    assert mean_success([[0, 0]], [[20, 20]]) == wilson(0, 40)


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


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_coverage_of_the_group_mean(p: float) -> None:
    rng = np.random.default_rng(1)
    chances = np.clip(p + np.linspace(-0.1, 0.1, 20), 0, 1)[:, None]
    hits = 0
    for seed in range(400):
        estimate = mean_success(rng.binomial(20, chances), np.full((20, 1), 20), reps=400, seed=seed)
        hits += estimate.low <= chances.mean() <= estimate.high
    assert 0.92 <= hits / 400 <= 0.995


@pytest.mark.parametrize("chances", [[0.98] * 3, [0.9] * 10, [1.0, 0.98, 0.3]])
def test_tasks_without_spread_do_not_make_the_interval_too_narrow(chances: list[float]) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(300):
        counts = rng.binomial(20, chances)[:, None]
        estimate = mean_success(counts, np.full_like(counts, 20), reps=300, seed=seed)
        hits += estimate.low <= np.mean(chances) <= estimate.high
    assert hits / 300 >= 0.94


def test_outcomes_alike_within_each_task_still_have_an_interval() -> None:
    estimate = mean_success([[2], [0], [0]], [[2], [2], [2]])
    assert estimate.low < 1 / 3 - 0.1
    assert estimate.high > 1 / 3 + 0.1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_mcnemar_is_symmetric_and_blind_to_order(outcomes: list[tuple[bool, bool]], random) -> None:
    a, b = zip(*outcomes, strict=True)
    ours, swapped = mcnemar(a, b), mcnemar(b, a)
    assert (ours.p, ours.difference) == (swapped.p, -swapped.difference)
    random.shuffle(outcomes)
    assert mcnemar(*zip(*outcomes, strict=True)) == ours


def test_mcnemar_known_answer() -> None:
    first = [True] * 9 + [False] * 1 + [True] * 30
    second = [False] * 9 + [True] * 1 + [True] * 30
    paired = mcnemar(first, second)
    assert (paired.n, paired.only_first, paired.only_second) == (40, 9, 1)
    assert paired.p == pytest.approx(2 * (1 + 10) / 2**10)  # two tails of Binomial(10, 1/2) at 0 and 1
    assert paired.difference == pytest.approx(0.2)


def test_mcnemar_says_nothing_of_identical_outcomes() -> None:
    assert mcnemar([True, False], [True, False]).p is None
    with pytest.raises(ValueError, match="two outcomes"):
        mcnemar([True], [True, False])


def test_iqm_drops_a_quarter_at_each_end() -> None:
    assert iqm([[100.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, -100.0]]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_ratio_of_medians_covers_under_common_drift() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(150):
        drift = 1 + 0.2 * rng.random(8)  # slow drift, common to both sides of a block
        slow = [10.0 * d * (1 + 0.1 * rng.exponential(size=20)) for d in drift]
        fast = [2.0 * d * (1 + 0.1 * rng.exponential(size=20)) for d in drift]
        estimate = ratio_of_medians(slow, fast, reps=100, seed=seed)
        assert estimate.low <= estimate.value <= estimate.high
        hits += estimate.low <= 5.0 <= estimate.high
    assert hits / 150 >= 0.90


def test_ratio_of_medians_is_seeded_and_checks_its_blocks() -> None:
    blocks = [np.array([4.0, 4.1]), np.array([4.2, 4.3])]
    halves = [block / 2 for block in blocks]
    assert ratio_of_medians(blocks, halves) == ratio_of_medians(blocks, halves)
    assert ratio_of_medians(blocks, halves).value == pytest.approx(2.0)
    with pytest.raises(ValueError, match="same number"):
        ratio_of_medians(blocks, halves[:1])
    with pytest.raises(ValueError, match="same number"):
        ratio_of_medians(blocks, np.zeros((2, 0)))


def test_ratio_of_medians_by_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    slow, fast = rng.lognormal(1.0, 0.2, (6, 12)), rng.lognormal(0.0, 0.2, (6, 9))
    whole = ratio_of_medians(slow, fast)
    monkeypatch.setattr("bench.stats._DRAWS_AT_ONCE", 500)
    assert ratio_of_medians(slow, fast) == whole
