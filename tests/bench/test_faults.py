"""Each fault is one error of one cell, listed and counted; everything else is as if it were not there."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench import app, registry
from bench.artifacts import Cache, StorageError
from bench.interfaces import UserError
from bench.spec import make_spec
from bench.store import RunFolder, load_run
from bench.worker import Worker
from tests.faulty import MARK, FaultyRegistry


@pytest.fixture(autouse=True)
def _faulty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FaultyRegistry()
    monkeypatch.setattr(registry, "methods", lambda: fakes)
    monkeypatch.setattr(registry, "tasks", lambda: fakes)
    monkeypatch.setattr("bench.report.save", lambda *_: [])  # pictures take most of the time
    monkeypatch.setenv(MARK, os.devnull)


def run(root: Path, methods: str, tasks: str = "fake/walk", out: str = "run", **options) -> tuple[int, str]:
    spec = make_spec(methods.split(","), tasks.split(","), profile_name="smoke")
    places = (root / out, root / "cache", root / "reports")
    console = Console(file=io.StringIO(), width=200)
    code = app.run(spec, app.Settings(*places, 0, None, "cpu", False, latency=False, **options), console)
    return code, console.file.getvalue()


def rows(root: Path, name: str, out: str = "run") -> list[dict]:
    path = root / out / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The episodes of a sound method on a sound task."""
    root = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        fakes = FaultyRegistry()
        patch.setattr(registry, "methods", lambda: fakes)
        patch.setattr(registry, "tasks", lambda: fakes)
        assert run(root, "base")[0] == 0
    return rows(root, "episodes")


METHODS = {
    "broken": "RuntimeError: a fault in the method",
    "nan": "2 of 2 episodes: the policy returned actions that are not finite",
    "shape": "expected (20, 3, 2)",
    "dtype": "returned int64, expected floating-point numbers",
    "no-tensor": "has no attribute",
}
TASKS = {
    "fake/diverges": "2 of 2 episodes: the simulator diverged: it shows values that are not finite",
    "fake/reward-diverges": "2 of 2 episodes: the simulator diverged: its reward is not finite",
    "fake/raises": "FloatingPointError: mj_step: unstable",
    "fake/odd-success": "ValidationError: 1 validation error for EpisodeRow",
    "fake/demos-diverge": "the demos of fake/demos-diverge hold values that are not finite",
}


def check_one_error(root: Path, code: int, said: str, message: str, sound: list[dict]) -> None:
    assert code == 3
    assert "1 cells in error, their 2 episodes count as failures" in said
    [error] = rows(root, "errors")
    assert message in error["error"]
    assert error["traceback"]
    assert error["attempts"] == 1
    episodes = rows(root, "episodes")
    assert [e for e in episodes if e["error"] is None] == sound
    failed = [e for e in episodes if e["error"]]
    assert len(failed) == 2
    report = root / "reports" / "run"
    assert "errors" in (report / "README.md").read_text()
    summary = load_run(root / "run")
    assert len(summary.episodes) == 4


@pytest.mark.parametrize("method", METHODS)
def test_a_fault_of_a_method(tmp_path: Path, method: str, sound: list[dict]) -> None:
    code, said = run(tmp_path, f"{method},base")
    check_one_error(tmp_path, code, said, METHODS[method], sound)


@pytest.mark.parametrize("task", TASKS)
def test_a_fault_of_a_simulator(tmp_path: Path, task: str, sound: list[dict]) -> None:
    code, said = run(tmp_path, "base", f"{task},fake/walk")
    check_one_error(tmp_path, code, said, TASKS[task], sound)


def test_a_method_that_hangs_is_stopped_where_it_hung(tmp_path: Path, sound: list[dict]) -> None:
    code, said = run(tmp_path, "hangs,base", cell_timeout_s=2.0)
    check_one_error(tmp_path, code, said, "took longer than the limit of 2 s", sound)
    assert "time.sleep(3600)" in rows(tmp_path, "errors")[0]["traceback"]


@pytest.mark.parametrize("stopped", [False, True])
def test_ctrl_c_while_a_run_writes_down_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: list[dict], stopped: bool
) -> None:
    """The work has ended by then: there is nothing left to be stopped, and the description must be whole."""
    described: list[str] = []
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background of a shell

    def git_state() -> dict:
        described.append("at the end" if described else "at the start")
        if described[-1] == "at the end":
            os.kill(os.getpid(), signal.SIGINT)
        return {"revision": None, "dirty": False, "diff_sha256": None}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "git_state", git_state)
    if stopped:
        monkeypatch.setattr(app, "_do", stop)
    code, said = run(tmp_path, "base")
    assert code == (app.INTERRUPTED if stopped else 0)
    assert said.count("the same command goes on from here") == stopped
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["wall_seconds"] > 0
    assert stopped or rows(tmp_path, "episodes") == sound
    assert signal.getsignal(signal.SIGINT) is before


def test_a_simulator_that_cannot_be_closed_harms_nobody(tmp_path: Path, sound: list[dict]) -> None:
    """Not the next task of the worker, nor its own, which gets simulators anew."""
    code, said = run(tmp_path, "base", "fake/never-closes,fake/walk")
    assert code == 0, said
    assert [e for e in rows(tmp_path, "episodes") if e["task"] == "fake/walk"] == sound
    worker = Worker()
    first = worker._simulators("fake/never-closes", 2)
    worker.close()
    worker.close()
    assert not set(map(id, first)) & set(map(id, worker._simulators("fake/never-closes", 2)))


def test_actions_out_of_range_are_clipped(tmp_path: Path) -> None:
    assert run(tmp_path, "out-of-range")[0] == 0
    assert all(e["error"] is None for e in rows(tmp_path, "episodes"))


def test_read_only_actions_may_be_written_by_a_simulator(tmp_path: Path) -> None:
    assert run(tmp_path, "read-only", "fake/writes")[0] == 0
    assert all(e["error"] is None for e in rows(tmp_path, "episodes"))


def test_a_cell_in_error_stays_one_on_resuming(tmp_path: Path) -> None:
    run(tmp_path, "nan,base")
    before = rows(tmp_path, "episodes")
    assert run(tmp_path, "nan,base")[0] == 3
    assert rows(tmp_path, "episodes") == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("after", [0, 1, 3, 6, 9])
def test_a_disk_that_fails_at_any_write(
    tmp_path: Path, number: int, after: int, sound: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, left = os.fsync, after

    def failing(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(number, os.strerror(number))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing)
        with pytest.raises(StorageError, match=r"cannot be written \(.*\); nothing recorded is lost"):
            run(tmp_path, "base")
    assert run(tmp_path, "base")[0] == 0
    assert rows(tmp_path, "episodes") == sound
    assert rows(tmp_path, "errors") == []


def test_a_row_that_could_be_written_in_part_only_is_taken_back(tmp_path: Path, monkeypatch) -> None:
    run(tmp_path, "base")
    before = (tmp_path / "run" / "curves.jsonl").read_bytes()
    row = rows(tmp_path, "curves")[0]
    row.pop("check")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    spec = make_spec(["base"], ["fake/walk"], profile_name="smoke")
    folder = RunFolder(tmp_path / "run", spec, "")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        folder.append("curves", [row])
    assert (tmp_path / "run" / "curves.jsonl").read_bytes() == before


def test_a_file_that_takes_half_a_row_is_as_before(tmp_path: Path) -> None:
    """As a full disk does it: the system itself writes a part, and then no more."""
    run(tmp_path, "base")
    path = tmp_path / "run" / "curves.jsonl"
    before, row = path.read_bytes(), rows(tmp_path, "curves")[0]
    row.pop("check")
    folder = RunFolder(tmp_path / "run", make_spec(["base"], ["fake/walk"], profile_name="smoke"), "")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(StorageError, match="nothing recorded is lost"):
            folder.append("curves", [row])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["run", "cache", "reports"])
def test_a_read_only_folder_is_refused_before_any_work(tmp_path: Path, place: str, monkeypatch) -> None:
    mkdir = Path.mkdir

    def read_only(self: Path, **options: bool) -> None:
        if self.name == place:
            raise OSError(errno.EROFS, "Read-only file system")
        mkdir(self, **options)

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UserError, match="Read-only file system"):
        run(tmp_path, "base")
    assert rows(tmp_path, "episodes") == []


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << position % 8
    path.write_bytes(data)


def cut(path: Path, position: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: position % len(data)])


@pytest.mark.parametrize("name", ["episodes", "curves", "timings"])
@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_in_a_record_is_refused_by_file_and_line(tmp_path: Path, name: str, seed: int) -> None:
    run(tmp_path, "base,base@nfe=2")
    path = tmp_path / "run" / f"{name}.jsonl"
    before = path.read_bytes()
    position = random.Random(seed).randrange(len(before) - 1)
    flip(path, position)
    line = before.count(b"\n", 0, position) + 1
    with pytest.raises(UserError, match=rf"{name}\.jsonl:{line}: damaged record"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("seed", range(6))
def test_a_truncated_record_file_is_made_again(tmp_path: Path, seed: int) -> None:
    run(tmp_path, "base,base@nfe=2")
    before = {name: rows(tmp_path, name) for name in ("episodes", "curves")}
    for number, name in enumerate(before):
        cut(tmp_path / "run" / f"{name}.jsonl", 7919 * seed + number)
    assert run(tmp_path, "base,base@nfe=2")[0] == 0
    assert {name: rows(tmp_path, name) for name in before} == before


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_in_the_manifest_is_refused(tmp_path: Path, seed: int) -> None:
    run(tmp_path, "base")
    path = tmp_path / "run" / "manifest.json"
    inside = path.read_bytes().index(b'"key"')  # a flipped space or line end of the layout changes nothing
    position = random.Random(seed).choice(
        [i for i, c in enumerate(path.read_bytes()) if i > inside and chr(c).isalnum()]
    )
    flip(path, position)
    with pytest.raises(UserError, match=r"manifest\.json: damaged"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("harm", [flip, cut])
@pytest.mark.parametrize("kind", ["demos", "train"])
@pytest.mark.parametrize("suffix", ["safetensors", "json"])
@pytest.mark.parametrize("lost", [["episodes"], ["episodes", "curves"]])
def test_a_damaged_artefact_is_put_aside_and_made_again(
    tmp_path: Path, harm: Callable[[Path, int], None], kind: str, suffix: str, lost: list[str]
) -> None:
    run(tmp_path, "base,base@nfe=2,student")
    before = {name: rows(tmp_path, name) for name in ("episodes", "curves")}
    cache = Cache(tmp_path / "cache")
    keys = [p.stem for p in cache.folder.glob("*.safetensors") if cache.load(p.stem).info["kind"] == kind]
    for name in lost:
        (tmp_path / "run" / f"{name}.jsonl").unlink()
    for number, key in enumerate(keys):
        harm(cache.folder / f"{key}.{suffix}", 40 + 31 * number)
    if kind == "demos":  # nobody reads them unless something is trained again
        for path in cache.folder.glob("*.json"):
            if path.stem not in keys and path.stem != "costs":
                path.unlink()
    code, said = run(tmp_path, "base,base@nfe=2,student")
    assert code == 0, said
    assert {name: rows(tmp_path, name) for name in before} == before
    assert len(list(cache.folder.glob("*.damaged"))) >= len(keys)


def test_an_artefact_that_is_damaged_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Cache.save

    def bad_disk(cache: Cache, key: str, artifact: object) -> None:
        save(cache, key, artifact)
        flip(cache.path(key), 77)

    monkeypatch.setattr(Cache, "save", bad_disk)
    code, _ = run(tmp_path, "base")
    assert code == 3
    assert "damaged (its SHA-256" in rows(tmp_path, "errors")[0]["error"]


def test_a_clock_that_jumps_changes_no_record(tmp_path: Path, sound: list[dict], monkeypatch) -> None:
    clock, jumps = time.time, random.Random(0)
    monkeypatch.setattr("time.time", lambda: clock() + jumps.uniform(-1e9, 1e9))
    assert run(tmp_path, "base", cell_timeout_s=60.0)[0] == 0
    assert rows(tmp_path, "episodes") == sound
    assert all(0 <= row["seconds"] < 60 for row in rows(tmp_path, "timings"))
    assert 0 <= load_run(tmp_path / "run").manifest["wall_seconds"] < 60
