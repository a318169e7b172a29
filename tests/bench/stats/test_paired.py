"""Tests of two policies on matched episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats import boschloo, mcnemar, mcnemar_loss, noninferiority, sign_flip


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


def test_differences_that_cancel_out_show_nothing() -> None:
    first, second = np.array([[0, 0, 2], [5, 3, 6], [10, 10, 10]]), np.array([[8, 1, 6], [3, 5, 7], [4, 7, 5]])
    assert sign_flip((first - second) / 20) == sign_flip((second - first) / 20) == 1.0


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


def test_one_sided_mcnemar() -> None:
    assert mcnemar_loss([9, 0, 1], [1, 0, 9]) == pytest.approx([11 / 2**10, 1.0, 1 - 1 / 2**10])


def test_boschloo_is_symmetric_and_sharper_than_fisher() -> None:
    from scipy.stats import fisher_exact

    ours = boschloo((3, 20), (10, 20))
    assert ours == pytest.approx(boschloo((10, 20), (3, 20)))
    assert ours < fisher_exact([[3, 10], [17, 10]])[1]
