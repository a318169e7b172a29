"""Latency in the loop: how many steps a call costs, and that nothing but names decides it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.realtime import RealTime, held_steps
from bench.rollout import LOCKSTEP, Episode, rollout
from tests.fakes import FakeMethod, FakeTask, NanMethod, fake_spec

SEEDS = list(range(2 * LOCKSTEP + 3))
SPREAD = tuple(float(ms) for ms in np.linspace(1, 400, 100))


def run(count: int, realtime: RealTime | None, tasks: list[FakeTask] | None = None) -> list[Episode]:
    policy = FakeMethod("base", fake_spec(), {})
    policy.network.bias.data[:] = 0.3  # forward
    tasks = tasks or [FakeTask() for _ in range(LOCKSTEP)]
    return rollout(tasks, policy, SEEDS[:count], base_seed=0, training_seed=0, realtime=realtime)


@pytest.mark.parametrize(
    ("ms", "hz", "steps"),
    [(0, 20, 0), (0.001, 20, 1), (49.9, 20, 1), (50, 20, 1), (50.001, 20, 2), (177.6, 20, 4), (22.4, 100, 3)],
)  # fmt: skip
def test_held_steps_by_hand(ms: float, hz: int, steps: int) -> None:
    assert held_steps(ms, hz) == steps


@given(st.integers(0, 5000), st.integers(1, 1000))
def test_a_time_of_exactly_k_steps_costs_k(k: int, hz: int) -> None:
    for ms in (k * 1000 / hz, k / hz * 1000, k * (1 / hz) * 1000):  # rounded in three ways
        assert held_steps(ms, hz) == k
    assert held_steps((k + 0.001) * 1000 / hz, hz) == k + 1


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=100), st.integers(1, 1000))
def test_waits_are_those_that_were_measured(e2e_ms: list[float], hz: int) -> None:
    waits = list(islice(RealTime(hz, "key", tuple(e2e_ms)).waits(0, "fake/walk", 0, 0), 30))
    assert set(waits) <= {held_steps(ms, hz) for ms in e2e_ms}


def test_every_time_is_drawn_about_as_often() -> None:
    realtime = RealTime(1000, "key", (10.0, 20.0, 30.0, 40.0))
    waits = [w for episode in range(40) for w in islice(realtime.waits(0, "fake/walk", 0, episode), 50)]
    values, counts = np.unique(waits, return_counts=True)
    assert list(values) == [10, 20, 30, 40]
    assert (np.abs(counts - 500) < 100).all()  # five standard deviations


def test_draws_differ_by_task_training_seed_and_episode_and_are_shared_by_variants() -> None:
    def ranks(*names: object, times: tuple[float, ...] = SPREAD) -> tuple[int, ...]:
        return tuple(islice(RealTime(1000, "key", times).waits(*names), 40))  # type: ignore[arg-type]

    names = [(0, "fake/walk", 0, 0), (1, "fake/walk", 0, 0), (0, "fake/run", 0, 0), (0, "fake/walk", 1, 0),
             (0, "fake/walk", 0, 1)]  # fmt: skip
    assert len({ranks(*n) for n in names}) == len(names)
    slower = ranks(*names[0], times=tuple(2 * ms for ms in SPREAD))
    assert all(b in (2 * a, 2 * a - 1) for a, b in zip(ranks(*names[0]), slower, strict=True))


@given(st.integers(1, len(SEEDS)), st.integers(1, 50))
def test_an_episode_does_not_depend_on_how_many_are_run(count: int, hz: int) -> None:
    realtime = RealTime(hz, "key", SPREAD)
    assert run(count, realtime) == run(len(SEEDS), realtime)[:count]


def test_no_latency_is_the_paused_world() -> None:
    assert run(LOCKSTEP, RealTime(20, "key", (0.0,))) == run(LOCKSTEP, None)


def test_a_slow_policy_loses_success_that_a_fast_one_keeps() -> None:
    fast, slow = (run(LOCKSTEP, RealTime(20, "key", (ms,))) for ms in (10.0, 290.0))
    won = {e.index for e in fast if e.success_ever}, {e.index for e in slow if e.success_ever}
    assert won[1] < won[0]
    # 12 steps, chunks of 3: waits of 1 step leave room for the calls 1+3, 1+3, 1+3; of 6 steps for 6+3, then 3 of 6.
    assert {(e.calls, e.held_steps, e.steps) for e in fast} == {(3, 3, 12)}
    assert {(e.calls, e.held_steps, e.steps) for e in slow} == {(2, 9, 12)}
    for a, b in zip(fast, slow, strict=True):
        assert a.state_hash == b.state_hash
        assert not b.success_ever or b.steps_to_success > a.steps_to_success


class Log(FakeTask):
    """Remembers the actions."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[float] = []

    def step(self, action: np.ndarray):
        self.actions.append(float(action[0]))
        return super().step(action)


def test_the_last_action_goes_on_and_the_policy_sees_what_was_before_the_wait() -> None:
    seen, task = [], Log()

    class Count(FakeMethod):
        """Acts with 0.1, 0.2, 0.3 and so on."""

        calls = 0

        def act(self, observations, generator):
            seen.append(observations.agent_pos[0, :, 0].tolist())
            chunk = super().act(observations, generator)
            self.calls += 1
            chunk[:, :, 0] = 0.1 * (3 * self.calls - 2 + chunk.new_tensor([0, 1, 2]))
            return chunk

    realtime = RealTime(20, "key", (60.0,))  # two steps
    rollout([task], Count("base", fake_spec(), {}), [1], base_seed=0, training_seed=0, realtime=realtime)
    expected = [0, 0, 0.1, 0.2, 0.3, 0.3, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6]
    assert task.actions == pytest.approx(expected)
    positions = np.concatenate([[0], np.cumsum(expected)])
    assert np.array(seen) == pytest.approx(positions[[[0, 0], [4, 5], [9, 10]]])
    assert task.observed == 1 + 2 * 2 + 1  # of the last wait, the step before the end is looked at, the end is not


def test_success_is_looked_at_while_the_robot_waits() -> None:
    class Early(FakeTask):
        def step(self, action):
            return super().step(action)._replace(success=True)

    episode = run(1, RealTime(20, "key", (200.0,)), [Early()])[0]
    assert (episode.success_ever, episode.steps_to_success) == (True, 1)


def test_an_episode_that_ends_while_the_robot_waits_stops_there() -> None:
    class Ends(FakeTask):
        def step(self, action):
            return super().step(action)._replace(done=True)

    episode = run(1, RealTime(20, "key", (200.0,)), [Ends()])[0]
    assert (episode.steps, episode.held_steps, episode.calls) == (1, 1, 1)


def test_actions_that_are_not_finite_are_an_error_of_the_episode() -> None:
    policy = NanMethod("nan", fake_spec(), {})
    realtime = RealTime(20, "key", (60.0,))
    episode = rollout([FakeTask()], policy, [0], base_seed=0, training_seed=0, realtime=realtime)[0]
    assert episode.error is not None
    assert (episode.steps, episode.calls) == (0, 1)
