"""The timing protocol's checks of itself."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from bench import clocks, latency
from bench.artifacts import Artifact, pack_tensors
from bench.clocks import CLOCKS, NoOp, record_inputs, timed_call, unsynchronised_call
from bench.latency import Budget, Progress, compare
from bench.latency_timer import Contender, Timer
from bench.records import LatencyRow
from tests.fakes import FakeMethod, FakeTask, SleepyMethod, fake_spec

KEY = "0123456789abcdef0123"
BUDGET = Budget(blocks=6, calls=72, seconds=0.0, warmup_s=0.02)


def timer(method: FakeMethod, name: str, trained: bool = True) -> Timer:
    row = {
        "key": KEY, "suite": "fake", "task": "fake/walk", "profile": "smoke", "training_seed": 0, "device": "cpu",
        "mode": "cpu1", "method": name, "variant": name,
    }  # fmt: skip
    task = FakeTask()
    checkpoint = Artifact(pack_tensors(method.state())) if trained else None
    return Timer(Contender(row, method, checkpoint), task, record_inputs(task, 0, 2), base_seed=0)


def fake(nfe: int = 1) -> FakeMethod:
    return FakeMethod("base", fake_spec(), {"nfe": str(nfe)})


class AsynchronousMethod(FakeMethod):
    """Enqueues work of a tenth of a second and returns at once, as a GPU would."""

    def sample(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.work = threading.Timer(0.1, lambda: None)
        self.work.start()
        return super().sample(condition, generator)

    def wait(self) -> None:
        if hasattr(self, "work"):
            self.work.join()


def test_a_policy_that_sleeps_five_milliseconds_measures_so() -> None:
    sleepy = SleepyMethod("sleepy", fake_spec(), {})
    timers = [timer(sleepy, "sleepy"), timer(fake(nfe=3), "base")]
    rows = compare(timers, BUDGET, references=dict.fromkeys(("sleepy", "base"), "sleepy"))
    for row in rows:
        LatencyRow.model_validate(row)
    every_call = np.concatenate(timers[0].blocks)[:, CLOCKS.index("t_sample")]
    assert 5.0 <= every_call.min() <= 5.6  # a busy machine disturbs calls, but never all of them
    took = np.array(sleepy.took_ms)
    assert np.quantile(took, 0.4) <= rows[0]["t_sample"]["p50"] <= np.quantile(took, 0.6) + 0.5
    for clock in ("t_sample", "t_policy", "t_e2e"):
        assert rows[0][clock]["p50"] >= 5.0
    for clock, medians in rows[0]["block_medians"].items():
        assert medians == [np.median(block[:, CLOCKS.index(clock)]) for block in timers[0].blocks]
    assert (rows[0]["nfe"], rows[1]["nfe"]) == (1, 3)  # counted, not declared
    assert rows[1]["flops"] == 3 * 12  # three times a linear layer from 3 to 2 values
    assert (rows[0]["speedup"], rows[1]["reference"]) == (None, "sleepy")
    speedup = rows[1]["speedup"]["t_policy"]
    assert 1 < speedup["low"] <= speedup["ratio"] <= speedup["high"]
    assert speedup["p"] < 0.002
    expected = rows[0]["t_policy"]["p50"] / rows[1]["t_policy"]["p50"]
    assert speedup["ratio"] == pytest.approx(expected, rel=0.01)


def test_work_that_goes_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    method, task = AsynchronousMethod("async", fake_spec(), {}), FakeTask()
    scans = record_inputs(task, 0, 2, count=1)[0]
    unaware = timed_call(method, task, scans, torch.Generator())
    method.wait()
    monkeypatch.setattr(clocks, "synchroniser", lambda _: method.wait)
    aware = timed_call(method, task, scans, torch.Generator())
    for clock in map(CLOCKS.index, ("t_sample", "t_policy", "t_e2e")):
        assert unaware[clock] < 99 < aware[clock]
    assert aware[CLOCKS.index("t_encode")] < 99
    assert unsynchronised_call(method, task, scans, torch.Generator()).upstream < 99  # the fault of published figures


def test_the_parts_lie_within_the_whole() -> None:
    method, task = fake(), FakeTask()
    for scans in record_inputs(task, 0, 2, count=8):
        e2e, policy, encode, sample = timed_call(method, task, scans, torch.Generator())
        assert encode + sample <= policy + 1e-9
        assert policy < e2e


def test_the_clocks_themselves_cost_next_to_nothing_and_say_so() -> None:
    method, task = fake(), FakeTask()
    inputs = record_inputs(task, 0, 2, count=64)
    idle = NoOp(method, task.spec.action_dim)
    policy = [timed_call(idle, task, scans, torch.Generator())[1] for scans in inputs]
    assert min(policy) < 0.1
    (row,) = compare([timer(method, "base")], BUDGET, references={})
    assert 0 < row["harness_ms"] < row["t_e2e"]["p50"]


def test_recorded_inputs_are_many_different_ones() -> None:
    inputs = record_inputs(FakeTask(), 0, 2, count=40)
    assert len(inputs) == 40
    assert len({np.concatenate([s.points.ravel() for s in scans]).tobytes() for scans in inputs}) > 3
    again = record_inputs(FakeTask(), 0, 2, count=40)
    assert all(a[1].points.tobytes() == b[1].points.tobytes() for a, b in zip(inputs, again, strict=True))


def test_few_calls_have_no_percentile_above_the_median() -> None:
    (row,) = compare([timer(fake(), "base", trained=False)], Budget(5, 50, 0.0, 0.01), references={"base": "base"})
    LatencyRow.model_validate(row)
    assert row["n"] == 50
    assert (row["t_e2e"]["p90"], row["t_e2e"]["p90_ci"], row["checkpoint"]) == (None, None, None)
    low, high = row["t_e2e"]["p50_ci"]
    assert low <= row["t_e2e"]["p50"] <= high
    assert len(row["e2e_quantiles"]) == 100
    assert row["e2e_quantiles"] == sorted(row["e2e_quantiles"])


def test_a_budget_is_calls_and_seconds() -> None:
    budget = Budget(blocks=10, calls=1000, seconds=30.0, warmup_s=3.0)
    assert budget.calls_in_block(call_ms=5.0) == 600  # 30 s are the longer
    assert budget.calls_in_block(call_ms=100.0) == 100  # 1000 calls are
    assert budget.duration(call_ms=100.0) == pytest.approx(100.0)


class Recorder:
    """A timer that notes who is timed when."""

    def __init__(self, variant: str, log: list[str]) -> None:
        self.variant, self._log, self._timer = variant, log, timer(fake(), variant)

    def warm_up(self, seconds: float) -> float:
        self._timer.warm_up(seconds)
        return 1.0

    def run_block(self, calls: int) -> None:
        self._log.append(self.variant)
        self._timer.run_block(calls)

    def result(self):
        return self._timer.result()


def test_blocks_take_turns_and_progress_is_told() -> None:
    log: list[str] = []
    told: list[Progress] = []
    timers = [Recorder("a", log), Recorder("b", log)]
    compare(timers, Budget(6, 12, 0.0, 0.01), references={"a": "a", "b": "a"}, on_progress=told.append)
    assert "".join(log) == "abbaabbaabba"
    assert told[0].doing == "warming up a"
    left = [progress.seconds_left for progress in told if progress.doing.startswith("block")]
    assert left == sorted(left, reverse=True)


def test_other_work_marks_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([0.0, 1.5])  # before, after
    monkeypatch.setattr(latency, "busy_cores", lambda: next(readings))
    rows = compare([timer(fake(), "a"), timer(fake(), "b")], Budget(5, 10, 0.0, 0.01), references={"a": "a", "b": "a"})
    assert [row["contended"] for row in rows] == [True, True]


@pytest.mark.parametrize(("times", "warm"), [([2.0] * 99, True), ([1.1**-i for i in range(999)], False)])
def test_warm_is_when_times_are_steady(times: list[float], warm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    under_test, left = timer(fake(), "base"), iter(times)
    monkeypatch.setattr(under_test, "_call", lambda *_: (next(left),) * len(CLOCKS))
    monkeypatch.setattr("time.monotonic", iter(np.arange(1e4) * 0.1).__next__)
    under_test.warm_up(2.0)
    assert under_test.warm is warm


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnGpu:
    """What the CPU cannot show: real asynchronous work and CUDA events."""

    @pytest.fixture
    def on_gpu(self) -> FakeMethod:
        method = MatrixMethod("base", fake_spec(), {})
        method.network.cuda()
        return method

    def test_queued_kernels_are_waited_for(self, on_gpu: FakeMethod) -> None:
        (row,) = compare([timer(on_gpu, "base")], BUDGET, references={})
        LatencyRow.model_validate(row)
        assert row["t_upstream"] < row["t_policy"]["p50"]
        assert row["t_cuda"] == pytest.approx(row["t_policy"]["p50"], rel=0.3)
        assert row["peak_gpu_mb"] > 60
        assert row["gpu"]["start"].keys() == row["gpu"]["end"].keys()


class MatrixMethod(FakeMethod):
    """Multiplies large matrices on its device."""

    def sample(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        matrix = torch.ones(4096, 4096, device=condition.device)
        for _ in range(10):
            matrix = matrix @ matrix / 4096
        action = self.network(condition) + matrix[0, 0]
        return action[:, None].expand(-1, self.spec.executed_steps, -1).detach()
