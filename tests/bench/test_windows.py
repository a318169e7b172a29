"""Training windows."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.interfaces import DemoSet
from bench.windows import batches, window_indices
from tests.fakes import FakeMethod, fake_spec


@pytest.mark.parametrize(("horizon", "n_action_steps", "count"), [(4, 4, 201), (16, 8, 193)])
def test_published_window_counts(horizon: int, n_action_steps: int, count: int) -> None:
    frames, steps = window_indices(np.array([200, 400]), horizon, 2, n_action_steps)
    assert frames.shape == (2 * count, 2)
    assert steps.shape == (2 * count, horizon)


def test_edges_are_repeated_and_episodes_do_not_mix() -> None:
    frames, steps = window_indices(np.array([5, 10]), 4, 2, 4)
    assert steps[0].tolist() == [0, 0, 1, 2]  # starts at -1
    assert frames[0].tolist() == [0, 0]
    assert steps[5].tolist() == [4, 4, 4, 4]
    assert steps[6].tolist() == [5, 5, 6, 7]
    assert steps[-1].tolist() == [9, 9, 9, 9]


def test_windows_long_after_success_are_left_out() -> None:
    _, steps = window_indices(np.array([10, 20]), 4, 2, 4, np.array([3, 25]))
    assert steps[4].tolist() == [3, 4, 5, 6]  # the last of the first episode, whole
    assert steps[5].tolist() == [10, 10, 11, 12]
    assert len(steps) == 5 + 11


def _demos(lengths: list[int]) -> DemoSet:
    total = sum(lengths)
    action = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    return DemoSet(
        np.zeros((total, 4, 3), np.float32),
        np.zeros((total, 3), np.float32),
        action,
        np.cumsum(lengths, dtype=np.int64),
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 12))
def test_batches_can_start_at_any_step(lengths: list[int], first: int) -> None:
    demos, spec = _demos(lengths), FakeMethod("base", fake_spec(), {}).spec
    whole = list(islice(batches(demos, spec, np.random.SeedSequence(3)), first + 3))
    later = list(islice(batches(demos, spec, np.random.SeedSequence(3), first), 3))
    for one, other in zip(whole[first:], later, strict=True):
        assert (one.step, one.epoch) == (other.step, other.epoch)
        assert one.frames.equal(other.frames)
        assert one.action.equal(other.action)


def test_an_epoch_visits_no_window_twice() -> None:
    demos, spec = _demos([40]), FakeMethod("base", fake_spec(), {}).spec
    epoch = [b for b in islice(batches(demos, spec, np.random.SeedSequence(0)), 5) if b.epoch == 0]
    assert len(epoch) == 5
    rows = np.concatenate([b.action.flatten(1).numpy() for b in epoch])
    assert len(np.unique(rows, axis=0)) == len(rows)
