"""Probability of improvement, and which policy is best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import probability_of_improvement, rank, wilson


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_probability_of_improvement_is_symmetric(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 6, (2, 4, 3))
    ours, swapped = probability_of_improvement(a, b), probability_of_improvement(b, a)
    assert ours.value == pytest.approx(1 - swapped.value)
    assert ours.low <= ours.value <= ours.high


def test_probability_of_improvement_known_answers() -> None:
    assert probability_of_improvement([[1, 2]], [[2, 3]]).value == pytest.approx((0 + 0 + 0.5 + 0) / 4)
    always = probability_of_improvement(np.ones((2, 3)), np.zeros((2, 3)))
    assert always == pytest.approx(wilson(6, 6))
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
