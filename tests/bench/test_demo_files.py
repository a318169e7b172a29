"""Zarr stores in DP3's layout: what is written comes back; faulty or hostile stores are refused with their fault."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.demo_figure import counts, draw, picture, ranges
from bench.demo_files import check, read_zarr, write_zarr
from bench.interfaces import DemoSet, UserError


def demo_set(lengths: tuple[int, ...] = (3, 4), solved: bool = True) -> DemoSet:
    rng = np.random.default_rng(0)
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    cloud, state, action = (rng.uniform(-1, 1, (total, *size)).astype(np.float32) for size in ((4, 3), (3,), (2,)))
    known = {"solved": ends - 1} if solved else {}
    return DemoSet(cloud, state, action, ends, **known)


def assert_equal(one: DemoSet, other: DemoSet) -> None:
    for field in fields(DemoSet):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype, field.name
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def write_raw(path: Path, zarr_format: int = 2, **changes: Any) -> Path:
    """A store as a stranger writes it; a change of None leaves an array out."""
    zarr = pytest.importorskip("zarr")
    demos = demo_set()
    arrays = {"data/point_cloud": demos.point_cloud, "data/state": demos.agent_pos, "data/action": demos.action}
    arrays |= {"meta/episode_ends": demos.episode_ends} | {k.replace("_of_", "/"): v for k, v in changes.items()}
    root = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for name, array in arrays.items():
        if array is not None:
            root.create_array(name, data=array)
    return path


@pytest.mark.parametrize("solved", [True, False])
def test_what_is_written_comes_back(solved: bool, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    demos = demo_set((3, 120, 1), solved)
    write_zarr(demos, tmp_path / "deep" / "demos.zarr")
    found, notes = read_zarr(tmp_path / "deep" / "demos.zarr")
    assert_equal(found, demos)
    assert notes == []
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["demos.zarr"]
    layout = json.loads((tmp_path / "deep/demos.zarr/data/point_cloud/.zarray").read_text(encoding="utf-8"))
    assert layout["zarr_format"] == 2  # what the published code reads
    with pytest.raises(UserError, match="exists already"):
        write_zarr(demos, tmp_path / "deep" / "demos.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_colours_and_other_arrays_are_left_out(zarr_format: int, tmp_path: Path) -> None:
    cloud = demo_set().point_cloud
    path = write_raw(
        tmp_path / "demos", zarr_format,
        data_of_point_cloud=np.concatenate([cloud, cloud], axis=2).astype(np.float64), data_of_img=np.zeros((7, 2)),
    )  # fmt: skip
    found, notes = read_zarr(path)
    assert_equal(found, demo_set(solved=False))
    assert notes == ["not used: data/img", "colours of the points left out"]


FAULTS = {
    "data/state' is missing; there are: data/action": {"data_of_state": None},
    "data/action has shape [7, 2, 1], expected [T, A]": {"data_of_action": np.zeros((7, 2, 1), np.float32)},
    "data/point_cloud has shape [7, 4, 2], expected [T, N, 3]": {"data_of_point_cloud": np.zeros((7, 4, 2))},
    "data/state 6": {"data_of_state": np.zeros((6, 3), np.float32)},
    "must rise to the number of frames, 7": {"meta_of_episode_ends": np.array([3, 8])},
    "and does not: [4 4 7]": {"meta_of_episode_ends": np.array([4, 4, 7])},
    "expected whole numbers": {"meta_of_episode_ends": np.array([3.0, 7.0])},
    "of type bool, expected numbers": {"data_of_state": np.zeros((7, 3), bool)},
    "meta/solved must hold one frame of each episode": {"meta_of_solved": np.array([3, 6])},
    "data/action is not finite in frame 5 (episode 1)": {
        "data_of_action": np.where(np.arange(7)[:, None] == 5, np.nan, np.zeros((7, 2)))
    },
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_faulty_store_is_told_its_fault(message: str, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "demos", **FAULTS[message])
    with pytest.raises(UserError) as caught:
        read_zarr(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_store_and_no_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "file").write_text("text")
    for path, message in ((tmp_path, "no Zarr store can be read"), (tmp_path / "file", "no Zarr store can be read"),
                          (tmp_path / "nowhere", "there is no Zarr store")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_zarr(path)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(UserError, match=r"pip install 'visuomotor-bench\[zarr\]'"):
        read_zarr(tmp_path)


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    write_zarr(demo_set(), tmp_path / "demos")
    (tmp_path / "demos/data/action/0.0").write_bytes(b"damaged")
    with pytest.raises(UserError, match="array 'data/action' is damaged"):
        read_zarr(tmp_path / "demos")


@pytest.mark.parametrize(
    "claim", [{"shape": [10**10, 2]}, {"chunks": [10**10, 2]}, {"shape": [10**9, 2], "chunks": [1, 1]}]
)
def test_an_array_that_claims_a_size_beyond_all_is_refused_before_its_memory_is_taken(claim, tmp_path: Path) -> None:
    """A file of a few bytes can claim any size, and its missing chunks are filled with zeros."""
    path = write_raw(tmp_path / "demos")
    meta = path / "data/action/.zarray"
    meta.write_text(json.dumps(json.loads(meta.read_text(encoding="utf-8")) | claim), encoding="utf-8")
    with pytest.raises(UserError, match=r"array 'data/action' claims .* chunks, at most"):
        read_zarr(path)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_store_runs_no_code(place: str, tmp_path: Path) -> None:
    """A codec that unpickles what it reads would run whatever the file says."""
    path, marker = write_raw(tmp_path / "demos"), tmp_path / "was-here"
    meta, codec = path / "data/action/.zarray", {"id": "pickle", "protocol": 2}
    described = json.loads(meta.read_text(encoding="utf-8"))
    described |= {"filters": [codec], "compressor": None} if place == "filters" else {"compressor": codec}
    meta.write_text(json.dumps(described), encoding="utf-8")
    for chunk in (path / "data/action").glob("[0-9]*"):
        chunk.write_text(f"cos\nmkdir\n(V{marker}\ntR.", encoding="utf-8")
    with pytest.raises(UserError, match="pickle"):
        read_zarr(path)
    assert not marker.exists()


def test_figures_and_picture() -> None:
    demos = demo_set()
    assert counts(demos) == (
        "2 episodes, 7 frames of 4 points; 3 to 4 steps each (median 4); solved after 3 to 4 steps (median 4)"
    )
    assert "first success not recorded" in counts(demo_set(solved=False))
    wide = replace(demos, action=np.array([[2.0, 0.5]] * 3 + [[0.0, 0.5]] * 4, np.float32))
    rows = {name: rest for name, *rest in ranges(wide)}
    assert list(rows) == [*(f"point_cloud {a}, m" for a in "xyz"), *(f"state {i}" for i in range(3)), "action 0",
                          "action 1"]  # fmt: skip
    assert rows["action 0"][0::2][:2] == [0.0, 2.0]
    assert rows["action 0"][4] == "42.9% outside [-1, 1]"
    assert rows["action 1"][4] == "constant"
    assert picture(demos, "a title").startswith(b"\x89PNG")
    episodes = draw(demos, "a title").axes[1].get_xticks()
    assert (episodes == episodes.round()).all()  # there is no episode 0.25
    check(demos, "these")
