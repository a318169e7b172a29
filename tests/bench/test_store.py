"""The run's folder: nothing lost, nothing foreign, damage named by file and line."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.interfaces import UserError
from bench.replay import About, Replay, pack
from bench.spec import RunSpec
from bench.store import RunFolder, load_run, newest_run, read_manifest, read_replays

SPEC = RunSpec(("base",), ("fake/walk",), (0,), "smoke", 2)
PLAN = "0123456789abcdef0123"
MANIFEST = {
    "command": "bench run", "created": "first", "wall_seconds": 0.0, "device": "cpu", "versions": {}, "git": {},
    "hardware": {},
}  # fmt: skip
ROW = {
    "schema": "timing/1", "key": "0123456789abcdef0123", "unit": "train", "task": "fake/walk", "method": "base",
    "training_seed": 0, "seconds": 1.5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run", SPEC, PLAN)
    with folder:
        folder.write_manifest(MANIFEST)
        folder.append("timings", [ROW, {**ROW, "seconds": 2.0}])
    return folder


def test_rows_round_trip(folder: RunFolder) -> None:
    assert [row["seconds"] for row in folder.rows("timings")] == [1.5, 2.0]
    run = load_run(folder.path)
    assert run.timings["seconds"].tolist() == [1.5, 2.0]
    assert list(bench.load(folder.path).columns)[:3] == ["key", "suite", "task"]


def test_a_row_that_fails_its_schema_is_never_written(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="seconds"):
        folder.append("timings", [{**ROW, "seconds": "1"}])
    with pytest.raises(ValueError, match="seconds"):
        folder.append("timings", [{**ROW, "seconds": float("nan")}])
    assert len(folder.rows("timings")) == 2


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_cut_off(folder: RunFolder, cut: int) -> None:
    path = folder.path / "timings.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [row["seconds"] for row in folder.rows("timings")] == [1.5]
    folder.append("timings", [ROW])
    assert len(folder.rows("timings")) == 2


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"schema":"timing/1"}', b"\xff\xfe", b""])
def test_a_damaged_line_is_refused_by_file_and_line(folder: RunFolder, damage: bytes) -> None:
    path = folder.path / "timings.jsonl"
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, damage, second, b""]))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"timings\.jsonl:2: damaged record"):
        folder.rows("timings")
    assert path.read_bytes() == before


def test_another_spec_is_refused_field_by_field(folder: RunFolder) -> None:
    other = RunSpec(("base",), ("fake/walk",), (0, 1), "smoke", 2)
    with pytest.raises(UserError, match=r"seeds \[0\] there, \[0, 1\] asked for"), RunFolder(folder.path, other, PLAN):
        pass


def test_a_field_that_one_of_two_specs_lacks_is_a_difference(folder: RunFolder) -> None:
    with_rate = RunSpec(("base",), ("fake/walk",), (0,), "smoke", 2, control_hz=20)
    with pytest.raises(UserError, match="control_hz None there, 20 asked"), RunFolder(folder.path, with_rate, PLAN):
        pass
    with RunFolder(folder.path.with_name("late"), with_rate, PLAN) as late:
        late.write_manifest(MANIFEST)
    with pytest.raises(UserError, match="control_hz 20 there, None asked"), RunFolder(late.path, SPEC, PLAN):
        pass


def test_load_returns_paused_episodes_unless_told_otherwise(folder: RunFolder) -> None:
    assert "held_steps" not in bench.load(folder.path)
    assert "held_steps" in bench.load(folder.path, "realtime")
    with pytest.raises(UserError, match="did you mean realtime"):
        bench.load(folder.path, "realtme")


def test_a_run_made_by_other_code_is_refused_and_kept(folder: RunFolder) -> None:
    with pytest.raises(UserError, match="other code"), RunFolder(folder.path, SPEC, PLAN[::-1]):
        pass
    assert len(folder.rows("timings")) == 2


def test_a_folder_left_by_a_start_that_wrote_nothing_is_free(tmp_path: Path) -> None:
    (tmp_path / ".manifest.json.x1").write_text("torn")
    with RunFolder(tmp_path, SPEC, PLAN):
        pass


def test_a_torn_line_is_ignored_by_readers(folder: RunFolder) -> None:
    path = folder.path / "timings.jsonl"
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    assert len(load_run(folder.path).timings) == 1
    assert path.read_bytes() == torn


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no run"), RunFolder(tmp_path, SPEC, PLAN):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="is a file"), RunFolder(tmp_path / "thesis.tex", SPEC, PLAN):
        pass


def test_two_drivers_cannot_share_a_folder(folder: RunFolder) -> None:
    errors: list[Exception] = []

    def second() -> None:
        try:
            RunFolder(folder.path, SPEC, PLAN).__enter__()
        except UserError as error:
            errors.append(error)

    with folder:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "another 'bench run' is writing there" in str(errors[0])


def test_created_stays_that_of_the_first_start(folder: RunFolder) -> None:
    folder.write_manifest({**MANIFEST, "created": "second", "wall_seconds": 3.0})
    manifest = read_manifest(folder.path)
    assert (manifest["created"], manifest["wall_seconds"]) == ("first", 3.0)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "manifest/1", "spec": {}}', "\x00"])
def test_a_damaged_manifest_is_one_clear_line(folder: RunFolder, content: str) -> None:
    (folder.path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json: damaged"):
        load_run(folder.path)


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused_wherever_they_are(folder: RunFolder, number: str) -> None:
    path = folder.path / "manifest.json"
    fields = {k: v for k, v in json.loads(path.read_text()).items() if k != "check"}
    path.write_text(json.dumps({**fields, "git": {"revision": ["@"]}}).replace('"@"', number))
    with pytest.raises(UserError, match=r"manifest\.json: damaged"):
        load_run(folder.path)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there"):
        bench.load(tmp_path)


def test_records_are_text_with_sorted_fields(folder: RunFolder) -> None:
    line = (folder.path / "timings.jsonl").read_text().splitlines()[0]
    assert list(json.loads(line)) == [*sorted(ROW), "check"]


def test_the_replay_of_the_lowest_training_seed_is_kept(folder: RunFolder) -> None:
    def replay(training_seed: int, *, success: bool = True) -> bytes:
        about = About(
            task="fake/walk", variant="base", training_seed=training_seed, episode=0, state_hash="0" * 16,
            success=success, steps=9, steps_to_success=None,
        )  # fmt: skip
        return pack(Replay(about, np.ones((1, 2, 3), np.int16), np.zeros(1, np.int32)))

    for seed in (3, 1, 2):
        folder.write_replay(replay(seed))
    folder.write_replay(replay(4, success=False))
    found = read_replays(folder.path)
    assert sorted((r.about.training_seed, r.about.success) for r in found) == [(1, True), (4, False)]
    (file,) = (folder.path / "replays").glob("*-success.*")
    file.write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged"):
        read_replays(folder.path)
    folder.write_replay(replay(2))
    assert len(read_replays(folder.path)) == 2


def test_the_newest_run_is_the_one_begun_last_whatever_the_times_of_files_say(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there"):
        newest_run(tmp_path)
    for name, created in (("b", "2026-11-27"), ("c", "2026-11-26"), ("a", "2026-11-25")):
        with RunFolder(tmp_path / name, SPEC, PLAN) as folder:
            folder.write_manifest({**MANIFEST, "created": created})
    assert newest_run(tmp_path) == tmp_path / "b"
    (tmp_path / "b" / "manifest.json").write_text("{")
    assert newest_run(tmp_path) == tmp_path / "c"
