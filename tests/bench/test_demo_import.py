"""Demo sets of others: their data are part of every key that comes from them, and the records say so."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.artifacts import Cache, unpack_demos
from bench.demo_files import read_zarr, write_zarr
from bench.demo_import import import_store, load_imported, resolve
from bench.interfaces import DemoSet, UserError
from bench.plan import make_plan
from bench.spec import make_spec
from bench.store import load_run, read_manifest
from tests.bench.test_demo_files import assert_equal
from tests.fakes import fake_spec

pytest.importorskip("zarr")
pytestmark = pytest.mark.usefixtures("fake_registry")
TASK = "fake/walk"


def store(path: Path, scale: float = 1.0, points: int = 4) -> Path:
    """Ten episodes of the fake task's expert, as a stranger writes them."""
    rng = np.random.default_rng(1)
    frames = 60
    action = np.tile(np.float32([scale, 0]), (frames, 1))
    cloud = rng.normal(size=(frames, points, 3)).astype(np.float32)
    state = rng.normal(size=(frames, 3)).astype(np.float32)
    write_zarr(DemoSet(cloud, state, action, np.arange(6, 61, 6)), path)
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
    monkeypatch.setattr("bench.app.latency_jobs", lambda *_: [])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_keys_hold_the_data_and_the_task(tmp_path: Path) -> None:
    task = fake_spec(TASK)
    key, artifact, notes = import_store(store(tmp_path / "one"), task)
    assert notes == []
    assert import_store(store(tmp_path / "copy"), task)[0] == key
    assert import_store(store(tmp_path / "other", scale=0.5), task)[0] != key
    assert import_store(tmp_path / "one", replace(task, engine="fake 2.0"))[0] != key
    cache = Cache(tmp_path / "cache")
    cache.save(key, artifact)
    assert_equal(load_imported(key, task, cache), read_zarr(tmp_path / "one")[0])
    with pytest.raises(UserError, match="import it again"):
        load_imported(key, replace(task, engine="fake 2.0"), cache)
    with pytest.raises(UserError, match="no imported demo set"):
        resolve({TASK: "0" * 20}, cache)


def test_an_import_moves_its_own_keys_and_no_others() -> None:
    plain = make_plan(make_spec(["base", "student"], ["fake/walk", "fake/run"], profile_name="smoke"))
    spec = make_spec(["base", "student"], ["fake/walk", "fake/run"], profile_name="smoke", demos={TASK: "ab" * 10})
    moved = make_plan(spec)
    for before, after in zip(plain, moved, strict=True):
        assert (before.key == after.key) == (before.task.id != TASK)
        assert after.imported == ("ab" * 10 if before.task.id == TASK else None)
    assert "demos" not in make_spec(["base"], [TASK]).to_json()
    with pytest.raises(UserError, match="the run has no such task; it has fake/walk"):
        make_spec(["base"], [TASK], demos={"fake/run": "ab" * 10})


def test_what_does_not_fit_is_refused_and_actions_are_clipped(tmp_path: Path) -> None:
    task = fake_spec(TASK)
    with pytest.raises(UserError, match="data/point_cloud has 5 points per frame, fake/walk has 4"):
        import_store(store(tmp_path / "points", points=5), task)
    with pytest.raises(UserError, match="data/action has 2 values per frame, fake/walk has 7"):
        import_store(store(tmp_path / "one"), replace(task, action_dim=7))
    _, artifact, notes = import_store(store(tmp_path / "wide", scale=3.0), task)
    assert notes == ["50.0% of the action values, from 0 to 3, were clipped to [-1, 1]"]
    assert unpack_demos(artifact.data).action.max() == 1


def test_a_store_of_ten_episodes_is_imported_trained_on_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "ten.zarr")
    run = ("run", "--profile", "smoke", "--workers", "0", "--tasks", TASK, "--methods", "base,student")
    assert call(monkeypatch, *run, "--out", "run", "--demos", f"{TASK}=ten.zarr", "--dry-run") == 0
    assert not (tmp_path / "cache").exists()
    assert call(monkeypatch, *run, "--out", "run", "--demos", f"{TASK}=ten.zarr") == 0
    (key,) = read_manifest(tmp_path / "run")["spec"]["demos"].values()
    found = load_run(tmp_path / "run")
    assert len(found.episodes) == 4
    assert set(found.episodes["demos"]) == set(found.curves["demos"]) == {key}
    assert found.errors.empty
    assert f"imported for fake/walk ({key})" in (tmp_path / "reports/run/README.md").read_text(encoding="utf-8")
    side = json.loads((tmp_path / f"cache/{key}.json").read_text(encoding="utf-8"))
    assert side["info"]["imported"]["from"] == "ten.zarr"
    capsys.readouterr()
    assert call(monkeypatch, *run, "--out", "run", "--demos", f"{TASK}=ten.zarr") == 0
    assert "2 done already" in capsys.readouterr().out
    assert call(monkeypatch, *run, "--out", "again", "--demos", f"{TASK}={key}") == 0
    assert (tmp_path / "again/episodes.jsonl").read_bytes() == (tmp_path / "run/episodes.jsonl").read_bytes()
    assert call(monkeypatch, *run, "--out", "own") == 0  # the expert's demos give other cells, without the field
    assert '"demos"' not in (tmp_path / "own/episodes.jsonl").read_text(encoding="utf-8")
    capsys.readouterr()
    assert call(monkeypatch, "compare", "run", "--ci") == 2
    assert "made with imported demos" in capsys.readouterr().err


def test_the_hint_names_a_cache_that_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "ten.zarr")
    assert call(monkeypatch, "demos", "import", "ten.zarr", "--task", TASK, "--cache", "my cache") == 0
    hint = capsys.readouterr().out.rpartition("bench run")[2].split("--demos")[1]
    assert hint.rstrip().endswith(" --cache 'my cache'")
    assert call(monkeypatch, "demos", "import", "ten.zarr", "--task", TASK) == 0
    assert "--cache" not in capsys.readouterr().out


def test_export_then_import_gives_the_same_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "demos", "export", TASK, "out.zarr", "--profile", "smoke") == 0
    assert call(monkeypatch, "demos", "import", "out.zarr", "--task", TASK) == 0
    key = capsys.readouterr().out.strip().rpartition("=")[2]
    cache = Cache(Path("results/cache"))
    (own,) = (file.stem for file in cache.folder.glob("*.json") if file.stem != key)
    assert_equal(unpack_demos(cache.load(key).data), unpack_demos(cache.load(own).data))
    assert call(monkeypatch, "demos", "inspect", key, "--picture", "it.png") == 0
    assert "2 episodes" in capsys.readouterr().out
    assert Path("it.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--methods", "base", "--tasks", TASK, "--demos", "x.zarr"], "write task=source"),
        (["run", "--methods", "base", "--tasks", TASK, "--demos", f"{TASK}=x.zarr"], "x.zarr: there is no Zarr store"),
        (["run", "--methods", "base", "--tasks", TASK, "--demos", "fake/wlk=x.zarr"], "did you mean fake/walk"),
        (["run", "--methods", "base", "--tasks", TASK, "--demos", "a=b", "--demos", "a=c"], "two demo sets for a"),
        (["demos", "import", "x.zarr", "--task", "fake/wlk"], "did you mean fake/walk"),
        (["demos", "inspect", "fake/wlk"], "did you mean fake/walk"),
        (["demos", "inspect", "0" * 20], "no demo set of that key"),
        (["demos", "export", TASK, "."], "exists already"),
    ],
)  # fmt: skip
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
