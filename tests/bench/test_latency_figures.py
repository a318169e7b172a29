"""Figures that follow from a row."""

from __future__ import annotations

import pytest

from bench import latency_figures as figures

ROW = {
    "t_e2e": {"p50": 12.0}, "t_policy": {"p50": 9.0}, "executed_steps": 3, "t_cuda": None, "gpu": None,
    "contended": False, "warm": True, "checkpoint": "0" * 64,
}  # fmt: skip


def test_rates_and_cost_per_control_step() -> None:
    assert figures.per_control_step_ms(ROW) == 4.0
    assert figures.hz_chunk(ROW) == pytest.approx(83.33, abs=0.01)
    assert figures.hz_control(ROW) == pytest.approx(250.0)
    assert figures.launch_overhead_ms(ROW) is None
    assert figures.launch_overhead_ms({**ROW, "t_cuda": 8.5}) == 0.5


def test_notes_say_what_disturbed_a_timing() -> None:
    assert figures.notes(ROW) == []
    gpu = {"start": {"throttle_reasons": 0x1}, "end": {"throttle_reasons": 0x20}}  # idle; slowed by heat
    row = {**ROW, "gpu": gpu, "contended": True, "warm": False, "checkpoint": None}
    assert figures.notes(row) == ["machine busy while timed", "not warm", "GPU throttled", "untrained weights"]
    assert figures.throttled({**ROW, "gpu": {"start": {}, "end": {"throttle_reasons": 32.0}}})  # as JSON may have it
    unknown = {"start": {"throttle_reasons": None}, "end": {}}
    assert not figures.throttled({**ROW, "gpu": unknown})


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (1.11, 1.3, 0.001, "faster"), (0.7, 0.9, 0.001, "slower"),
        (1.05, 1.3, 0.001, figures.NO_DIFFERENCE),  # the interval reaches below the factor
        (0.85, 0.95, 0.001, figures.NO_DIFFERENCE), (1.11, 1.3, 0.01, figures.NO_DIFFERENCE),
    ],
)  # fmt: skip
def test_a_difference_needs_both_criteria(low: float, high: float, p: float, expected: str) -> None:
    assert figures.verdict({"ratio": (low + high) / 2, "low": low, "high": high, "p": p}) == expected
