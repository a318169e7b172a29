"""Known answers and symmetries of every estimator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import (
    benjamini_hochberg,
    best_evaluations,
    boschloo,
    clopper_pearson,
    holm,
    iqm,
    iqm_success,
    jeffreys,
    mcnemar,
    mcnemar_loss,
    mean_difference,
    mean_success,
    noninferiority,
    optimality_gap,
    paper_top5,
    performance_profile,
    probability_of_improvement,
    rank,
    sign_flip,
    time_to_success,
    wilson,
)


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


# --------------------------------------------------------------------------------------------- many tasks

counts = st.integers(1, 4).flatmap(
    lambda seeds: st.lists(st.lists(st.integers(0, 10), min_size=seeds, max_size=seeds), min_size=1, max_size=5)
)


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


# -------------------------------------------------------------------------------------------- differences


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


def test_differences_that_cancel_out_show_nothing() -> None:
    first, second = np.array([[0, 0, 2], [5, 3, 6], [10, 10, 10]]), np.array([[8, 1, 6], [3, 5, 7], [4, 7, 5]])
    assert sign_flip((first - second) / 20) == sign_flip((second - first) / 20) == 1.0


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


def test_sign_flip_known_answer() -> None:
    assert sign_flip([[0.1], [0.2], [0.3], [0.4], [0.5]]) == pytest.approx(2 / 2**5)
    with pytest.raises(ValueError, match="every task"):
        sign_flip([[np.nan]])


def test_training_noise_counts_where_there_are_seeds() -> None:
    """The same discordant pairs: a loss if all seeds show it, perhaps not if one does."""
    alike = noninferiority([[7, 7, 7]], [[1, 1, 1]], [[20, 20, 20]])
    one = noninferiority([[20, 1, 0]], [[0, 1, 2]], [[20, 20, 20]])
    assert alike.difference == one.difference
    assert alike.p_loss < 0.001 < 0.1 < one.p_loss


def test_noninferiority_knows_a_small_loss_from_a_large_one() -> None:
    n = np.full((50, 1), 100)
    small = noninferiority(np.full_like(n, 6), np.full_like(n, 5), n)
    large = noninferiority(np.full_like(n, 15), np.full_like(n, 5), n)
    assert small.difference == pytest.approx(-0.01)
    assert small.p_loss < 0.02
    assert small.p_margin < 0.001  # a loss that is real and smaller than the margin
    assert large.p_margin > 0.99


@pytest.mark.parametrize("sides", [([[1]], [[1, 1]], [[2]]), ([[3]], [[0]], [[2]]), ([[0]], [[0]], [[0]])])
def test_pairs_that_do_not_fit_are_refused(sides) -> None:
    for test in (mean_difference, noninferiority):
        with pytest.raises(ValueError, match="need"):
            test(*sides)


def test_one_sided_mcnemar() -> None:
    assert mcnemar_loss([9, 0, 1], [1, 0, 9]) == pytest.approx([11 / 2**10, 1.0, 1 - 1 / 2**10])


def test_boschloo_is_symmetric_and_sharper_than_fisher() -> None:
    from scipy.stats import fisher_exact

    ours = boschloo((3, 20), (10, 20))
    assert ours == pytest.approx(boschloo((10, 20), (3, 20)))
    assert ours < fisher_exact([[3, 10], [17, 10]])[1]


# ------------------------------------------------------------------------------------------------ ranking


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_probability_of_improvement_is_symmetric(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 6, (2, 4, 3))
    ours, swapped = probability_of_improvement(a, b, reps=50), probability_of_improvement(b, a, reps=50)
    assert ours.value == pytest.approx(1 - swapped.value)
    assert ours.low <= ours.value <= ours.high


def test_probability_of_improvement_known_answers() -> None:
    assert probability_of_improvement([[1, 2]], [[2, 3]]).value == pytest.approx((0 + 0 + 0.5 + 0) / 4)
    always = probability_of_improvement(np.ones((2, 3)), np.zeros((2, 3)))
    assert always == wilson(6, 6)
    with pytest.raises(ValueError, match="two or more seeds"):
        probability_of_improvement([[1], [2]], [[1], [2]])


def test_rank_knows_the_best_and_those_that_could_be() -> None:
    rng = np.random.default_rng(0)
    outcomes = rng.random((3, 10, 2, 20)) < np.array([0.7, 0.9, 0.89])[:, None, None, None]
    ranking = rank(outcomes)
    assert ranking.tied.tolist() == [False, True, True]
    assert ranking.p_best.sum() == pytest.approx(1)
    assert ranking.p_best[0] < 0.001
    assert ranking.success == pytest.approx(outcomes.mean(axis=(1, 2, 3)))
    shuffled = rank(outcomes[..., rng.permutation(20)])
    assert shuffled.p_best.tolist() == ranking.p_best.tolist()


def test_rank_claims_nothing_from_two_episodes() -> None:
    assert rank([[[[True, True]]], [[[False, False]]]]).tied.tolist() == [True, True]
    assert rank(np.ones((2, 1, 1, 20))).p_best.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="outcomes"):
        rank(np.ones((2, 3)))


# ---------------------------------------------------------------------------------------- times, many tests


def test_time_to_success_counts_failures() -> None:
    found = time_to_success([30, 10, np.nan, 10])
    assert found.steps.tolist() == [10, 30]
    assert found.share.tolist() == [0.5, 0.75]
    assert found.median.value == 10
    assert found.median.high == np.inf
    assert time_to_success([np.nan, np.nan, 5]).median.value == np.inf
    with pytest.raises(ValueError, match="at least one"):
        time_to_success([])


@given(st.lists(st.integers(1, 200) | st.just(float("nan")), min_size=1, max_size=40), st.randoms())
def test_time_to_success_is_blind_to_order(steps: list[float], random) -> None:
    shuffled = random.sample(steps, len(steps))
    assert time_to_success(steps).median == time_to_success(shuffled).median
    low, high = time_to_success(steps).median[1:]
    assert low <= time_to_success(steps).median.value <= high


def test_the_exact_bootstrap_of_the_median_is_what_drawing_gives() -> None:
    steps = np.random.default_rng(0).integers(1, 100, 31)
    drawn = np.random.default_rng(1).choice(steps, (20_000, 31))
    medians = np.median(drawn, axis=1)
    low, high = time_to_success(steps).median[1:]
    assert (medians < low).mean() < (medians <= low).mean() <= 0.025 < (medians > low).mean()
    assert (medians > high).mean() <= 0.025 < (medians >= high).mean()


def test_adjusted_p_values() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's own example
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]).size == benjamini_hochberg([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_between_bonferroni_and_nothing(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()


# Published means of the best five, for policies whose success never changes.
@pytest.mark.parametrize(
    ("p", "expected", "bias", "bias_of_14"),
    [
        (0.1, 0.170, 0.070, 0.067), (0.2, 0.293, 0.093, 0.089), (0.3, 0.406, 0.106, 0.102), (0.5, 0.615, 0.115, 0.110),
        (0.6, 0.712, 0.112, 0.107), (0.7, 0.804, 0.104, 0.099), (0.8, 0.889, 0.089, 0.085), (0.9, 0.964, 0.064, 0.062),
        (0.95, 0.995, 0.045, 0.043),
    ],
)  # fmt: skip
def test_bias_of_the_best_five(p: float, expected: float, bias: float, bias_of_14: float) -> None:
    found = paper_top5(p)
    assert found == pytest.approx((expected, bias), abs=6e-4)
    assert paper_top5(p, evaluations=14).bias == pytest.approx(bias_of_14, abs=6e-4)
    assert paper_top5(p, evaluations=5).bias == pytest.approx(0, abs=1e-12)


def test_best_five_against_drawing() -> None:
    drawn = np.random.default_rng(0).binomial(20, 0.697, (100_000, 15)) / 20
    assert paper_top5(0.697).expected == pytest.approx(np.sort(drawn, axis=1)[:, -5:].mean(), abs=5e-4)
    with pytest.raises(ValueError, match="best"):
        paper_top5(0.5, evaluations=4)


def test_best_evaluations_by_hand() -> None:
    k = [[0, 4, 2], [1, 1, 3], [4, 4, 4]]
    found = best_evaluations(k, np.full((3, 3), 4), ["a", "a", "b"], best=2)
    assert found.value == pytest.approx(((0.75 + 0.5) / 2 + 1) / 2)
    assert 0 <= found.low < found.value < found.high <= 1
    mixed = best_evaluations([k[2], k[1], k[0]], np.full((3, 3), 4), ["b", "a", "a"], best=2)
    assert mixed.value == found.value
    with pytest.raises(ValueError, match="5 of 3"):
        best_evaluations(k, np.full((3, 3), 4), ["a", "a", "b"])


@pytest.mark.parametrize("seeds", [1, 3])
def test_best_five_are_where_order_statistics_say(seeds: int) -> None:
    """The interval covers what the same selection gives on average, not success."""
    rng = np.random.default_rng(0)
    tasks, n = np.repeat(np.arange(6), seeds), np.full((6 * seeds, 15), 20)
    found = [best_evaluations(rng.binomial(n, 0.7), n, tasks, reps=200) for _ in range(200)]
    expected = paper_top5(0.7).expected
    assert np.mean([e.value for e in found]) == pytest.approx(expected, abs=0.004)
    assert np.mean([e.low <= expected <= e.high for e in found]) >= 0.9
    assert not any(e.low <= 0.7 <= e.high for e in found)
