"""`bench run` from the plan on the screen to the report on the disk."""

from __future__ import annotations

import datetime
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from bench.artifacts import Cache
from bench.costs import Costs
from bench.executor import Executor, InProcessExecutor, RayExecutor
from bench.hardware import fingerprint
from bench.interfaces import UserError
from bench.latency_stage import LatencyJob, latency_jobs, missing_jobs, run_job
from bench.plan import Kind, Unit, make_plan
from bench.progress import STAGES, display, duration
from bench.provenance import git_state
from bench.run import Driver, State, find_missing, put_in_order
from bench.spec import RunSpec
from bench.store import RunFolder, load_run, read_manifest
from bench.worker import versions

OK, INTERRUPTED, CELLS_IN_ERROR = 0, 130, 3


@dataclass(frozen=True)
class Settings:
    """Where and how a run is done; nothing here changes a record."""

    out: Path
    cache: Path
    reports: Path
    workers: int | None  # None: one per core (local) or CPU (cluster); 0: in this process
    ray_address: str | None
    device: str
    dry_run: bool


def run(spec: RunSpec, settings: Settings, console: Console) -> int:
    """Do a run, or what is missing of it; returns the exit code."""
    started = time.monotonic()
    units = make_plan(spec)
    cache, costs = Cache(settings.cache), Costs(settings.cache / "costs.json")
    jobs = latency_jobs(units, settings.device)
    if settings.dry_run:
        _print_plan(units, [u for u in units if u.key not in cache], costs, spec, settings, console)
        return OK
    with RunFolder(settings.out, spec) as folder:
        open_jobs = missing_jobs(jobs, folder)
        state = find_missing(units, folder, cache, also=[k for j in open_jobs for k in j.checkpoints])
        _print_plan(units, state.todo, costs, spec, settings, console)
        _write_manifest(folder, settings, 0.0)
        try:
            if state.todo:
                _drive(state, folder, cache, costs, settings, console)
            put_in_order(units, folder)
            _measure_latency(open_jobs, folder, cache, console)
        except KeyboardInterrupt:
            console.print(f"\nstopped; nothing is lost, the same command goes on from here ({settings.out})")
            return INTERRUPTED
        finally:
            _write_manifest(folder, settings, time.monotonic() - started)
    return _report(settings, console)


def _executor(settings: Settings, open_units: int) -> Executor:
    if settings.workers == 0:
        return InProcessExecutor(settings.device)
    workers = settings.workers
    if workers is None and not settings.ray_address:
        workers = min(_cores(), open_units)
    return RayExecutor(workers, settings.ray_address, settings.device)


def _cores() -> int:
    return psutil.cpu_count(logical=False) or 1


def _drive(
    state: State, folder: RunFolder, cache: Cache, costs: Costs, settings: Settings, console: Console
) -> None:  # fmt: skip
    executor = _executor(settings, len(state.todo))
    try:
        Driver(state, folder, cache, costs, executor, display(console)).run()
    finally:
        executor.close()


def _measure_latency(jobs: Sequence[LatencyJob], folder: RunFolder, cache: Cache, console: Console) -> None:
    """After the rollouts, alone on the machine: timings made beside other work are worth nothing."""
    for job in jobs:
        if any(key not in cache for key in job.checkpoints):
            continue  # its training failed, which is recorded
        task = job.units[0].task.id
        console.print(f"latency of {', '.join(map(str, job.variants))} on {task} ...", highlight=False)
        start = time.monotonic()
        try:
            rows = run_job(job, cache)
        except RuntimeError as error:
            failure = {
                "schema": "error/1", "key": job.row_key(0), "unit": "latency", "task": task, "method": None,
                "training_seed": job.units[0].training_seed, "error": str(error).splitlines()[-1],
                "traceback": str(error),
            }  # fmt: skip
            folder.append("errors", [failure])
            console.print(f"[red]latency on {task}: {failure['error']}[/red]")
            continue
        keys = {row["key"] for row in rows}
        folder.keep("latency", lambda row, keys=keys: row["key"] not in keys)  # type: ignore[misc]
        folder.append("latency", rows)
        console.print(f"latency measured in {duration(time.monotonic() - start)}", highlight=False)


def _write_manifest(folder: RunFolder, settings: Settings, seconds: float) -> None:
    path = folder.path / "manifest.json"
    before = read_manifest(folder.path).get("wall_seconds", 0.0) if path.exists() else 0.0
    folder.write_manifest({
        "command": shlex.join(["bench", *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(before + seconds, 1),  # over all starts
        "device": settings.device,
        "versions": versions(),
        "git": git_state(),
        "hardware": fingerprint(),
    })  # fmt: skip


def _print_plan(
    units: Sequence[Unit], todo: Sequence[Unit], costs: Costs, spec: RunSpec, settings: Settings, console: Console
) -> None:  # fmt: skip
    cells = [u for u in units if u.kind is Kind.EVALUATE]
    open_keys = {u.key for u in todo}
    done = sum(u.key not in open_keys for u in cells)
    console.print(
        f"[bold]{len(cells)} cells[/bold]: {len(spec.methods)} methods ({', '.join(spec.methods)}) x "
        f"{len(spec.tasks)} tasks x {len(spec.seeds)} seeds, {spec.episodes} episodes each, profile {spec.profile}; "
        f"{done} done already",
        highlight=False,
    )
    counts = Counter(u.kind for u in todo)
    if todo:
        slots = max(1, min(settings.workers if settings.workers is not None else _cores(), len(todo)))
        seconds = sum(costs.estimate(u) for u in todo) / slots
        parts = ", ".join(f"{counts[kind]} {name}" for kind, name in STAGES.items() if counts[kind])
        console.print(f"to do: {parts}; about {duration(seconds)} with {slots} workers", highlight=False)
    console.print(f"records: {settings.out}   artefacts: {settings.cache}", highlight=False, soft_wrap=True)


def _report(settings: Settings, console: Console) -> int:
    from bench.report import summary_table, write_report

    run_data = load_run(settings.out)
    files = write_report(run_data, settings.reports / settings.out.name)
    console.print(summary_table(run_data).to_rich())
    if len(run_data.errors):
        failed = run_data.episodes["error"].notna().sum() if len(run_data.episodes) else 0
        console.print(f"[red]{len(run_data.errors)} errors recorded ({settings.out / 'errors.jsonl'})[/red]; ", end="")
        console.print(f"{failed} episodes count as failures; the same command tries them again")
    console.print(f"report: {files[0]}", highlight=False, soft_wrap=True)
    cells_in_error = len(run_data.episodes) and run_data.episodes["checkpoint"].isna().any()
    return CELLS_IN_ERROR if cells_in_error else OK


def newest_run(results: Path) -> Path:
    """The run that was written last under a folder. Raises `UserError` where there is none."""
    runs = sorted(results.glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise UserError(f"{results}: no run there; make one with 'bench run', or name a run's folder")
    return runs[-1].parent
