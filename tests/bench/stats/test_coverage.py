"""Coverage of every 95 % interval: 93.5 to 96.5 %, or the known range of those that cannot be there.

Exact where it can be summed up, else by simulation with fixed seeds, as in ``python -m benchmarks.statistics --parts
coverage``. Bounds are those that are claimed where a simulation is large; else they leave three standard errors.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from bench.stats import clopper_pearson, jeffreys, mean_difference, mean_success, wilson
from bench.stats.aggregates import mean_ends
from bench.stats.cells import Cells
from benchmarks.coverage import (
    Design,
    best_five_coverage,
    best_is_marked,
    designs,
    difference_coverage,
    exact_coverage,
    exact_difference_coverage,
    improvement_coverage,
    iqm_coverage,
    mean_coverage,
    median_coverage,
    near_one,
    ratio_coverage,
    runs_coverage,
    share_inside,
    spread_coverage,
    within_reach,
)
from benchmarks.statistics import CHANCES, SIZES

LOW, HIGH = 0.935, 0.965
GRID = [(n, p) for n in SIZES for p in CHANCES]


def around(sims: int) -> tuple[float, float]:
    """The bounds, three standard errors of so many data sets further out."""
    error = 3 * (0.95 * 0.05 / sims) ** 0.5
    return LOW - error, HIGH + error


@pytest.mark.parametrize(("n", "p"), GRID)
def test_one_share(n: int, p: float) -> None:
    """Wilson and Jeffreys swing around 95 %, as counts are whole; Clopper and Pearson stay above by design."""
    assert 0.94 <= exact_coverage(wilson, n, p) <= 0.96
    assert 0.94 <= exact_coverage(jeffreys, n, p) <= 0.96
    assert 0.955 <= exact_coverage(clopper_pearson, n, p) <= 0.99


@pytest.mark.parametrize(("n", "p"), GRID)
def test_clopper_and_pearson_is_the_narrowest_that_misses_each_side_at_most_once_in_forty(n: int, p: float) -> None:
    """Such an interval must hold p for every count with more than 2.5 % at or beyond it: this is all that it holds."""
    k = np.arange(n + 1)
    must = (binom.cdf(k, n, p) > 0.025) & (binom.sf(k - 1, n, p) > 0.025)
    assert exact_coverage(clopper_pearson, n, p) == pytest.approx(binom.pmf(k, n, p)[must].sum())


@pytest.mark.parametrize(("n", "p"), GRID)
def test_means_and_differences(n: int, p: float) -> None:
    for design in designs(n, p):
        sims = 2000 if design.tasks > 6 else 10_000
        low, high = (LOW, HIGH) if design.tasks <= 6 else around(sims)
        assert low <= mean_coverage(design, sims) <= high, design
        if design.tasks * design.seeds > 1:
            assert low <= difference_coverage(design, sims) <= high, design


@pytest.mark.parametrize(("n", "p"), GRID)
def test_the_difference_on_one_task(n: int, p: float) -> None:
    found = exact_difference_coverage(p, n)
    if n == 20 and p != 0.5:  # 2.7 discordant episodes on average
        assert 0.985 <= found <= 0.99
    else:
        assert 0.945 <= found <= 0.96


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_no_interval_from_the_difference_on_20_episodes_covers_as_it_should(p: float) -> None:
    """Not one whose ends follow from the measured difference alone and that misses either side in at most 5 %."""
    found = within_reach(p, 20)
    assert not ((found >= LOW) & (found <= HIGH)).any()
    assert ((within_reach(p, 60) >= LOW) & (within_reach(p, 60) <= HIGH)).any()


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("n", SIZES)
def test_few_trainings_of_one_task_that_differ_much(seeds: int, n: int) -> None:
    assert 0.94 <= mean_coverage(Design(0.5, n, tasks=1, seeds=seeds, seed_sd=0.1), 20_000) <= 0.96


@pytest.mark.parametrize("seed_sd", [0.0, 0.05])
def test_two_trainings_of_one_task_are_too_few(seed_sd: float) -> None:
    """The known range: they agree by chance in one case of eight, so that it is safe or 95 %, and is made safe."""
    found = [mean_coverage(Design(p, n, tasks=1, seeds=2, seed_sd=seed_sd), 20_000) for n, p in GRID]
    assert min(found) >= 0.95
    assert HIGH < max(found) <= 0.998


@pytest.mark.parametrize("chances", [[0.98, 0.95, 0.9, 0.9, 0.1, 0.02], [1.0, 1.0, 1.0, 1.0, 0.0, 0.5], [0.9] * 10])
@pytest.mark.parametrize("seeds", [1, 3])
def test_tasks_of_which_some_are_solved_and_some_are_not(chances: list[float], seeds: int) -> None:
    drawn = np.random.default_rng(0).binomial(20, np.array(chances)[:, None], (4000, len(chances), seeds))
    _, low, high = mean_ends(Cells.of(drawn, np.full(drawn.shape[1:], 20)))
    assert 0.93 <= share_inside(low, high, float(np.mean(chances))) <= 0.975


def test_trainings_that_agree_by_chance_do_not_look_certain() -> None:
    alone, agree = mean_success([[30]], [[60]]), mean_success([[10, 10, 10]], [[20, 20, 20]])
    assert agree.high - agree.low == pytest.approx((alone.high - alone.low) / 2, rel=0.05)
    none = mean_difference([[0, 0, 0]], [[0, 0, 0]], [[20, 20, 20]])
    assert none.high == pytest.approx(wilson(0, 60).high)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_interquartile_mean(n: int, p: float) -> None:
    low, high = around(300)
    for design in (Design(p, n), Design(p, n, seeds=3), Design(p, n, seeds=3, seed_sd=0.02)):
        assert low <= iqm_coverage(design, 300, reps=200) <= high


@pytest.mark.parametrize(("n", "p"), GRID)
def test_probability_of_improvement(n: int, p: float) -> None:
    low, high = around(4000)
    for tasks in (6, 57):
        assert low <= improvement_coverage(Design(p, n, tasks=tasks, seeds=3), 4000) <= high
    assert low <= improvement_coverage(Design(p, n, tasks=57, seeds=3), 4000, behind=0.02) <= high


@pytest.mark.parametrize("p", CHANCES)
def test_best_evaluations(p: float) -> None:
    low, high = around(200)
    for seeds in (1, 3):
        assert low <= best_five_coverage(Design(p, 20, seeds=seeds), 200, reps=200) <= high


@pytest.mark.parametrize("design", [d for d in near_one(20) if d.tasks < 57])
def test_best_evaluations_near_one(design: Design) -> None:
    """Few values are left for a mean that is nearly always 1: coverage is on the safe side."""
    low, _ = around(200)
    assert best_five_coverage(design, 200, reps=200) >= low


def test_a_policy_as_good_as_all_others_is_marked() -> None:
    assert best_is_marked(Design(0.5, 20, seeds=3), 200, reps=200) >= around(200)[0]


@pytest.mark.parametrize("n", SIZES)
def test_median_steps(n: int) -> None:
    assert LOW <= median_coverage(n) <= HIGH


def test_ratios() -> None:
    low, high = around(300)
    assert low <= ratio_coverage(300, reps=200) <= high
    assert low <= runs_coverage(300) <= high


@pytest.mark.parametrize("tasks", [3, 50])
def test_ratios_over_tasks(tasks: int) -> None:
    low, high = around(4000)
    assert low <= spread_coverage(4000, tasks) <= high
