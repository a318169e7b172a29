"""The cache: whole or not there, damage is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.artifacts import (
    Artifact,
    Cache,
    StorageError,
    pack_demos,
    pack_tensors,
    unpack_demos,
    unpack_tensors,
    write_atomically,
)
from bench.interfaces import DemoSet, UserError

KEY = "0123456789abcdef0123"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_round_trip(cache: Cache) -> None:
    tensors = {"b": torch.randn(3, 2), "a": torch.arange(4)}
    cache.save(KEY, Artifact(pack_tensors(tensors), {"curve": [1]}))
    loaded = cache.load(KEY)
    assert KEY in cache
    assert loaded.info == {"curve": [1]}
    assert all(tensor.equal(tensors[name]) for name, tensor in unpack_tensors(loaded.data).items())


def test_the_same_tensors_give_the_same_bytes() -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(1)}
    assert pack_tensors(tensors) == pack_tensors(dict(reversed(tensors.items())))


@pytest.mark.parametrize("position", [0, 8, 100, -1])
def test_a_flipped_bit_is_refused_with_the_file(cache: Cache, position: int) -> None:
    cache.save(KEY, Artifact(pack_tensors({"a": torch.zeros(64)})))
    data = bytearray(cache.path(KEY).read_bytes())
    data[position] ^= 1
    cache.path(KEY).write_bytes(data)
    with pytest.raises(UserError, match=f"{KEY}.safetensors: damaged"):
        cache.load(KEY)


def test_a_changed_side_file_is_refused(cache: Cache) -> None:
    cache.save(KEY, Artifact(b"x", {"curve": [{"successes": 0}]}))
    side = cache.folder / f"{KEY}.json"
    side.write_text(side.read_text().replace('"successes": 0', '"successes": 2'))
    with pytest.raises(UserError, match=f"{KEY}.json: unreadable"):
        cache.load(KEY)


def test_files_are_readable_as_the_umask_says(cache: Cache) -> None:
    cache.save(KEY, Artifact(b"x"))
    (cache.folder / "plain").write_bytes(b"x")
    assert cache.path(KEY).stat().st_mode == (cache.folder / "plain").stat().st_mode


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        Cache(tmp_path / "file").save(KEY, Artifact(b"x"))


def test_without_its_side_file_an_artefact_is_not_there(cache: Cache) -> None:
    cache.save(KEY, Artifact(b"x"))
    (cache.folder / f"{KEY}.json").unlink()
    assert KEY not in cache


def test_a_damaged_snapshot_is_as_none(cache: Cache) -> None:
    assert cache.load_snapshot(KEY) is None
    cache.save_snapshot(KEY, b"state")
    assert cache.load_snapshot(KEY) == b"state"
    cache.snapshot_path(KEY).write_bytes(cache.snapshot_path(KEY).read_bytes()[:-1])
    assert cache.load_snapshot(KEY) is None


def test_a_finished_training_leaves_no_snapshot(cache: Cache) -> None:
    cache.save_snapshot(KEY, b"state")
    cache.save(KEY, Artifact(b"x"))
    assert cache.load_snapshot(KEY) is None


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def demos(frames: int = 6) -> DemoSet:
    return DemoSet(
        np.zeros((frames, 4, 3), np.float32), np.zeros((frames, 3), np.float32), np.zeros((frames, 2), np.float32),
        np.array([2, 6]),
    )  # fmt: skip


def test_demo_set_round_trip_and_checks() -> None:
    again = unpack_demos(pack_demos(demos()))
    assert again.episode_ends.tolist() == [2, 6]
    with pytest.raises(UserError, match="lengths do not agree"):
        unpack_demos(pack_demos(demos(frames=5)))
    with pytest.raises(UserError, match="not readable as safetensors"):
        unpack_demos(b"garbage!")
    with pytest.raises(UserError, match="array 'action' is missing"):
        unpack_demos(pack_tensors({"agent_pos": torch.zeros(2)}))


@pytest.mark.parametrize("unpack", [unpack_demos, unpack_tensors])
def test_what_a_damaged_file_says_does_not_break_the_line(unpack) -> None:
    header = json.dumps({"x": {"dtype": "a\nb", "shape": [1], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(UserError) as error:
        unpack(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "\n" not in str(error.value)
