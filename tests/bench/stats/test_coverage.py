"""Coverage of every 95 % interval, exactly where it can be summed up, else by simulation with fixed seeds.

Fewer data sets than in ``python -m benchmarks.statistics --parts coverage``: bounds leave three standard errors.
"""

from __future__ import annotations

import pytest

from bench.stats import clopper_pearson, jeffreys, wilson
from benchmarks.statistics import (
    CHANCES,
    SIZES,
    Design,
    best_is_marked,
    difference_coverage,
    exact_coverage,
    improvement_coverage,
    iqm_coverage,
    mean_coverage,
    median_coverage,
    ratio_coverage,
)

SIMS, REPS = 300, 300
LOW = 0.91  # three standard errors of 300 data sets below 0.95
GRID = [(n, p) for n in SIZES for p in CHANCES]


@pytest.mark.parametrize(("n", "p"), GRID)
def test_one_share(n: int, p: float) -> None:
    """Wilson and Jeffreys swing around 95 %, as counts are whole; Clopper and Pearson stay above by design."""
    assert 0.94 <= exact_coverage(wilson, n, p) <= 0.965
    assert 0.935 <= exact_coverage(jeffreys, n, p) <= 0.965
    assert 0.95 <= exact_coverage(clopper_pearson, n, p) <= 0.99


@pytest.mark.parametrize(("n", "p"), GRID)
def test_means(n: int, p: float) -> None:
    """The mean is widened with tasks near 0 and 1, which costs up to 4 points."""
    high = 0.975 if p == 0.5 else 1.0
    design = Design(p, n, seeds=1 if n == 60 else 3)
    assert LOW <= mean_coverage(design, 1000) <= high
    assert LOW <= iqm_coverage(design, SIMS, REPS) <= 1.0
    assert LOW <= difference_coverage(design, 1000) <= 0.985


def test_seeds_that_differ() -> None:
    """Many tasks show how much trainings vary; three trainings of one task cannot, and the interval is too narrow."""
    many = Design(0.5, 200, tasks=20, seeds=3, seed_sd=0.1)
    assert LOW <= mean_coverage(many, 1000) <= 0.985
    assert LOW <= difference_coverage(many, SIMS) <= 0.985
    assert 0.7 <= mean_coverage(many._replace(tasks=1), 1000) <= 0.9


@pytest.mark.parametrize("p", CHANCES)
def test_ranking(p: float) -> None:
    design = Design(p, 20, tasks=20, seeds=3)
    assert LOW <= improvement_coverage(design, SIMS, REPS) <= 0.99
    assert best_is_marked(design, 100, reps=REPS) >= LOW


@pytest.mark.parametrize("n", SIZES)
def test_median_steps(n: int) -> None:
    assert 0.93 <= median_coverage(n, 2000) <= 0.975


def test_ratio_of_medians() -> None:
    """Wider than nominal: blocks carry the spread of their calls, and calls are drawn again within them."""
    assert ratio_coverage(SIMS, reps=100) >= 0.95
