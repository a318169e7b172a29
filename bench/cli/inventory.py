"""Commands that say what there is: `bench list`, `bench doctor`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from bench import registry
from bench.cli.options import missing_suites
from bench.console import make_console, say
from bench.spec import PROFILES


class Listing(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    methods = "methods"
    profiles = "profiles"


def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """List tasks, methods or profiles.

    Example:

      bench list tasks
    """
    table = {Listing.tasks: _task_table, Listing.methods: _method_table, Listing.profiles: _profile_table}[what]()
    console = make_console()
    console.print(table)
    if what is Listing.tasks:
        for suite, reason in missing_suites().items():
            say(console, f"{suite}: {reason}")
    if what is Listing.profiles:
        for name, factor in _demo_factors().items():
            say(console, f"{name}: {factor} times as many demos")


def doctor() -> None:
    """Check what is there, what is missing and how to get it; exit code 1 if the built-in path would not run."""
    from bench.doctor import check

    raise typer.Exit(check(make_console()))


def _task_table() -> Table:
    table = Table("task", "difficulty", "points", "state", "action", "steps", "engine")
    missing = missing_suites()
    for task in registry.tasks().specs().values():
        engine = "[yellow]not installed[/yellow]" if task.suite in missing else task.engine
        sizes = (task.n_points, task.agent_pos_dim, task.action_dim, task.max_steps)
        table.add_row(task.id, task.difficulty or "", *map(str, sizes), engine)
    return table


def _method_table() -> Table:
    table = Table("method", "teacher", "sees", "horizon", "executed", "nfe", "lite steps", "options")
    sample = next(iter(registry.tasks().specs().values()))
    for name in registry.methods().names():
        spec = registry.describe(name, sample, "lite", {})[0]
        options = ", ".join(f"{k}={v}" for k, v in spec.options.items())
        counts = (spec.horizon, spec.executed_steps, spec.nfe, spec.train_steps)
        sees = spec.observation.replace("_", " ")
        table.add_row(name, spec.teacher or "", sees, *map(str, counts), options)
    return table


def _profile_table() -> Table:
    table = Table("profile", "demos", "episodes", "curve points", "what for")
    for profile in PROFILES.values():
        counts = (profile.demos, profile.episodes, f"{profile.curve_points} x {profile.selection_episodes} episodes")
        table.add_row(profile.name, *map(str, counts), profile.purpose)
    return table


def _demo_factors() -> dict[str, int]:
    """By suite, or by task where those of a suite differ: how many times the demos of a profile, where not once."""
    specs = list(registry.tasks().specs().values())
    factors = {spec.suite: {other.demo_factor for other in specs if other.suite == spec.suite} for spec in specs}
    return {
        spec.suite if len(factors[spec.suite]) == 1 else spec.id: spec.demo_factor
        for spec in specs if spec.demo_factor > 1
    }  # fmt: skip
