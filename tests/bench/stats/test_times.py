"""Times to success, and the ratio of two latencies: blocks, seeds, memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import ratio_between_runs, ratio_of_medians, time_to_success


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
    monkeypatch.setattr("bench.stats.times._DRAWS_AT_ONCE", 500)
    assert ratio_of_medians(slow, fast) == whole


@given(st.floats(0.2, 5.0), st.integers(2, 20), st.integers(1, 3))
def test_ratio_between_runs(factor: float, blocks: int, timings: int) -> None:
    rng = np.random.default_rng(blocks)
    base = [10.0 * np.exp(0.02 * rng.standard_normal(blocks)) for _ in range(timings)]
    found = ratio_between_runs([factor * times for times in base], base)
    assert found.ratio.value == pytest.approx(factor)
    assert found.ratio.low < found.ratio.value < found.ratio.high
    back = ratio_between_runs(base, [factor * times for times in base])
    assert (back.ratio.low, back.p) == (pytest.approx(1 / found.ratio.high), pytest.approx(found.p))


def test_ratio_between_runs_covers_and_raises_few_alarms() -> None:
    rng = np.random.default_rng(0)
    pairs = 10.0 * np.exp(0.05 * rng.standard_normal((1000, 2, 16)))
    found = [ratio_between_runs([new], [base]) for new, base in pairs]
    assert 0.93 <= np.mean([f.ratio.low <= 1 <= f.ratio.high for f in found]) <= 0.97
    assert np.mean([f.p < 0.002 for f in found]) <= 0.006
    assert ratio_between_runs([[1.0, 1.0]], [[2.0, 2.0]]).ratio == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="2 or more"):
        ratio_between_runs([[1.0]], [[2.0, 2.0]])


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
