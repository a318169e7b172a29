"""The main job on a real simulator: however it is run, and however it is broken off, the records are the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bench
from bench.store import load_run, read_replays

COMMAND = ("run", "--methods", "dp3,sdm", "--tasks", "metaworld/drawer-open", "--profile", "smoke")
REAL_TIME = ("--control-hz", "20")


def _hear_ctrl_c() -> None:
    """Processes started in the background of a shell ignore Ctrl-C, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(root: Path, workers: int, *options: str) -> subprocess.Popen[str]:
    places = ("--out", str(root / "run"), "--reports", str(root / "reports"))
    arguments = [*COMMAND, *options, "--workers", str(workers), *places]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=_hear_ctrl_c,
    )  # fmt: skip


def finish(root: Path, workers: int, *options: str) -> str:
    process = start(root, workers, *options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def records(root: Path) -> dict[str, bytes]:
    """What does not depend on how fast the machine was."""
    return {name: (root / "run" / f"{name}.jsonl").read_bytes() for name in ("episodes", "curves")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    finish(root, 0, *REAL_TIME)
    return root


def test_a_run_ends_with_its_report(undisturbed: Path) -> None:
    run = load_run(undisturbed / "run")
    assert run.errors.empty
    assert run.episodes.groupby("variant").size().to_dict() == {"dp3": 2, "sdm": 2}
    assert run.curves.groupby("method").size().to_dict() == {"dp3": 2, "sdm": 2}
    assert list(run.latency["variant"]) == ["dp3", "sdm"]
    assert list(run.latency["nfe"]) == [10, 1]
    for latency in run.latency.to_dict("records"):
        tested = run.episodes.query("variant == @latency['variant']")
        assert set(tested["checkpoint"]) == {latency["checkpoint"]}
    assert list((undisturbed / "reports" / "run").glob("*.svg"))
    assert (undisturbed / "reports" / "run" / "site" / "index.html").exists()
    assert {replay.about.variant for replay in read_replays(undisturbed / "run")} == {"dp3", "sdm"}
    assert len(bench.load(undisturbed / "run")) == 4
    late = bench.load(undisturbed / "run", "realtime")
    assert len(late) == 4
    assert (late["held_steps"] >= late["calls"] - 1).all()  # the end of an episode may cut off its last wait


def test_methods_meet_the_same_initial_states(undisturbed: Path) -> None:
    episodes = bench.load(undisturbed / "run")
    assert (episodes.groupby("episode")["state_hash"].nunique() == 1).all()
    assert episodes["state_hash"].nunique() == 2


def test_the_same_command_again_does_nothing(undisturbed: Path) -> None:
    before = records(undisturbed), (undisturbed / "run" / "latency.jsonl").read_bytes()
    assert "4 done already" in finish(undisturbed, 0, *REAL_TIME)
    assert (records(undisturbed), (undisturbed / "run" / "latency.jsonl").read_bytes()) == before


def test_the_same_latency_gives_the_same_episodes_in_real_time(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "cache", tmp_path / "cache")
    (tmp_path / "run").mkdir()
    for name in ("manifest.json", "episodes.jsonl", "curves.jsonl", "latency.jsonl"):
        shutil.copy(undisturbed / "run" / name, tmp_path / "run" / name)
    assert "2 done already" in finish(tmp_path, 1, *REAL_TIME)
    for name in ("realtime.jsonl", "latency.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (undisturbed / "run" / name).read_bytes()


def test_one_worker_gives_the_same_records(undisturbed: Path, tmp_path: Path) -> None:
    finish(tmp_path, workers=1)
    assert records(tmp_path) == records(undisturbed)


def test_killed_and_run_again_gives_the_same_records(undisturbed: Path, tmp_path: Path) -> None:
    for files in (1, 3):  # killed when so many artefacts are complete, in the middle of what comes next
        process = start(tmp_path, workers=2)
        while len(list((tmp_path / "cache").glob("*.safetensors"))) < files and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finish(tmp_path, workers=2)
    assert records(tmp_path) == records(undisturbed)


def test_ctrl_c_ends_what_is_under_way_and_says_how_to_go_on(undisturbed: Path, tmp_path: Path) -> None:
    process = start(tmp_path, workers=0)
    while not list((tmp_path / "cache").glob("*.safetensors")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the same command goes on" in output
    finish(tmp_path, workers=0)
    assert records(tmp_path) == records(undisturbed)
