"""`bench latency`: works without training, says what was untrained, refuses bad input, stops at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from bench.artifacts import Artifact, Cache
from bench.interfaces import UserError
from bench.latency import Budget
from bench.latency_command import Request, compare_latency, make_jobs
from bench.records import LatencyRow
from tests.bench.report.synthetic import make_run, plain_rows

COMMAND = [sys.executable, "-m", "bench", "latency", "--methods", "dp3,sdm", "--profile", "smoke"]


def request(**changes: object) -> Request:
    given = {
        "methods": ("base", "student"), "task": "fake/walk", "profile": "smoke", "seed": 0, "cache": Path("cache"),
        "threads": "1", "seconds": None, "calls": None, "blocks": None, "device": "cpu", "json": None,
    }  # fmt: skip
    return Request(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.usefixtures("fake_registry")
class TestPlan:
    def test_the_first_method_is_the_reference(self) -> None:
        (job,) = make_jobs(request(methods=("student", "base", "base@nfe=2")))
        assert str(job.references[0]) == "student"
        assert [str(v) for v in job.variants] == ["student", "base", "base@nfe=2"]
        assert job.checkpoints[1] == job.checkpoints[2] != job.checkpoints[0]

    def test_both_thread_modes_are_two_jobs_with_keys_of_their_own(self) -> None:
        jobs = make_jobs(request(threads="both"))
        assert [job.mode for job in jobs] == ["cpu1", "cpuN"]
        assert jobs[0].row_key(0) != jobs[1].row_key(0)
        assert [job.mode for job in make_jobs(request(threads="both", device="cuda"))] == ["gpu"]

    def test_a_runtime_that_does_not_know_the_device_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        with pytest.raises(UserError, match="choose --device cuda"):
            make_jobs(request(methods=("base+graph",)))

    def test_a_number_of_calls_means_just_that(self) -> None:
        assert make_jobs(request(calls=30))[0].budget == Budget(8, 30, 0.0, 0.2)
        assert make_jobs(request(seconds=7.0, blocks=5))[0].budget == Budget(5, 1, 7.0, 0.2)
        assert make_jobs(request())[0].budget == Budget(8, 80, 0.5, 0.2)

    def test_a_checkpoint_of_the_cache_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (job,) = make_jobs(request())
        Cache(tmp_path).save(job.checkpoints[0], Artifact(b"weights"))
        entries = []
        monkeypatch.setattr("bench.latency_job.RemoteTimer", lambda entry: entries.append(entry) or Idle())
        monkeypatch.setattr("bench.latency_job.compare", lambda *_, **__: [])
        monkeypatch.setattr("bench.latency_command._print", lambda *_: None)
        console = Console(width=200)
        with console.capture() as said:
            assert compare_latency(request(cache=tmp_path), console) == 0
        assert entries[0]["checkpoint"] == str(tmp_path / f"{job.checkpoints[0]}.safetensors")
        assert entries[1]["checkpoint"] is None
        assert "untrained weights: student (no checkpoint in" in said.get()

    def test_notes_stand_below_the_table_and_every_method_takes_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = make_run(["fake/walk"], {"base": 0.5, "student": 0.5})
        timed = [row for row in plain_rows(run.latency) if row["mode"] == "cpu1"]
        rows = [{**row, "contended": True, "checkpoint": None} for row in timed]
        monkeypatch.setattr("bench.latency_command.run_job", lambda *_, **__: rows)
        console = Console(width=160)
        with console.capture() as said:
            assert compare_latency(request(), console) == 0
        lines = said.get().splitlines()
        head = next(i for i, line in enumerate(lines) if line.strip().startswith("\u2500"))
        assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["base", "student"]
        assert "machine busy while timed: base, student" in lines
        assert "untrained weights: base, student" in lines

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"methods": ("bace",)}, "did you mean base"),
            ({"task": "fake/wolk"}, "did you mean fake/walk"),
            ({"profile": "lit"}, "did you mean lite"),
            ({"json": Path("nowhere/file.json")}, "name a file in a folder that exists"),
        ],
    )
    def test_bad_input(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(UserError, match=message):
            compare_latency(request(**changes), Console())


class Idle:
    """A timer that is ready."""

    def wait_until_ready(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.slow
def test_it_works_at_once_on_a_fresh_machine(tmp_path: Path) -> None:
    arguments = ["--calls", "70", "--json", "figures.json"]
    done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "untrained weights: dp3, sdm" in done.stdout
    assert "Against dp3" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["reference"] == "dp3"
    for row in figures["rows"]:
        LatencyRow.model_validate(row)
    assert [(row["variant"], row["nfe"], row["n"]) for row in figures["rows"]] == [("dp3", 10, 72), ("sdm", 1, 72)]
    assert all(row["checkpoint"] is None and row["t_e2e"]["p90"] for row in figures["rows"])
    assert figures["rows"][1]["flops"] < figures["rows"][0]["flops"]
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


def test_ctrl_c_stops_at_once_with_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--seconds", "600", "--json", "figures.json"], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # the plan: it has begun
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.splitlines()[-1] == "stopped; nothing was written"
    assert errors == ""
    assert not list(tmp_path.iterdir())
