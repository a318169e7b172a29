"""Submissions: what was packed comes back, and whatever was tampered with is refused in one line."""

from __future__ import annotations

import hashlib
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.interfaces import UserError
from bench.store import Run
from bench.submission import Submission, _refuse_faults, read, submit, validate
from bench.submission.archive import INDEX, pack
from bench.submission.checks import faults
from tests.bench.report.synthetic import make_replay, make_run, save_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/basketball"]


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run(TASKS, {"dp3": 0.8, "dp3@nfe=1": 0.5}, seeds=(0, 1), episodes=6, control_hz=20)


@pytest.fixture(scope="module")
def packed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("submission")
    replays = [make_replay(run, TASKS[0], "dp3", success=success) for success in (True, False)]
    folder = save_run(run, root / "mine", [replay for replay in replays if replay])
    return submit(folder, root / "mine.zip")


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_submission_comes_back(packed: Path, run: Run) -> None:
    found = validate(packed)
    assert found.run.path.name == "mine"
    frames = (frame.astype(object).where(frame.notna(), None) for frame in (found.run.episodes, run.episodes))
    pd.testing.assert_frame_equal(*frames, check_dtype=False)
    assert len(found.replays) == 2
    assert found.run.manifest["spec"] == run.manifest["spec"]


def test_equal_runs_give_equal_files(packed: Path) -> None:
    again = submit(packed.parent / "mine", packed.parent / "again.zip")
    assert again.read_bytes() == packed.read_bytes()


def test_an_unfinished_run_is_not_packed(run: Run, tmp_path: Path) -> None:
    folder = save_run(with_rows(run, episodes=run.episodes.iloc[:-1]), tmp_path / "part")
    with pytest.raises(UserError, match="5 of 6 episodes"):
        submit(folder, tmp_path / "part.zip")
    assert not (tmp_path / "part.zip").exists()


def zipped(path: Path, files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jsonl", "/etc/passwd", "..\\evil", "episodes.jsonl/", "replays/x.safetensors", "code.py", "data.pkl",
        "replays/../../evil.safetensors", "C:\\evil", "episodes.JSONL",
    ],
)  # fmt: skip
def test_names_that_do_not_belong_are_refused(packed: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="does not belong") as error:
        validate(zipped(tmp_path / "bad.zip", {**contents(packed), name: b"x"}))
    assert "\n" not in str(error.value)


def test_links_are_refused(packed: Path, tmp_path: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        if info.filename == "episodes.jsonl":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(UserError, match="no plain file"):
        validate(zipped(tmp_path / "bad.zip", contents(packed), link))


def test_bombs_are_refused_before_they_are_read(packed: Path, tmp_path: Path) -> None:
    bomb = {**contents(packed), "episodes.jsonl": b"0" * 30_000_000}
    with pytest.raises(UserError, match="shrinks by more than"):
        validate(zipped(tmp_path / "bad.zip", bomb))


def test_an_entry_larger_than_it_says_is_refused(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    path = zipped(tmp_path / "bad.zip", files)
    data = bytearray(path.read_bytes())
    size = len(files["episodes.jsonl"]).to_bytes(4, "little")
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = (7).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError):
        validate(path)


def test_the_same_name_twice_is_refused(packed: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "bad.zip", contents(packed))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("episodes.jsonl", b"")
    with pytest.raises(UserError, match="twice"):
        validate(path)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a zip", pickle.dumps(Evil()), b"\x00" * 100])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match="not a submission"):
        validate(path)


def test_a_pickle_in_the_place_of_a_replay_is_refused_and_not_run(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    del files[INDEX]
    name = next(file for file in files if file.startswith("replays/"))
    path = tmp_path / "bad.zip"
    path.write_bytes(pack("mine", {**files, name: pickle.dumps(Evil())}))
    with pytest.raises(UserError, match="not a replay"):
        validate(path)


def test_changed_and_missing_files_are_refused(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    changed = {**files, "episodes.jsonl": files["episodes.jsonl"].replace(b"false", b"true ", 1)}
    with pytest.raises(UserError, match=r"episodes.jsonl.*SHA-256"):
        validate(zipped(tmp_path / "a.zip", changed))
    with pytest.raises(UserError, match=r"manifest.json.*missing"):
        validate(zipped(tmp_path / "b.zip", {k: v for k, v in files.items() if k != "manifest.json"}))
    with pytest.raises(UserError, match="not both"):
        validate(zipped(tmp_path / "c.zip", {k: v for k, v in files.items() if k != "curves.jsonl"}))
    with pytest.raises(UserError, match="damaged"):
        validate(zipped(tmp_path / "d.zip", {**files, INDEX: b"{}"}))


def test_a_name_that_leads_elsewhere_is_refused(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    index = json.loads(files[INDEX])
    with pytest.raises(UserError, match="damaged"):
        validate(zipped(tmp_path / "a.zip", {**files, INDEX: json.dumps({**index, "name": "../up"}).encode()}))
    with pytest.raises(UserError, match="rename"):
        pack("../up", {})


def test_records_that_fail_their_schema_are_named_with_file_and_line(packed: Path, tmp_path: Path) -> None:
    files = contents(packed)
    index = json.loads(files[INDEX])
    data = files["curves.jsonl"].replace(b'"successes":', b'"successes_":', 1)
    index["files"]["curves.jsonl"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    bad = zipped(tmp_path / "a.zip", {**files, "curves.jsonl": data, INDEX: json.dumps(index).encode()})
    with pytest.raises(UserError, match=r"a.zip/curves.jsonl:1: damaged record"):
        read(bad)


def first(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The frame with other values in its first row that has success."""
    changed = frame.copy().astype(object)
    at = changed.index[changed["success_ever"].astype(bool)][0]
    for name, value in values.items():
        changed.at[at, name] = value
    return changed


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps_to_success": 201}, "beyond steps"),
        ({"steps_to_success": None}, "contradict each other"),
        ({"success_ever": False, "steps_to_success": None}, "yet never"),
        ({"seed": 5}, "seed is not the one"),
        ({"state_hash": "0" * 16}, "state_hash is not that of"),
        ({"state_hash": ""}, "no state_hash"),
        ({"checkpoint": "1" * 64}, "another checkpoint"),
        ({"checkpoint": "x"}, "SHA-256"),
        ({"checkpoint": None}, "no checkpoint"),
        ({"suite": "adroit"}, "suite"),
        ({"method": "sdm"}, "not of its method"),
        ({"profile": "paper"}, "profile"),
        ({"training_seed": 1}, "recorded twice"),
        ({"variant": "sdm"}, "not part of the manifest's spec"),
        ({"steps": 0, "steps_to_success": 0}, "no control step"),
    ],
)  # fmt: skip
def test_episodes_that_cannot_be(run: Run, values: dict[str, object], words: str) -> None:
    assert not list(faults(run, []))
    found = list(faults(with_rows(run, episodes=first(run.episodes, **values)), []))
    assert any(words in fault for fault in found)
    assert all("\n" not in fault for fault in found)


@pytest.mark.parametrize("method", ["dp3", "dp3:1a2b3c4d5e6f"])
def test_a_variant_of_a_runtime_is_of_its_method(run: Run, method: str) -> None:
    rows = first(run.episodes, method=method, variant=f"{method}+onnx@nfe=1")
    assert not any("not of its method" in fault for fault in faults(with_rows(run, episodes=rows), []))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["t_policy"].update(p50=99.0), "shorter than"),
        (lambda row: row["t_e2e"].update(p90=0.1), "must be positive and rise"),
        (lambda row: row["t_sample"].update(p50_ci=[1e6, None]), "outside its own interval"),
        (lambda row: row["deadline_misses"].update({"50": 1.5}), "no shares"),
        (lambda row: row["e2e_quantiles"].reverse(), "e2e_quantiles"),
        (lambda row: row.update(params_network=10**9), "more parameters"),
        (lambda row: row.update(variant="other"), "not part of"),
    ],
)
def test_timings_that_cannot_be(run: Run, change: Callable[[dict[str, object]], None], words: str) -> None:
    rows = json.loads(run.latency.to_json(orient="records"))
    change(rows[0])
    found = list(faults(with_rows(run, latency=pd.DataFrame(rows)), []))
    assert any(words in fault for fault in found)


def test_a_teacher_that_was_only_timed_belongs_to_its_students(run: Run) -> None:
    spec = {**run.manifest["spec"], "methods": ["dp3@nfe=1"]}
    own = {name: frame[frame["variant"] == "dp3@nfe=1"] for name, frame in
           (("episodes", run.episodes), ("realtime", run.realtime))}  # fmt: skip
    alone = with_rows(run, manifest={**run.manifest, "spec": spec}, **own)  # type: ignore[arg-type]
    assert set(alone.latency["variant"]) == {"dp3", "dp3@nfe=1"}
    assert list(faults(alone, [])) == []


def test_replays_must_be_of_the_run_and_of_its_outcome(run: Run) -> None:
    replay = make_replay(run, TASKS[0], "dp3", success=True)
    assert replay is not None
    assert not list(faults(run, [replay]))
    for update, words in (({"success": False}, "contradicts"), ({"episode": 99}, "not an episode")):
        odd = type(replay)(replay.about.model_copy(update=update), replay.cloud, replay.step)
        assert any(words in fault for fault in faults(run, [odd]))


def test_episodes_in_real_time_are_checked_too(run: Run) -> None:
    late = run.realtime.copy()
    late.loc[late.index[0], "held_steps"] = 10_000
    assert any("waited for more steps" in fault for fault in faults(with_rows(run, realtime=late), []))
    assert any("realtime.jsonl" in fault for fault in faults(with_rows(run, realtime=late.iloc[1:]), []))


def test_a_manifest_that_asks_for_absurdly_much_is_refused_at_once(run: Run) -> None:
    spec = run.manifest["spec"]
    many = replace(run, manifest={**run.manifest, "spec": {**spec, "episodes": 10**18}})
    assert any(f"of {10**18} episodes" in fault for fault in faults(many, []))
    seeds = replace(run, manifest={**run.manifest, "spec": {**spec, "seeds": list(range(10**6))}})
    with pytest.raises(UserError, match="and many more faults"):
        _refuse_faults(Submission(seeds, []), "x.zip")
