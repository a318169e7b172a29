"""Replays: small, exact, and without any influence on what is recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.replay import FRAMES, MAX_BYTES, POINTS, UNIT, About, Recorder, Replay, pack, unpack
from bench.rollout import LOCKSTEP, rollout
from tests.fakes import FakeMethod, FakeTask, fake_spec

ROW = {
    "task": "fake/walk", "variant": "base", "training_seed": 0, "state_hash": "0" * 16, "steps": 200,
    "steps_to_success": None,
}  # fmt: skip


def a_replay(frames: int = FRAMES, points: int = POINTS) -> Replay:
    cloud = np.random.default_rng(0).integers(-9000, 9000, (frames, points, 3)).astype(np.int16)
    about = About(**ROW, episode=3, success=False)
    return Replay(about, cloud, np.arange(frames, dtype=np.int32) * 3)


def test_the_largest_replay_is_small_and_comes_back() -> None:
    replay = a_replay()
    data = pack(replay)
    assert len(data) <= MAX_BYTES
    assert data == pack(replay)
    found = unpack(data)
    assert found.about == replay.about
    assert (found.cloud == replay.cloud).all()
    assert (found.step == replay.step).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a replay"),
        (b"\x80\x04\x95pickle", "not a replay"),
        (b"x" * (MAX_BYTES + 1), "at most"),
        (pack(a_replay(31, 8)), "frames"),
        (pack(a_replay(2, 300)), "points"),
    ],
)
def test_what_is_no_replay_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unpack(data)


def test_steps_must_rise_and_fields_are_checked() -> None:
    replay = a_replay(2)
    with pytest.raises(ValueError, match="rise"):
        unpack(pack(Replay(replay.about, replay.cloud, np.zeros(2, np.int32))))
    data = pack(replay)
    broken = data.replace(json.dumps("fake/walk").encode()[1:-1], b"fake/wal\\", 1)
    with pytest.raises(ValueError, match="not a replay"):
        unpack(broken)


def test_the_first_of_each_outcome_is_kept_with_its_frames() -> None:
    recorder = Recorder()
    clouds = {i: np.full((POINTS + 9, 3), i / 10, np.float32) for i in range(4)}
    for step in range(0, 300, 3):
        for i, cloud in clouds.items():
            recorder.see(i, step, cloud + np.float32(step / 1000))
    recorder.end([(0, False), (1, False), (2, True), (3, True)])
    recorder.see(4, 0, clouds[0])
    recorder.end([(4, True)])
    rows = [{**ROW, "episode": i} for i in range(5)]
    found = {r.about.success: r for r in map(unpack, recorder.pack(rows))}
    assert {success: r.about.episode for success, r in found.items()} == {False: 0, True: 2}
    shown = found[True]
    assert shown.cloud.shape == (FRAMES, POINTS, 3)
    assert (shown.step[0], shown.step[-1]) == (0, 297)
    expected = 0.2 + shown.step[:, None, None] / 1000
    assert np.abs(shown.cloud * UNIT - expected).max() <= UNIT


def test_recording_changes_no_episode() -> None:
    def run(recorder: Recorder | None) -> list[object]:
        policy = FakeMethod("base", fake_spec(), {})
        policy.network.bias.data[:] = 0.3
        tasks = [FakeTask() for _ in range(LOCKSTEP)]
        return list(rollout(tasks, policy, list(range(30)), base_seed=0, training_seed=0, recorder=recorder))

    recorder = Recorder()
    assert run(recorder) == run(None)
    assert set(recorder.kept) == {True, False}
