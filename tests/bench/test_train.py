"""The training loop: interrupted and resumed, it comes to the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.artifacts import pack_tensors, unpack_tensors
from bench.demos import collect_demos
from bench.train import curve_steps, train
from tests.fakes import FakeMethod, FakeTask, fake_spec

DEMOS, _ = collect_demos(FakeTask(), 3, base_seed=0)


def run(snapshot: bytes | None = None, snapshots: dict[int, bytes] | None = None) -> tuple[bytes, list]:
    method = FakeMethod("base", fake_spec(), {})
    evaluations = iter(range(100))

    def on_step(step, make_snapshot):
        if snapshots is not None:
            snapshots[step] = pack_tensors(make_snapshot())

    curve = train(
        method, DEMOS, None, np.random.SeedSequence(5), points=4, on_step=on_step,
        evaluate=lambda: {"norm": method.network.weight.norm().item(), "unused": next(evaluations) * 0},
        snapshot=unpack_tensors(snapshot) if snapshot else None,
    )  # fmt: skip
    return pack_tensors(method.state()), curve


SNAPSHOTS: dict[int, bytes] = {}
UNDISTURBED = run(snapshots=SNAPSHOTS)


@given(st.integers(1, 20))
def test_resumed_at_any_step_it_ends_the_same(step: int) -> None:
    assert run(SNAPSHOTS[step]) == UNDISTURBED


def test_resumed_from_a_resumed_one() -> None:
    later: dict[int, bytes] = {}
    run(SNAPSHOTS[4], later)
    assert later[15] == SNAPSHOTS[15]


def test_the_curve_is_measured_at_its_points() -> None:
    assert [row["step"] for row in UNDISTURBED[1]] == [5, 10, 15, 20]
    assert curve_steps(3, 5) == [1, 2, 3]


def test_training_changes_the_policy() -> None:
    states = [unpack_tensors(SNAPSHOTS[step])["weight"] for step in (1, 20)]
    assert not states[0].equal(states[1])


def test_divergence_is_an_error() -> None:
    class Diverges(FakeMethod):
        def fit_step(self, batch, generator):
            return {"loss": torch.tensor(torch.nan)}

    with pytest.raises(RuntimeError, match="diverged"):
        train(Diverges("base", fake_spec(), {}), DEMOS, None, np.random.SeedSequence(5), points=4, evaluate=lambda: {})


def test_demos_are_clipped_and_seeded() -> None:
    again, seeds = collect_demos(FakeTask(), 3, base_seed=0)
    assert np.array_equal(again.agent_pos, DEMOS.agent_pos)
    assert DEMOS.action.max() == 1.0
    assert len(set(seeds)) == 3
    starts = np.array([0, *DEMOS.episode_ends[:-1]])
    assert (DEMOS.agent_pos[DEMOS.solved, 0] + 1 >= DEMOS.agent_pos[DEMOS.solved, 1]).all()  # one step of one unit
    assert (DEMOS.agent_pos[DEMOS.solved, 0] < DEMOS.agent_pos[DEMOS.solved, 1]).all()
    assert (DEMOS.solved >= starts).all()
    other, _ = collect_demos(FakeTask(), 3, base_seed=1)
    assert not np.array_equal(other.agent_pos, DEMOS.agent_pos)


def test_an_expert_that_fails_is_named() -> None:
    class Hopeless(FakeTask):
        def step(self, action):
            return super().step(action)._replace(success=False)

    with pytest.raises(RuntimeError, match="0 of 2 demos in 20 episodes"):
        collect_demos(Hopeless(), 2, base_seed=0)
