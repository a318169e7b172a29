"""`bench run --control-hz` from start to end on fakes: the latency is given, another process would know no fakes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import bench
from bench import app
from bench.artifacts import StorageError
from bench.interfaces import UserError
from bench.spec import Variant, make_spec

pytestmark = pytest.mark.usefixtures("fake_registry")
METHODS = ["base", "base@nfe=2"]
MS = {"base": 10.0, "base@nfe=2": 290.0}  # at 20 Hz one step, and six


class Timings:
    """Stands for the process that measures latencies, and counts the calls."""

    def __init__(self, ms: dict[str, float]) -> None:
        self.ms, self.jobs = ms, 0

    def __call__(self, job: app.LatencyJob, cache: object, *, on_progress: object = None) -> list[dict]:
        self.jobs += 1
        if not self.ms:
            raise RuntimeError("no such machine")
        return [self._row(job, i, variant) for i, variant in enumerate(job.variants)]

    def _row(self, job: app.LatencyJob, i: int, variant: Variant) -> dict:
        unit, ms = job.units[0], self.ms[str(variant)]
        clock = {"p50": ms, "p90": None, "p97": None, "p99": None}
        clock |= {f"{name}_ci": [None, None] if name == "p50" else None for name in list(clock)}
        return {
            "schema": "latency/2", "key": job.row_key(i), "suite": "fake", "task": unit.task.id, "profile": "smoke",
            "method": variant.method, "variant": str(variant), "training_seed": unit.training_seed, "device": "cpu",
            "mode": job.mode, "threads": 1, "checkpoint": "0" * 64, "n": 1, "nfe": 1, "executed_steps": 3, "horizon": 4,
            "flags": {"dtype": "float32", "tf32": False, "autocast": False, "runtime": "eager"},
            "params": 8, "params_network": 8, "checkpoint_bytes": 1, "flops": None, "t_policy": clock,
            "t_encode": clock, "t_sample": clock, "t_e2e": clock,
            "e2e_quantiles": [float(q) for q in np.linspace(0.9 * ms, 1.02 * ms, 100)],
            "deadline_misses": {"10": 0.0, "20": 0.0, "50": 0.0}, "t_upstream": ms, "t_cuda": None, "harness_ms": 0.0,
            "cold_ms": ms, "warm": True, "contended": False, "load_average": 0.0, "reference": None, "speedup": None,
            "peak_rss_mb": 1.0, "peak_gpu_mb": None, "gpu": None, "hardware": {}, "parallel_info": "",
        }  # fmt: skip


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> Timings:
    stand_in = Timings(dict(MS))
    monkeypatch.setattr(app, "run_job", stand_in)
    return stand_in


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(methods: list[str] = METHODS, hz: int | None = 20, dry_run: bool = False, **options) -> tuple[int, str]:
        spec = make_spec(methods, ["fake/walk", "fake/run"], profile_name="smoke", control_hz=hz, **options)
        places = (tmp_path / "run", tmp_path / "cache", tmp_path / "reports")
        console = Console(file=io.StringIO(), width=200)
        code = app.run(spec, app.Settings(*places, 0, None, "cpu", dry_run), console)
        return code, console.file.getvalue()

    return start


def rows(folder: Path, name: str = "realtime") -> list[dict]:
    return [json.loads(line) for line in (folder / "run" / f"{name}.jsonl").read_text().splitlines()]


def test_a_slow_variant_pays_in_success_at_the_same_checkpoint(tmp_path: Path, run: Run, timings: Timings) -> None:
    code, output = run(episodes=20)
    assert code == 0
    assert "In real time at 20 Hz" in output
    late, paused = bench.load(tmp_path / "run", "realtime"), bench.load(tmp_path / "run")
    assert set(late["schema"]) == {"realtime/1"}
    assert set(paused["schema"]) == {"episode/1"}
    assert len(late) == len(paused) == 80
    both = late.merge(paused, on=["task", "variant", "training_seed", "episode"])
    for column in ("checkpoint", "seed", "state_hash"):
        assert (both[f"{column}_x"] == both[f"{column}_y"]).all()
    won = late.groupby("variant")["success_ever"].sum()
    assert won["base@nfe=2"] < won["base"]
    assert paused.groupby("variant")["success_ever"].sum().nunique() == 1
    latency = {row["variant"]: row["key"] for row in rows(tmp_path, "latency")}
    assert {v: set(of["latency_key"]) for v, of in late.groupby("variant")} == {v: {k} for v, k in latency.items()}
    per_call = late["held_steps"] / late["calls"]
    assert set(per_call[late["variant"] == "base"]) == {1.0}
    assert (late["steps"] == 12).all()
    page = (tmp_path / "reports" / "run" / "README.md").read_text(encoding="utf-8")
    assert "## In real time at 20 Hz" in page
    assert (tmp_path / "reports" / "run" / "realtime.csv").exists()


def test_a_run_that_is_not_asked_has_none(tmp_path: Path, run: Run, timings: Timings) -> None:
    assert run(hz=None)[0] == 0
    assert not (tmp_path / "run" / "realtime.jsonl").exists()
    assert bench.load(tmp_path / "run", "realtime").empty
    assert "real time" not in (tmp_path / "reports" / "run" / "README.md").read_text(encoding="utf-8")


def test_the_folder_of_a_paused_run_is_refused(run: Run, timings: Timings) -> None:
    run(hz=None)
    with pytest.raises(UserError, match="control_hz None there, 20 asked for"):
        run()


def test_lost_rows_are_made_again_without_timing_again(tmp_path: Path, run: Run, timings: Timings) -> None:
    run()
    path = tmp_path / "run" / "realtime.jsonl"
    before, latency = path.read_bytes(), (tmp_path / "run" / "latency.jsonl").read_bytes()
    lines = before.splitlines(keepends=True)
    for left in (b"", b"".join(lines[:1] + lines[2:]), before[:-7], before):
        path.write_bytes(left)
        assert run()[0] == 0
        assert path.read_bytes() == before
    assert timings.jobs == 1
    assert (tmp_path / "run" / "latency.jsonl").read_bytes() == latency
    path.unlink()
    for file in (tmp_path / "cache").glob("*.safetensors"):
        file.unlink()
    assert run()[0] == 0
    assert path.read_bytes() == before


def test_another_latency_makes_the_rows_again(tmp_path: Path, run: Run, timings: Timings) -> None:
    run()
    before = rows(tmp_path)
    timings.ms["base"] = 120.0
    (tmp_path / "run" / "latency.jsonl").unlink()
    run()
    after = rows(tmp_path)
    assert len(after) == len(before)
    assert [r["key"] != s["key"] for r, s in zip(before, after, strict=True)] == [r["variant"] == "base" for r in after]


def test_records_do_not_depend_on_company(tmp_path: Path, run: Run, timings: Timings) -> None:
    def without_keys() -> list[dict]:  # a latency is measured in company, and its key says so
        return [{k: v for k, v in row.items() if k != "latency_key"} for row in rows(tmp_path)]

    run()
    together = without_keys()
    (tmp_path / "run").rename(tmp_path / "before")
    run(["base@nfe=2"])
    alone = without_keys()
    assert alone
    assert all(row in together for row in alone)


def test_a_dry_run_counts_them(tmp_path: Path, run: Run, timings: Timings) -> None:
    words = "8 cells: 2 methods x 2 tasks x 1 seed, each also in real time at 20 Hz"
    _, output = run(dry_run=True)
    assert words in output
    assert "4 real time" in output
    run()
    assert "8 done already" in run(dry_run=True)[1]
    (tmp_path / "run" / "realtime.jsonl").unlink()
    _, output = run(dry_run=True)
    assert "4 done already" in output
    assert "to do: 4 real time;" in output


def test_a_latency_that_cannot_be_measured_is_an_error_of_its_cells(tmp_path: Path, run: Run, timings: Timings) -> None:
    timings.ms = {}
    code, output = run()
    assert code == 3
    assert "4 cells in error, their 8 episodes" in output
    assert all("latency of base" in r["error"] and r["checkpoint"] is None for r in rows(tmp_path))
    assert all(r["error"] is None for r in rows(tmp_path, "episodes"))
    assert [e["unit"] for e in rows(tmp_path, "errors")] == ["latency", *["realtime"] * 4]
    page = (tmp_path / "reports" / "run" / "README.md").read_text(encoding="utf-8")
    assert "in real time: RuntimeError: the latency of base on fake could not be measured" in page
    timings.ms = MS
    assert run()[0] == 0
    assert all(r["error"] is None for r in rows(tmp_path))


def test_a_latency_refused_by_its_process_leaves_a_report(tmp_path: Path, run: Run, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> list[dict]:
        raise UserError("base cannot run by 'onnx': it names no `parts`")

    monkeypatch.setattr(app, "run_job", refuse)
    assert run(["base"], hz=None)[0] == 3
    assert [(e["unit"], e["error"]) for e in rows(tmp_path, "errors")] == [
        ("latency", "cpu1: base cannot run by 'onnx': it names no `parts`")
    ]
    page = (tmp_path / "reports" / "run" / "README.md").read_text(encoding="utf-8")
    assert "not timed: cpu1: base cannot run by" in page


def test_a_thread_mode_that_could_not_be_timed_is_an_error_until_it_is(
    tmp_path: Path, timings: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> tuple[int, str, str]:
        console = Console(file=io.StringIO(), width=200)
        places = (tmp_path / "run", tmp_path / "cache", tmp_path / "reports")
        spec = make_spec(["base"], ["fake/walk"], profile_name="lite", episodes=2)
        code = app.run(spec, app.Settings(*places, 0, None, "cpu", False), console)
        return code, console.file.getvalue(), (tmp_path / "reports" / "run" / "README.md").read_text(encoding="utf-8")

    def one_thread_only(job: app.LatencyJob, *arguments: object, **options: object) -> list[dict]:
        if job.mode == "cpuN":
            raise RuntimeError("killed: out of memory")
        return timings(job, *arguments, **options)

    monkeypatch.setattr("bench.report.save", lambda *_: [])
    monkeypatch.setattr(app, "run_job", one_thread_only)
    code, said, page = start()
    assert code == 3
    assert "not timed: fake/walk (cpuN)" in said
    assert "not timed: cpuN: killed: out of memory" in page
    monkeypatch.setattr(app, "run_job", timings)
    code, said, page = start()
    assert code == 0
    assert "not timed" not in said + page


def test_a_full_disk_in_the_latency_stage_stops_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> list[dict]:
        raise StorageError("latency.jsonl cannot be written")

    monkeypatch.setattr(app, "run_job", full)
    with pytest.raises(StorageError):
        run(["base"], hz=None)


def test_a_failed_training_takes_its_cells_along_and_no_others(tmp_path: Path, run: Run, timings: Timings) -> None:
    timings.ms |= {"broken": 5.0}
    assert run(["base", "broken"])[0] == 3
    assert timings.jobs == 0  # all are timed together or not at all
    late = bench.load(tmp_path / "run", "realtime")
    assert late["error"].notna().all()
    assert late[late["variant"] == "broken"]["error"].str.startswith("not evaluated: RuntimeError: a fault").all()
    assert late[late["variant"] == "base"]["error"].str.contains("latency").all()
    assert sorted(set(late["variant"])) == ["base", "broken"]
