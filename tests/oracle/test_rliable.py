"""Against rliable 1.2.0, which needs old packages and hence an environment of its own: ``tox -e oracle``."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import iqm, optimality_gap, performance_profile, probability_of_improvement

library = pytest.importorskip("rliable.library")
metrics = pytest.importorskip("rliable.metrics")


def scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Success rates of 20 episodes ``[M, S]`` of two policies, with ties; rliable wants ``[S, M]``."""
    rng = np.random.default_rng(seed)
    tasks, seeds = rng.integers(1, 58), rng.integers(2, 6)
    rates = rng.binomial(20, rng.random((2, tasks, 1)), (2, tasks, seeds)) / 20
    return rates[0], rates[1]


@pytest.mark.parametrize("seed", range(30))
def test_point_values_agree(seed: int) -> None:
    ours, other = scores(seed)
    assert iqm(ours) == pytest.approx(metrics.aggregate_iqm(ours.T), abs=1e-12)
    for target in (1.0, 0.6):
        assert optimality_gap(ours, target) == pytest.approx(
            metrics.aggregate_optimality_gap(ours.T, target), abs=1e-12
        )
    expected = metrics.probability_of_improvement(ours.T, other.T)
    assert probability_of_improvement(ours, other).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_profiles_agree(seed: int) -> None:
    ours, _ = scores(seed)
    thresholds = np.linspace(0, 1, 41)
    profiles, _ = library.create_performance_profile({"ours": ours.T}, thresholds, reps=2)
    assert performance_profile(ours, thresholds) == pytest.approx(profiles["ours"], abs=1e-12)
