"""Minari datasets: what is written comes back, Minari itself can load it, faulty ones are refused with their fault."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.demo_import import import_store
from bench.demo_minari import read_minari, write_minari
from bench.interfaces import DemoSet, UserError
from tests.bench.test_demo_files import assert_equal, demo_set
from tests.fakes import fake_spec

h5py = pytest.importorskip("h5py")
minari = pytest.importorskip("minari")
NOTE = "the observation after the last action of each episode left out"


def dataset(path: Path, demos: DemoSet | None = None) -> Path:
    write_minari(demos or demo_set(), path)
    return path


@pytest.mark.parametrize("solved", [True, False])
def test_what_is_written_comes_back(solved: bool, tmp_path: Path) -> None:
    demos = demo_set((3, 120, 1), solved)
    path = dataset(tmp_path / "deep" / "demos-v0", demos)
    found, notes = read_minari(path)
    assert_equal(found, demos)
    assert notes == [NOTE]
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["demos-v0"]
    _, artifact, notes = import_store(path, fake_spec())
    assert artifact.info["imported"] == {"from": "demos-v0", "notes": [NOTE]}


def test_minari_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path / "demos-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    found = minari.load_dataset("demos-v0")
    assert (found.total_episodes, found.total_steps) == (2, 7)
    episode = next(iter(found.iterate_episodes()))
    assert episode.observations["point_cloud"].shape == (4, 4, 3)  # one more than there are actions
    assert episode.infos["success"].tolist() == [False, False, False, True]
    assert found.spec.action_space.contains(episode.actions[0])


def change(path: Path, edit: Callable[[Any], None]) -> None:
    with h5py.File(path / "data/main_data.hdf5", "r+") as file:
        edit(file)


def without(name: str) -> Callable[[Any], None]:
    return lambda file: file["episode_1"].__delitem__(name)


def put(name: str, value: np.ndarray) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file["episode_1"][name]
        file["episode_1"][name] = value

    return edit


def link(name: str, target: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file["episode_1"][name]
        file["episode_1"][name] = target

    return edit


def borrow(file: Any) -> None:
    """Actions that are the bytes of another file."""
    del file["episode_1/actions"]
    file["episode_1"].create_dataset("actions", (4, 2), "u1", external=[("/etc/passwd", 0, 8)])


def compose(file: Any) -> None:
    """Rewards that are those of another file."""
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "rewards", (4,))
    del file["episode_1/rewards"]
    file["episode_1"].create_virtual_dataset("rewards", layout)


def claim(file: Any) -> None:
    file["episode_1"].create_dataset("infos/x", (10**12,), "f8", chunks=(1000,))


FAULTS = {
    "observations need point_cloud and agent_pos; there are: agent_pos": without("observations/point_cloud"),
    "episode 1: observations/agent_pos is float64 [4, 3], expected numbers for 5 steps": put(
        "observations/agent_pos", np.zeros((4, 3))
    ),
    "episode 1: actions is float64 [4], expected numbers for 4 steps": put("actions", np.zeros(4)),
    "the arrays of its episodes have different shapes": put("observations/agent_pos", np.zeros((5, 2))),
    "actions is not finite in frame 3 (episode 1)": put("actions", np.full((4, 2), np.nan)),
    "no Minari dataset can be read there": without("actions"),
    "episode 1: actions is float64 [], expected numbers for 1 steps": put("actions", np.array(0.0)),
    "'/episode_1' holds the link 'actions'": link("actions", h5py.ExternalLink("other.hdf5", "/actions")),
    "'/episode_1/infos' holds the link 'success'": link("infos/success", h5py.SoftLink("/episode_0/infos/success")),
    "has more than one name": lambda file: file.__setitem__("episode_1/infos/x", file["episode_0"]),
    "'/episode_1/actions' lies in another file": borrow,
    "'/episode_1/rewards' lies in another file": compose,
    "bytes, at most 16000000000 are read": claim,
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_faulty_dataset_is_told_its_fault(message: str, tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    change(path, FAULTS[message])
    with pytest.raises(UserError) as caught:
        read_minari(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seen", [np.zeros(5, bool), np.zeros(5, "f4,i4"), np.array([b"no"] * 5)])
def test_success_that_is_not_known_for_all_is_not_used(seen: np.ndarray, tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    change(path, put("infos/success", seen))
    assert_equal(read_minari(path)[0], demo_set(solved=False))


def describe(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    about = path / "data/metadata.json"
    described = json.loads(about.read_text(encoding="utf-8"))
    edit(described)
    about.write_text(json.dumps(described), encoding="utf-8")


def test_arrays_of_different_lengths_are_no_array(tmp_path: Path) -> None:
    path = dataset(tmp_path / "ragged-v0")
    space = '{"type": "MultiBinary", "n": 1}'
    describe(path, lambda it: it.update(action_space=f'{{"type": "Tuple", "subspaces": [{space}, {space}]}}'))
    change(path, lambda file: file["episode_0"].__delitem__("actions"))
    for k in range(2):
        change(path, lambda file, k=k: file.__setitem__(f"episode_0/actions/_index_{k}", np.zeros(3 + k)))
    describe(path, lambda it: it.update(total_episodes=1))
    with pytest.raises(UserError, match="ragged-v0: episode 0: actions is no array"):
        read_minari(path)


def test_no_memory_is_taken_for_episodes_that_are_not_there(tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    describe(path, lambda it: it.update(total_episodes=10**15))
    with pytest.raises(UserError, match="claims 1000000000000000 episodes, and there are 2"):
        read_minari(path)


def test_no_environment_is_built_that_a_dataset_names(tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    describe(path, lambda it: it.pop("observation_space"))
    with pytest.raises(UserError, match="does not describe its spaces"):
        read_minari(path)


def test_places_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="wants a name and a version, as in drawer-open-v0"):
        write_minari(demo_set(), tmp_path / "demos")
    dataset(tmp_path / "demos-v0")
    with pytest.raises(UserError, match="exists already"):
        write_minari(demo_set(), tmp_path / "demos-v0")
    with pytest.raises(UserError, match="actions has 2 values per frame, fake/walk has 7"):
        import_store(tmp_path / "demos-v0", replace(fake_spec(), action_dim=7))
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UserError, match=r"pip install 'visuomotor-bench\[minari\]'"):
        read_minari(tmp_path / "demos-v0")
