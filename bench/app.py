"""`bench run` from the plan on the screen to the report on the disk."""

from __future__ import annotations

import datetime
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.artifacts import Cache, DamagedError, StorageError, write_atomically
from bench.console import say
from bench.costs import Costs
from bench.driver import RETRIES, Driver, ReadRows, State, find_missing, put_in_order, repair
from bench.executor import Executor, InProcessExecutor
from bench.hardware import fingerprint
from bench.interfaces import UserError
from bench.latency_job import LatencyJob, run_job
from bench.latency_stage import latency_jobs, missing_jobs, timed_variants
from bench.plan import Kind, Unit, make_plan, plan_key, realtime_units
from bench.progress import STAGES, display, duration, latency_display
from bench.provenance import git_state, packages
from bench.ray_executor import RayExecutor
from bench.signals import uninterrupted
from bench.spec import RunSpec
from bench.store import MANIFEST, RunFolder, iterate_rows, load_run, read_manifest, read_replays
from bench.thread_modes import usable_cores
from bench.worker import versions

OK, INTERRUPTED, CELLS_IN_ERROR = 0, 130, 3


@dataclass(frozen=True)
class Settings:
    """Where and how a run is done; of these, only the device is part of the content keys."""

    out: Path
    cache: Path
    reports: Path
    workers: int | None  # None: one per core (local) or CPU (cluster); 0: in this process
    ray_address: str | None
    device: str
    dry_run: bool
    latency: bool = True
    cell_timeout_s: float | None = None  # the time that a unit of work may take
    retries: int = RETRIES  # of units whose worker died
    workers_per_gpu: int = 1  # that share it, where that is the device
    temporary: bool = False  # the folders go after it: nothing points there, no report is written
    command: str | None = None  # as kept in the manifest; None: the command line of this process


def run(spec: RunSpec, settings: Settings, console: Console) -> int:
    """Do a run, or what is missing of it; returns the exit code."""
    units = make_plan(spec, settings.device)
    cache, costs = Cache(settings.cache), Costs(settings.cache / "costs.json")
    if settings.dry_run:
        RunFolder(settings.out, spec, plan_key(units)).refuse_foreign()
        plan = _survey(units, lambda name: iterate_rows(settings.out / f"{name}.jsonl"), cache, spec, settings)
        _print_plan(plan, costs, spec, settings, console)
        return OK
    _check_writable(settings.cache, settings.reports)
    with RunFolder(settings.out, spec, plan_key(units)) as folder:
        plan = _survey(units, folder.each, cache, spec, settings)
        _print_plan(plan, costs, spec, settings, console)
        started, stopped = time.monotonic(), False
        if plan.has_work:
            _write_manifest(folder, settings, units, 0.0)
        try:
            untimed = _do(plan, folder, cache, costs, settings, console)
        except KeyboardInterrupt:
            stopped = True
        finally:
            with uninterrupted():
                if stopped and not settings.temporary:
                    console.print(
                        f"\nstopped; nothing is lost, the same command goes on from here: {settings.out}", markup=False
                    )
                if plan.has_work:
                    _write_manifest(folder, settings, units, time.monotonic() - started)
    if stopped:
        return INTERRUPTED
    return OK if settings.temporary else _report(settings, untimed, console)


@dataclass(frozen=True)
class Plan:
    """All that is left to do."""

    state: State
    jobs: list[LatencyJob]
    realtime: State  # with the latencies that are known now

    @property
    def has_work(self) -> bool:
        """Whether anything will be measured."""
        return bool(self.state.todo or self.jobs or self.realtime.todo)


def _survey(units: Sequence[Unit], rows: ReadRows, cache: Cache, spec: RunSpec, settings: Settings) -> Plan:
    jobs, timed = latency_jobs(units, settings.device) if settings.latency else [], list(rows("latency"))
    late = realtime_units(units, spec.control_hz, timed_variants(jobs, lambda _: timed))
    realtime = find_missing(late, rows, cache)
    jobs = missing_jobs(jobs, lambda _: timed)
    later = [key for job in jobs for key in job.checkpoints] + [key for unit in realtime.todo for key in unit.needs]
    return Plan(find_missing(units, rows, cache, also=later), jobs, realtime)


def _do(
    plan: Plan, folder: RunFolder, cache: Cache, costs: Costs, settings: Settings, console: Console
) -> list[LatencyJob]:  # fmt: skip
    """Do all that is left; returns what could not be timed."""
    units = plan.state.units
    failed = drive(plan.state, {}, folder, cache, costs, settings, console)
    jobs = latency_jobs(units, settings.device, failed) if settings.latency else []
    _measure_latency(missing_jobs(jobs, folder.rows), folder, cache, console)
    late = realtime_units(units, folder.spec.control_hz, timed_variants(jobs, folder.rows))
    drive(find_missing(late, folder.each, cache), failed, folder, cache, costs, settings, console)
    return missing_jobs(jobs, folder.rows)


def drive(
    state: State, failed: Mapping[str, str], folder: RunFolder, cache: Cache, costs: Costs, settings: Settings,
    console: Console,
) -> Mapping[str, str]:  # fmt: skip
    """Do what is missing of a stage; returns the errors by key, those of earlier stages included."""
    state = repair(state, folder, cache)
    if state.todo:
        executor = _executor(settings, len(state.todo))
        try:
            driver = Driver(state, folder, cache, costs, executor, display(console), failed, settings.retries)
            failed = driver.run()
        finally:
            executor.close()
    put_in_order(state.units, folder)
    return failed


def _executor(settings: Settings, open_units: int) -> Executor:
    if settings.workers == 0:
        return InProcessExecutor(settings.device, settings.cell_timeout_s)
    workers = settings.workers
    if workers is None and not settings.ray_address:
        workers = min(usable_cores(), open_units)
    return RayExecutor(
        workers, settings.ray_address, settings.device, settings.cell_timeout_s, settings.workers_per_gpu
    )


def _places(settings: Settings) -> int:
    """How many workers this machine has room for, at most as many as were asked for."""
    import torch

    if settings.workers == 0:
        return 1
    most = settings.workers or usable_cores()
    return min(most, torch.cuda.device_count() * settings.workers_per_gpu) if settings.device == "cuda" else most


def _check_writable(*folders: Path) -> None:
    """Refuse folders that cannot be written before hours of work, not after."""
    for folder in folders:
        probe = folder / f".probe-{os.getpid()}"
        write_atomically(probe, b"")
        probe.unlink()


def _measure_latency(jobs: Sequence[LatencyJob], folder: RunFolder, cache: Cache, console: Console) -> None:
    """After the rollouts, alone on the machine: timings made beside other work are worth nothing."""
    for job in jobs:
        task = job.units[0].task.id
        if any(key not in cache for key in job.checkpoints):
            console.print(f"latency on {task}: not measured, as a training failed", markup=False)
            continue
        about = f"{', '.join(map(str, job.variants))} on {task}, {job.mode} (about {duration(job.seconds())})"
        say(console, f"latency of {about} ...")
        start = time.monotonic()
        try:
            with latency_display(console, f"{job.mode}: ") as show:
                rows = run_job(job, cache, on_progress=show)
        except StorageError:
            raise
        except (RuntimeError, UserError) as error:
            if isinstance(error, DamagedError):  # the same command makes it again
                cache.set_aside(error.key)
            failure = {
                "schema": "error/1", "key": job.row_key(0), "unit": "latency", "task": task, "method": None,
                "training_seed": job.units[0].training_seed, "error": f"{job.mode}: {str(error).splitlines()[-1]}",
                "traceback": str(error),
            }  # fmt: skip
            folder.append("errors", [failure])
            console.print(f"latency on {task}: error: {failure['error']}", markup=False, style="red")
            continue
        keys = {row["key"] for row in rows}
        folder.keep("latency", lambda row, keys=keys: row["key"] not in keys)  # type: ignore[misc]
        folder.append("latency", rows)
        console.print(f"latency measured in {duration(time.monotonic() - start)}", highlight=False)


def _write_manifest(folder: RunFolder, settings: Settings, units: Sequence[Unit], seconds: float) -> None:
    """Describe this start; a start that measures nothing leaves the description of the one that did."""
    path = folder.path / MANIFEST
    before = read_manifest(folder.path)["wall_seconds"] if path.exists() else 0.0
    folder.write_manifest({
        "command": settings.command or shlex.join(["bench", *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(before + seconds, 1),  # over all starts
        "device": settings.device,
        "versions": versions(),
        "git": git_state(),
        "hardware": fingerprint(),
        "packages": packages(),
        "keys": {unit.label: unit.key for unit in units},
    })  # fmt: skip


def _print_plan(plan: Plan, costs: Costs, spec: RunSpec, settings: Settings, console: Console) -> None:
    cells = [*(u for u in plan.state.units if u.kind is Kind.EVALUATE), *plan.realtime.units]
    recorded = plan.state.recorded | plan.realtime.recorded
    done = sum(u.key in recorded for u in cells)
    counted = [(len(spec.methods), "method"), (len(spec.tasks), "task"), (len(spec.seeds), "seed")]
    sizes = " x ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counted)
    if spec.control_hz:
        sizes += f", each also in real time at {spec.control_hz} Hz"
    say(
        console,
        f"{len(cells)} cell{'s' * (len(cells) != 1)}: {sizes} ({', '.join(spec.methods)}), "
        f"{spec.episodes} episodes each, profile {spec.profile}; {done} done already",
    )
    if plan.has_work:
        todo = [*plan.state.todo, *plan.realtime.todo]
        counts = Counter(u.kind for u in todo)
        slots = max(1, min(_places(settings), len(todo)))
        seconds = sum(costs.estimate(u) for u in todo) / slots + sum(job.seconds() for job in plan.jobs)
        parts = [f"{counts[kind]} {name}" for kind, name in STAGES.items() if counts[kind]]
        parts += [f"{len(plan.jobs)} latency"] * bool(plan.jobs)
        workers = "the cluster's CPUs" if settings.ray_address else f"{slots} worker{'s' * (slots != 1)}"
        about = "" if settings.ray_address else f"; about {duration(seconds)}"
        console.print(f"to do: {', '.join(parts)}{about} with {workers}", highlight=False)
        idle = (settings.workers or 0) - _places(settings)
        if idle > 0 and not settings.ray_address:
            say(console, f"no GPU for {idle} of the workers: --workers-per-gpu lets them share one", "yellow")
    if not settings.temporary:
        say(console, f"records: {settings.out}   artefacts: {settings.cache}")


def _report(settings: Settings, untimed: Sequence[LatencyJob], console: Console) -> int:
    from bench.report import realtime_table, summary_table, write_report
    from bench.site import write_site

    run_data = load_run(settings.out)
    folder = settings.reports / settings.out.resolve().name
    files = write_report(run_data, folder)
    site = write_site(run_data, read_replays(settings.out), folder / "site")
    console.print(summary_table(run_data).to_rich())
    if not run_data.realtime.empty:
        console.print(realtime_table(run_data).to_rich())
    both = [rows[["key", "error"]] for rows in (run_data.episodes, run_data.realtime) if not rows.empty]
    failed = [key for rows in both for key in rows["key"][rows["error"].notna()]]
    if failed:
        say(
            console,
            f"{len(set(failed))} cells in error, their {len(failed)} episodes count as failures: "
            f"{settings.out / 'errors.jsonl'} says why; the same command tries again what has not been evaluated",
            "red",
        )
    if untimed:
        names = ", ".join(f"{job.units[0].task.id} ({job.mode})" for job in untimed)
        say(console, f"not timed: {names}; the same command tries again", "red")
    say(console, f"report: {files[0]}")
    say(console, f"site: {site}")
    return CELLS_IN_ERROR if failed or untimed else OK
