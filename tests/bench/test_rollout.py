"""The evaluator."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.interfaces import Outcome
from bench.rollout import LOCKSTEP, Episode, rollout
from tests.fakes import FakeMethod, FakeTask, NanMethod, fake_spec

SEEDS = list(range(2 * LOCKSTEP + 3))


def run(
    count: int, method: FakeMethod | None = None, tasks: list[FakeTask] | None = None, until_success: bool = False
) -> list[Episode]:
    policy = method or FakeMethod("base", fake_spec(), {})
    policy.network.bias.data[:] = 0.3  # forward
    tasks = tasks or [FakeTask() for _ in range(LOCKSTEP)]
    return rollout(tasks, policy, SEEDS[:count], base_seed=0, training_seed=0, until_success=until_success)


@given(st.integers(1, len(SEEDS)))
def test_an_episode_does_not_depend_on_how_many_are_run(count: int) -> None:
    assert run(count) == run(len(SEEDS))[:count]


def test_success_is_recorded_with_its_step() -> None:
    episodes = run(LOCKSTEP)
    assert {e.success_ever for e in episodes} == {True, False}
    for episode in episodes:
        assert episode.steps == 12
        assert (episode.steps_to_success is not None) == episode.success_ever
        assert not episode.success_end or episode.success_ever


def test_until_success_episodes_end_there_and_nothing_else_changes() -> None:
    whole, short = run(LOCKSTEP), run(LOCKSTEP, until_success=True)
    assert [e.steps_to_success for e in short] == [e.steps_to_success for e in whole]
    assert all(a.steps == a.steps_to_success and a.success_end for a in short if a.success_ever)
    assert [a for a in short if not a.success_ever] == [b for b in whole if not b.success_ever]
    assert sum(e.steps for e in short) < sum(e.steps for e in whole)


class Blink(FakeTask):
    """Success shows in a single step only."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.blink, self.count = step, 0

    def step(self, action: object) -> Outcome:
        self.count += 1
        return Outcome(self.count == self.blink, False, 0.0)


@pytest.mark.parametrize("step", range(1, 13))
def test_success_is_looked_at_in_every_step(step: int) -> None:
    episode = run(1, tasks=[Blink(step)])[0]
    assert (episode.success_ever, episode.steps_to_success) == (True, step)
    assert episode.success_end == (step == 12)


class Lenient(Blink):
    """Has a second rule of success, by which one more step is a success."""

    def step(self, action: object) -> Outcome:
        outcome = super().step(action)
        return outcome._replace(success_alt=self.count in (self.blink, self.blink + 1))


@pytest.mark.parametrize(
    ("step", "ever", "end"), [(3, True, False), (11, True, True), (12, True, True), (99, False, False)]
)
def test_a_second_rule_of_success_is_recorded_beside_the_first(step: int, ever: bool, end: bool) -> None:
    episode = run(1, tasks=[Lenient(step)])[0]
    assert (episode.success_alt_ever, episode.success_alt_end) == (ever, end)
    assert (episode.success_ever, episode.success_end) == (step <= 12, step == 12)
    other = run(1)[0]
    assert (other.success_alt_ever, other.success_alt_end) == (None, None)


def test_clouds_are_made_only_where_the_policy_looks() -> None:
    task = FakeTask()
    run(1, tasks=[task])
    # Four chunks of three steps: at reset one cloud, then the last two steps of each chunk but the last step of all.
    assert task.observed == 1 + 4 * 2 - 1


def test_the_policy_sees_the_first_observation_twice_and_then_the_last_two() -> None:
    seen = []

    class Watch(FakeMethod):
        def act(self, observations, generator):
            seen.append(observations.agent_pos[0, :, 0].tolist())
            return super().act(observations, generator)

    policy = Watch("base", fake_spec(), {})
    policy.network.bias.data[:] = 0.0
    policy.network.bias.data[0] = 5.0  # clipped: exactly one unit a step
    rollout([FakeTask()], policy, [1], base_seed=0, training_seed=0)
    assert seen == [[0.0, 0.0], [2.0, 3.0], [5.0, 6.0], [8.0, 9.0]]


def test_actions_that_are_not_finite_are_an_error_of_the_episode() -> None:
    episodes = run(3, NanMethod("nan", fake_spec(), {}))
    assert all(e.error and "not finite" in e.error and not e.success_ever for e in episodes)


def test_the_action_hash_is_that_of_the_executed_actions() -> None:
    executed: list[bytes] = []

    class Watch(FakeTask):
        def step(self, action):
            executed.append(np.asarray(action, "<f4").tobytes())
            return super().step(action)

    first, second = run(1, tasks=[Watch()]), run(2)
    assert first[0].action_hash == hashlib.sha256(b"".join(executed)).hexdigest()[:16]
    assert first[0].action_hash == second[0].action_hash != second[1].action_hash


def test_an_episode_that_ends_by_itself_stops_there() -> None:
    class Ends(FakeTask):
        def step(self, action):
            outcome = super().step(action)
            return outcome._replace(done=self.position > 1.0)

    episodes = run(4, tasks=[Ends() for _ in range(LOCKSTEP)])
    assert all(e.steps < 12 for e in episodes)


def test_a_chunk_of_the_wrong_shape_is_named() -> None:
    class Wrong(FakeMethod):
        def act(self, observations, generator):
            return super().act(observations, generator)[:, :2]

    with pytest.raises(ValueError, match=r"expected \(20, 3, 2\)"):
        run(1, Wrong("base", fake_spec(), {}))
