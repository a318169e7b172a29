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


FAULTS = {
    "observations need point_cloud and agent_pos; there are: agent_pos": without("observations/point_cloud"),
    "episode 1: observations/agent_pos is float64 [4, 3], expected numbers for 5 steps": put(
        "observations/agent_pos", np.zeros((4, 3))
    ),
    "episode 1: actions is float64 [4], expected numbers for 4 steps": put("actions", np.zeros(4)),
    "the arrays of its episodes have different shapes": put("observations/agent_pos", np.zeros((5, 2))),
    "actions is not finite in frame 3 (episode 1)": put("actions", np.full((4, 2), np.nan)),
    "no Minari dataset can be read there": without("actions"),
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


def test_success_that_is_not_known_for_all_is_not_used(tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    change(path, put("infos/success", np.zeros(5, bool)))
    assert_equal(read_minari(path)[0], demo_set(solved=False))


def test_no_environment_is_built_that_a_dataset_names(tmp_path: Path) -> None:
    path = dataset(tmp_path / "demos-v0")
    about = path / "data/metadata.json"
    described = json.loads(about.read_text(encoding="utf-8"))
    del described["observation_space"]
    about.write_text(json.dumps(described), encoding="utf-8")
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
