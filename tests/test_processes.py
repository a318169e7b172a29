"""Kills, interrupts and lost processes: real ones, with workers of Ray, on fakes.

The run is the same every time; however it is disturbed, run again its records are those of an undisturbed one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.store import read_rows
from tests.faulty import GATE, MARK

REPOSITORY = Path(__file__).parent.parent
METHODS = "slow,gated,base,student"
TASKS = "fake/walk,fake/run"
PATIENCE_S = 900  # a busy machine is no fault
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


def environment(root: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (REPOSITORY / "tests" / "stand_ins", REPOSITORY)))
    return {**os.environ, "PYTHONPATH": path, MARK: str(root / "mark"), GATE: str(root / "gate")}


def start(
    root: Path, *options: str, methods: str = METHODS, workers: int | None = 2, gate: bool = True
) -> subprocess.Popen[str]:
    """A run; with its ``gate`` shut it cannot end before that is opened. What it says is in its file ``said``."""
    if gate:
        (root / "gate").touch()
    arguments = [str(root), "--methods", methods, "--tasks", TASKS, *options]
    arguments += [] if workers is None else ["--workers", str(workers)]
    said = root / f"said-{len(list(root.glob('said-*')))}"
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_run", *arguments], text=True, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True, env=environment(root), cwd=root,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    process.said = said  # type: ignore[attr-defined]
    return process


def finish(process: subprocess.Popen[str], code: int | None = 0) -> str:
    """Wait for the end; returns what the run said. ``code`` is the exit code that it must have, None: any."""
    process.wait(PATIENCE_S)
    output = process.said.read_text()  # type: ignore[attr-defined]
    assert code in (None, process.returncode), output
    return output


def records(root: Path) -> dict[str, bytes]:
    return {name: (root / "run" / f"{name}.jsonl").read_bytes() for name in ("episodes", "curves")}


def wait_for(root: Path, files: int, process: subprocess.Popen[str]) -> None:
    """Until so many artefacts are complete."""
    start = time.monotonic()
    while len(list((root / "cache").glob("*.safetensors"))) < files and process.poll() is None:
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.02)


def wait_for_mark(root: Path, process: subprocess.Popen[str]) -> None:
    """Until a method has left its mark."""
    start = time.monotonic()
    while not (root / "mark").exists() and process.poll() is None:
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.02)


def wait_for_words(words: str, process: subprocess.Popen[str]) -> None:
    """Until it has said so."""
    start = time.monotonic()
    while words not in process.said.read_text() and process.poll() is None:  # type: ignore[attr-defined]
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("undisturbed")
    finish(start(root, workers=0))
    return records(root)


def test_the_driver_killed_at_random_moments(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    for seed in range(3):
        process = start(tmp_path)
        wait_for(tmp_path, 2 * seed + 1, process)
        time.sleep(random.Random(seed).random() / 2)
        process.kill()
        process.wait()
    finish(start(tmp_path))
    assert records(tmp_path) == undisturbed


def test_a_worker_killed_once_is_replaced_and_its_unit_tried_again(tmp_path: Path) -> None:
    output = finish(start(tmp_path, methods="kills-once,base"))
    assert "the worker died" in output
    assert "tried again" in output
    errors, timings = (read_rows(tmp_path / "run" / f"{name}.jsonl") for name in ("errors", "timings"))
    assert {row["attempts"] for row in errors} == {1}
    assert all(row["traceback"] for row in errors)
    tried_again = {row["key"] for row in errors}
    assert {row["key"] for row in timings if row["attempts"] == 2} == tried_again
    assert all(row["error"] is None for row in read_rows(tmp_path / "run" / "episodes.jsonl"))
    assert len(read_rows(tmp_path / "run" / "episodes.jsonl")) == 8


def test_a_method_that_kills_its_worker_or_hangs_is_given_up(tmp_path: Path) -> None:
    process = start(tmp_path, "--cell-timeout", "10", methods="kills,stuck,base")
    finish(process, 3)
    errors = read_rows(tmp_path / "run" / "errors.jsonl")
    kills = [row for row in errors if row["method"] == "kills"]
    assert sorted(row["attempts"] for row in kills) == [1, 1, 2, 2, 3, 3]
    stuck = [row for row in errors if row["method"] == "stuck"]
    assert [row["error"] for row in stuck] == ["took longer than the limit of 10 s, and was killed"] * 2
    episodes = read_rows(tmp_path / "run" / "episodes.jsonl")
    assert {row["method"] for row in episodes if row["error"]} == {"kills", "stuck"}
    assert {row["method"] for row in episodes if not row["error"]} == {"base"}
    assert len(episodes) == 12


@pytest.mark.parametrize("victim", ["gcs_server", "raylet"])
def test_the_head_of_ray_killed(undisturbed: dict[str, bytes], tmp_path: Path, victim: str) -> None:
    process = start(tmp_path, gate=False)
    wait_for(tmp_path, 2, process)  # the demos; no more can end
    found = [p for p in psutil.Process(process.pid).children(recursive=True) if victim in p.name()]
    assert found
    for each in found:
        each.kill()
    (tmp_path / "gate").touch()
    finish(process, None)  # Ray notices within a minute, in which a short run may have ended
    finish(start(tmp_path))
    assert records(tmp_path) == undisturbed


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_once_ends_what_is_under_way(undisturbed: dict[str, bytes], tmp_path: Path, workers: int) -> None:
    process = start(tmp_path, workers=workers, gate=False)
    wait_for(tmp_path, 1, process)
    process.send_signal(signal.SIGINT)
    wait_for_words("Ctrl-C again stops at once", process)
    (tmp_path / "gate").touch()
    output = finish(process, 130)
    assert "the same command goes on" in output
    timings = read_rows(tmp_path / "run" / "timings.jsonl")
    assert output.count("succeeded (") + output.count(": done (") == len(timings)
    finish(start(tmp_path, workers=workers))
    assert records(tmp_path) == undisturbed


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_twice_stops_at_once(tmp_path: Path, workers: int) -> None:
    process = start(tmp_path, workers=workers, methods="hangs")
    wait_for_mark(tmp_path, process)  # before, the first Ctrl-C alone would end the run
    process.send_signal(signal.SIGINT)
    wait_for_words("Ctrl-C again stops at once", process)
    process.send_signal(signal.SIGINT)
    assert "the same command goes on" in finish(process, 130)


def test_two_drivers_on_one_folder(tmp_path: Path) -> None:
    first = start(tmp_path, workers=0, methods="hangs")
    wait_for(tmp_path, 1, first)
    output = finish(start(tmp_path, workers=0, methods="hangs"), 2)
    first.kill()
    first.wait()
    assert "another 'bench run' is writing there" in output


def test_two_drivers_on_one_cache(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    first, second = start(tmp_path, workers=0), start(tmp_path, "--out", "other", workers=0)
    finish(first)
    finish(second)
    (tmp_path / "run").rename(tmp_path / "first")
    (tmp_path / "other").rename(tmp_path / "run")
    assert records(tmp_path) == undisturbed


def test_no_process_outlives_a_driver_that_was_killed(tmp_path: Path) -> None:
    process = start(tmp_path, gate=False)
    wait_for(tmp_path, 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert alive == []


NICENESS = """
import os
from bench.ray_executor import RayExecutor
executor = RayExecutor(1)
import ray
print("nicer by", ray.get(ray.remote(num_cpus=0)(lambda: os.nice(0)).remote()) - os.nice(0))
executor.close()
"""


def test_workers_do_not_give_way_to_whatever_else_is_at_work(tmp_path: Path) -> None:
    without = {name: value for name, value in environment(tmp_path).items() if name != "RAY_worker_niceness"}
    done = subprocess.run([sys.executable, "-c", NICENESS], env=without, text=True, capture_output=True)
    assert "nicer by 0" in done.stdout, done.stderr
