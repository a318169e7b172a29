"""The timing protocol's checks of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.artifacts import Artifact, pack_tensors
from bench.latency import CLOCKS, Contender, compare, record_inputs, timed_call
from bench.records import LatencyRow
from tests.fakes import FakeMethod, FakeTask, SleepyMethod, fake_spec

KEY = "0123456789abcdef0123"


def contender(method: FakeMethod, name: str) -> Contender:
    row = {
        "key": KEY, "suite": "fake", "task": "fake/walk", "profile": "smoke", "training_seed": 0, "device": "cpu",
        "mode": "cpu1", "method": name, "variant": name,
    }  # fmt: skip
    return Contender(row, method, Artifact(pack_tensors(method.state())))


def measure(*contenders: Contender, reference: str | None = None) -> list[dict]:
    return compare(
        contenders, FakeTask(), base_seed=0, reference=reference, blocks=6, calls=12, warmup_s=0.02
    )  # fmt: skip


def test_a_policy_that_sleeps_five_milliseconds_measures_so() -> None:
    sleepy = SleepyMethod("sleepy", fake_spec(), {})
    fast = contender(FakeMethod("base", fake_spec(), {"nfe": "3"}), "base")
    rows = measure(contender(sleepy, "sleepy"), fast, reference="sleepy")
    for row in rows:
        LatencyRow.model_validate(row)
    took = float(np.median(sleepy.took_ms[-rows[0]["n"] :]))
    assert took >= 5.0
    for clock in ("t_sample", "t_policy", "t_e2e"):
        assert took <= rows[0][clock]["p50"] <= took + 0.5
    assert (rows[0]["nfe"], rows[1]["nfe"]) == (1, 3)  # counted, not declared
    assert (rows[0]["speedup"], rows[1]["reference"]) == (None, "sleepy")
    speedup = rows[1]["speedup"]["t_policy"]
    assert 1 < speedup["low"] <= speedup["ratio"] <= speedup["high"]
    expected = rows[0]["t_policy"]["p50"] / rows[1]["t_policy"]["p50"]
    assert speedup["ratio"] == pytest.approx(expected, rel=0.01)


def test_the_parts_lie_within_the_whole() -> None:
    method, task = FakeMethod("base", fake_spec(), {}), FakeTask()
    inputs = record_inputs(task, 0, 2, count=8)
    for scans in inputs:
        e2e, policy, encode, sample = timed_call(method, task, scans, torch.Generator())
        assert encode + sample <= policy + 1e-9
        assert policy < e2e
    assert len(CLOCKS) == 4


def test_recorded_inputs_are_many_different_ones() -> None:
    inputs = record_inputs(FakeTask(), 0, 2, count=40)
    assert len(inputs) == 40
    assert len({np.concatenate([s.points.ravel() for s in scans]).tobytes() for scans in inputs}) > 3
    again = record_inputs(FakeTask(), 0, 2, count=40)
    assert all(a[1].points.tobytes() == b[1].points.tobytes() for a, b in zip(inputs, again, strict=True))


def test_few_calls_have_no_p90() -> None:
    rows = compare(
        [contender(FakeMethod("base", fake_spec(), {}), "base")], FakeTask(),
        base_seed=0, reference="base", blocks=5, calls=10, warmup_s=0.01,
    )  # fmt: skip
    assert rows[0]["n"] == 50
    assert rows[0]["t_e2e"]["p90"] is None
