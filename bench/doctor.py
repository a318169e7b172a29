"""`bench doctor`: what is there, what is missing, how to get it."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from bench import registry
from bench.hardware import fingerprint
from bench.runtimes import RUNTIMES, unavailable
from bench.worker import versions

GIB = 2**30
EXTRAS = {
    "zarr": ("zarr", "demos as Zarr stores"),
    "minari": ("minari", "demos as Minari datasets"),
    "parquet": ("pyarrow", "bench export to Parquet"),
}
"""Extras of the package: a module of each, and what it is for."""


def check(console: Console) -> int:
    """Run all checks; returns 0 if the built-in path works, else 1."""
    machine = fingerprint()
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['os']}", highlight=False
    )
    console.print(
        ", ".join(f"{name} {version}" for name, version in versions().items()), highlight=False, soft_wrap=True
    )
    needed = [_run(console, name, test) for name, test in (("simulator", _simulator), ("ray", _ray), ("disk", _disk))]
    needed += [_suites(console)]
    for runtime in RUNTIMES[1:]:
        _optional(console, f"runtime {runtime}", unavailable(runtime))
    for extra, (module, purpose) in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        _optional(console, purpose, None if found else f"pip install 'visuomotor-bench[{extra}]'")
    gpus = machine["gpus"] or ["none; everything runs on the CPU"]
    console.print(f"[dim]--[/dim]   gpu: {', '.join(gpus)} (optional)", highlight=False, soft_wrap=True)
    return 0 if all(needed) else 1


def _optional(console: Console, name: str, reason: str | None) -> None:
    """Print whether something is there that the built-in path does not need."""
    mark = f"[dim]--[/dim]   {name} (optional): {escape(reason)}" if reason else f"[green]ok[/green]   {name}"
    console.print(mark, highlight=False, soft_wrap=True)


def _run(console: Console, name: str, test: Callable[[], str]) -> bool:
    """Print the outcome of one test that raises where something is wrong."""
    try:
        console.print(f"[green]ok[/green]   {name}: {escape(test())}", highlight=False, soft_wrap=True)
    except Exception as error:
        console.print(f"[red]no[/red]   {name}: {escape(str(error).splitlines()[0])}", highlight=False, soft_wrap=True)
        return False
    return True


def _simulator() -> str:
    """One task, reset, stepped and looked at, without OpenGL."""
    envs = registry.tasks()
    name = envs.select(["quick"])[0]
    task = envs.make(name)
    task.reset(0)
    task.step(task.expert().act())
    seen = task.observe()
    task.close()
    if not torch.from_numpy(seen.point_cloud).isfinite().all():
        raise RuntimeError(f"the point cloud of {name} is not finite")
    return f"{name} steps and gives a cloud of {len(seen.point_cloud)} points (no OpenGL needed)"


def _ray() -> str:
    return f"version {importlib.import_module('ray').__version__}"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    if free < 1:
        raise RuntimeError(f"{free:.1f} GiB free here; a run of 57 tasks takes about 2 GiB")
    return f"{free:.0f} GiB free here"


def _suites(console: Console) -> bool:
    """One line per suite; an optional suite that is missing is no fault."""
    envs = registry.tasks()
    counts: dict[str, int] = {}
    for task in envs.specs().values():
        counts[task.suite] = counts.get(task.suite, 0) + 1
    usable = 0
    for suite, count in counts.items():
        reason = envs.unavailable(suite)
        usable += not reason
        mark = (
            f"[yellow]--[/yellow]   {suite}: {count} tasks, {escape(reason)}"
            if reason
            else f"[green]ok[/green]   {suite}: {count} tasks"
        )
        console.print(mark, highlight=False, soft_wrap=True)
    return usable > 0
