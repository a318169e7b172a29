"""Coverage of every 95 % interval, exactly where it can be summed up, else by simulation with fixed seeds.

Fewer data sets than in ``python -m benchmarks.statistics --parts coverage``: bounds leave three standard errors.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import clopper_pearson, jeffreys, mean_success, wilson
from benchmarks.statistics import (
    CHANCES,
    SIZES,
    Design,
    best_is_marked,
    coverage,
    difference_coverage,
    exact_coverage,
    improvement_coverage,
    iqm_coverage,
    mean_coverage,
    median_coverage,
    ratio_coverage,
)

SIMS, REPS = 300, 300
LOW, HIGH = 0.91, 0.987  # 0.95 less and plus three standard errors of 300 data sets
GRID = [(n, p) for n in SIZES for p in CHANCES]


@pytest.mark.parametrize(("n", "p"), GRID)
def test_one_share(n: int, p: float) -> None:
    """Wilson and Jeffreys swing around 95 %, as counts are whole; Clopper and Pearson stay above by design."""
    assert 0.94 <= exact_coverage(wilson, n, p) <= 0.965
    assert 0.935 <= exact_coverage(jeffreys, n, p) <= 0.965
    assert 0.95 <= exact_coverage(clopper_pearson, n, p) <= 0.99


@pytest.mark.parametrize(("n", "p"), GRID)
def test_means(n: int, p: float) -> None:
    design = Design(p, n, seeds=1 if n == 60 else 3)
    assert 0.925 <= mean_coverage(design, 1000) <= 0.975
    assert 0.925 <= difference_coverage(design, 1000) <= 0.975
    assert LOW <= iqm_coverage(design, SIMS, REPS) <= HIGH


@pytest.mark.parametrize(("n", "p"), GRID)
def test_means_over_seeds_that_differ(n: int, p: float) -> None:
    design = Design(p, n, seeds=3, seed_sd=0.02)
    assert 0.92 <= mean_coverage(design, 1000) <= 0.975
    assert 0.915 <= difference_coverage(design, 1000) <= 0.975


@pytest.mark.parametrize("chances", [[0.98, 0.95, 0.9, 0.9, 0.1, 0.02], [1.0, 1.0, 1.0, 1.0, 0.0, 0.5]])
@pytest.mark.parametrize("seeds", [1, 3])
def test_tasks_of_which_some_are_solved_and_some_are_not(chances: list[float], seeds: int) -> None:
    counts = np.random.default_rng(0).binomial(20, np.array(chances)[:, None], (1000, 6, seeds))
    n = np.full((6, seeds), 20)
    assert 0.92 <= coverage(lambda k: mean_success(k, n), list(counts), float(np.mean(chances))) <= 0.98


def test_seeds_that_differ() -> None:
    """Many tasks show how much trainings vary; three trainings of one task cannot, and the interval is too narrow."""
    many = Design(0.5, 200, tasks=20, seeds=3, seed_sd=0.1)
    assert LOW <= mean_coverage(many, SIMS) <= HIGH
    assert LOW <= difference_coverage(many, SIMS) <= HIGH
    assert 0.82 <= mean_coverage(many._replace(tasks=1), 1000) <= 0.92


@pytest.mark.parametrize("p", CHANCES)
def test_ranking(p: float) -> None:
    design = Design(p, 20, tasks=20, seeds=3)
    assert LOW <= improvement_coverage(design, SIMS, REPS) <= 0.99
    assert best_is_marked(design, 100, reps=REPS) >= LOW


@pytest.mark.parametrize("n", SIZES)
def test_median_steps(n: int) -> None:
    assert 0.93 <= median_coverage(n, 2000) <= 0.975


def test_ratio_of_medians() -> None:
    assert LOW <= ratio_coverage(SIMS, reps=200) <= HIGH
