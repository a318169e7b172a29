"""How far actions spread over a policy's noise: the known answer, and that looking changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.rollout import LOCKSTEP, Episode, rollout
from tests.fakes import FakeMethod, FakeTask, NanMethod, fake_spec


class Still(FakeMethod):
    """Always acts the same."""

    def sample(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.full((len(condition), self.spec.executed_steps, 2), 0.3)


def run(method: type[FakeMethod], *, spread: bool, count: int = LOCKSTEP + 3) -> list[Episode]:
    policy = method("base", fake_spec(), {})
    tasks = [FakeTask() for _ in range(LOCKSTEP)]
    return rollout(tasks, policy, list(range(count)), base_seed=0, training_seed=0, spread=spread)


def test_a_deterministic_policy_has_none() -> None:
    assert [episode.action_spread for episode in run(Still, spread=True)] == [0.0] * (LOCKSTEP + 3)


def test_it_is_the_standard_deviation_over_noise() -> None:
    # `FakeMethod` adds noise of 0.05
    spreads = [episode.action_spread for episode in run(FakeMethod, spread=True)]
    assert len(set(spreads)) == len(spreads)
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(0.05, rel=0.1)


def test_looking_changes_nothing_else() -> None:
    seen, unseen = run(FakeMethod, spread=True), run(FakeMethod, spread=False)
    assert [replace(episode, action_spread=None) for episode in seen] == unseen


def test_an_episode_does_not_depend_on_how_many_are_run() -> None:
    assert run(FakeMethod, spread=True, count=2) == run(FakeMethod, spread=True)[:2]


def test_actions_that_are_not_finite_have_none() -> None:
    assert [episode.action_spread for episode in run(NanMethod, spread=True, count=2)] == [None, None]
