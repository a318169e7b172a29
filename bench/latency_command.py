"""`bench latency`: variants timed against the first of them, without a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.artifacts import Cache, write_atomically
from bench.console import say
from bench.hardware import busy_cores
from bench.interfaces import UserError
from bench.latency import CONTENDED_CORES, Budget
from bench.latency_figures import notes
from bench.latency_job import LatencyJob, budget_of, run_job
from bench.plan import Kind, make_plan
from bench.progress import duration, latency_display
from bench.records import LatencyRow
from bench.runtimes import check_runtime
from bench.spec import Variant, make_spec, profile
from bench.thread_modes import CPU1, CPUN, modes_for
from bench.weights import require_weights

OK, INTERRUPTED = 0, 130
MODES = {"1": (CPU1,), "all": (CPUN,), "both": (CPU1, CPUN)}
"""Thread modes by the words of the command line."""
_SHOWN = (
    "method", "e2e_p50_ms", "e2e_p90_ms", "e2e_p99_ms", "policy_p50_ms", "sample_p50_ms", "nfe", "per_step_ms",
    "hz_control", "missed_10hz", "missed_20hz", "missed_50hz",
)  # fmt: skip
_COMPARED = ("method", "e2e_speedup", "policy_speedup", "sample_speedup", "p", "verdict")


@dataclass(frozen=True)
class Request:
    """What is to be timed; None stands for the profile's default."""

    methods: tuple[str, ...]  # variants, the reference first
    task: str
    profile: str
    seed: int  # of the training
    cache: Path
    threads: str  # a key of `MODES`
    seconds: float | None
    calls: int | None
    blocks: int | None
    device: str
    json: Path | None


def compare_latency(request: Request, console: Console) -> int:
    """Time, print, and write the JSON if asked for; returns the exit code.

    Raises:
        UserError: A name does not exist or a file cannot be written; nothing was started.
    """
    try:
        _compare(request, console)
    except KeyboardInterrupt:
        say(console, "stopped; nothing was written")
        return INTERRUPTED
    return OK


def _compare(request: Request, console: Console) -> None:
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        raise UserError(f"--json {request.json}: no file can be written there; name a file in a folder that exists")
    jobs, cache = make_jobs(request), Cache(request.cache)
    first = jobs[0]
    about = duration(sum(job.seconds() for job in jobs))
    names = ", ".join(map(str, first.variants))
    say(console, f"{names} on {first.units[0].task.id}, profile {request.profile}; about {about}")
    trained = dict(zip(map(str, first.variants), (key in cache for key in first.checkpoints), strict=True))
    if untrained := [name for name, there in trained.items() if not there]:
        where = f"no checkpoint in {request.cache}; times do not depend on weights"
        say(console, f"untrained weights: {', '.join(untrained)} ({where})", "yellow")
    if (busy := busy_cores()) > CONTENDED_CORES:
        say(console, f"the machine is busy ({busy:.1f} cores at work): timings will be marked as contended", "red")
    rows: list[dict[str, Any]] = []
    for job in jobs:
        with latency_display(console, f"{job.mode}: ") as show:
            rows += run_job(job, cache, untrained=True, on_progress=show)
        _print(rows[-len(job.variants) :], console)
    if request.json is not None:
        _write(rows, first, request.json)
        say(console, f"figures: {request.json}")


def make_jobs(request: Request) -> list[LatencyJob]:
    """A job per thread mode. Raises `UserError` for names that do not exist and runtimes of other devices."""
    spec = make_spec(request.methods, [request.task], [request.seed], request.profile, episodes=1)
    if len(spec.tasks) != 1:
        raise UserError(f"--task '{request.task}' stands for {len(spec.tasks)} tasks: name one, as in {spec.tasks[0]}")
    plan = make_plan(spec, request.device)
    require_weights(plan, Cache(request.cache))
    units = tuple(u for u in plan if u.kind is Kind.EVALUATE)
    variants = tuple(Variant.parse(text) for text in spec.methods)
    for variant in variants:
        check_runtime(variant.runtime, request.device)
    checkpoints = tuple(str(unit.checkpoint) for unit in units)
    budget = _budget(request)
    return [
        LatencyJob(units, checkpoints, variants, (variants[0],) * len(variants), request.device, mode, budget)
        for mode in modes_for(request.device, MODES[request.threads])
    ]


def _budget(request: Request) -> Budget:
    """The whole protocol (`smoke`: the profile's), but who gives a time or a number of calls alone means just that."""
    default = budget_of(profile("smoke" if request.profile == "smoke" else "paper"))
    blocks = request.blocks or default.blocks
    if request.seconds is None and request.calls is None:
        return Budget(blocks, default.calls, default.seconds, default.warmup_s)
    return Budget(blocks, request.calls or 1, request.seconds or 0.0, default.warmup_s)


def _print(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    from bench.report.latency import latency_table

    first = rows[0]
    threads = f"{first['threads']} thread{'s' * (first['threads'] != 1)}"
    table = latency_table(f"Latency on {first['task']}: {first['device']}, {first['mode']}, {threads}", rows)
    console.print(table.select(*_SHOWN).to_rich())
    if len(rows) > 1:
        compared = latency_table(f"Against {first['variant']}", rows[1:])
        console.print(compared.select(*_COMPARED).to_rich())
    noted: dict[str, list[str]] = {}
    for row in rows:
        for note in notes(row):
            noted.setdefault(note, []).append(row["variant"])
    for note, variants in noted.items():  # below the table, as a column of words leaves its numbers no room
        say(console, f"{note}: {', '.join(variants)}", "yellow")
    if any(row["contended"] for row in rows):
        say(console, "times of a busy machine are good for a first look, not for a result", "red")


def _write(rows: Sequence[Mapping[str, Any]], job: LatencyJob, path: Path) -> None:
    for row in rows:
        LatencyRow.model_validate(row)
    content = {
        "schema": "latency-comparison/1", "reference": str(job.references[0]), "budget": vars(job.budget), "rows": rows,
    }  # fmt: skip
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
