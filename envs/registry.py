"""Which tasks there are, which of them can run here, and how to build one."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.resources import files
from typing import Any

from bench.interfaces import HandPlace, Task, TaskSpec, UserError, unknown

QUICK = ("metaworld/drawer-open", "metaworld/button-press", "metaworld/basketball", "adroit/hammer")
PLUGINS = "bench.tasks"  # entry point group: name = "module:Class", Class.spec a TaskSpec, Class() the task


def specs(*, plugins: bool = True) -> dict[str, TaskSpec]:
    """All tasks by id: the rows of `tasks.toml`, whether their suite is available or not, and those of plugins."""
    return _rows() | ({name: plugin.spec for name, plugin in _plugins()[0].items()} if plugins else {})


def make(task_id: str) -> Task:
    """Build a task. Raises `UserError` if there is none of this id or its suite cannot run here."""
    known = specs()
    if task_id not in known:
        raise unknown("task", task_id, known)
    spec = known[task_id]
    plugins = _plugins()[0]
    if task_id in plugins:
        return plugins[task_id]()
    reason = unavailable(spec.suite)
    if reason:
        raise UserError(f"task '{task_id}': {reason}")
    module, _, name = _table()["suites"][spec.suite]["loader"].partition(":")
    try:
        loader = getattr(import_module(module), name)
    except Exception as error:  # whatever a broken simulator raises on import must not pass for a fault of ours
        raise UserError(f"task '{task_id}': suite {spec.suite} cannot be loaded: {_line(error)}") from error
    task: Task = loader(spec)
    return task


def unavailable(suite: str) -> str | None:
    """Why a suite cannot run here and how to get it, in one line; None if it can. Imports nothing."""
    suites = _table()["suites"]
    if suite not in suites:
        if any(plugin.spec.suite == suite for plugin in _plugins()[0].values()):
            return None
        raise unknown("suite", suite, suites)
    row = suites[suite]
    if "loader" not in row:
        return f"suite {suite} is not installed: this version of visuomotor-bench does not come with it yet"
    missing = [package for package in row["packages"] if _version(package) is None]
    return f"suite {suite} needs {' and '.join(missing)}: pip install {' '.join(missing)}" if missing else None


def select(patterns: str | Iterable[str]) -> list[str]:
    """Resolve task names to ids.

    A pattern is an id, a glob (``metaworld/door-*``), a suite, a suite and difficulty (``metaworld:hard``), ``quick``
    or ``all``. Each stands for those of its tasks whose suite is available; `unavailable` tells why the others are left
    out.

    Args:
        patterns: a list of patterns, or one string with commas between them.

    Returns:
        ids without repetition, in the order of the patterns. Raises `UserError` if a pattern matches nothing, or
        nothing that is available.
    """
    names = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    chosen: dict[str, None] = {}
    for name in (name.strip() for name in names):
        matches = _match(name)
        available = [task for task in matches if unavailable(specs()[task].suite) is None]
        if not available:
            raise UserError(f"tasks '{name}': {unavailable(specs()[matches[0]].suite)}")
        chosen.update(dict.fromkeys(available))
    return list(chosen)


def broken_plugins() -> dict[str, str]:
    """Entry points of the group `bench.tasks` that could not be used, with the reason."""
    return dict(_plugins()[1])


def _match(pattern: str) -> list[str]:
    known = specs()
    groups = {f"{spec.suite}:{spec.difficulty}" for spec in known.values() if spec.difficulty}
    suites = {spec.suite for spec in known.values()}
    if pattern == "quick":
        return list(QUICK)
    if pattern == "all":
        return list(known)
    if pattern in suites | groups:
        suite, _, difficulty = pattern.partition(":")
        return [task for task, spec in known.items() if spec.suite == suite and difficulty in ("", spec.difficulty)]
    matches = fnmatch.filter(known, pattern)
    if not matches:
        raise unknown("task", pattern, [*known, *suites, *groups, "quick", "all"])
    return matches


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(files("envs").joinpath("tasks.toml").read_text(encoding="utf-8"))


def _rows() -> dict[str, TaskSpec]:
    table = _table()
    rows = {}
    for task, row in table["tasks"].items():
        name = task.partition("/")[0]
        suite = table["suites"][name]
        engine = ", ".join(f"{package} {_version(package) or 'missing'}" for package in suite["packages"])
        sizes = {key: value for key, value in {**suite, **row}.items() if key not in ("loader", "packages")}
        if hand := sizes.pop("hand", None):
            turn = {"rotation": tuple(map(tuple, hand["rotation"]))} if "rotation" in hand else {}
            sizes["hand"] = HandPlace(hand["first"], tuple(hand["offset"]), **turn)
        rows[task] = TaskSpec(id=task, suite=name, engine=engine, **{"difficulty": None, **sizes})
    return rows


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _plugins() -> tuple[dict[str, Any], dict[str, str]]:
    """Task classes by id, and what is wrong with the entry points that gave none."""
    classes: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for entry in entry_points(group=PLUGINS):
        try:
            plugin = _load(entry)
            if plugin.spec.id in _rows() or plugin.spec.id in classes:
                raise ValueError(f"task '{plugin.spec.id}' exists already")
            classes[plugin.spec.id] = plugin
        except Exception as error:  # a third party's fault must not take the other tasks down
            broken[entry.name] = f"plugin '{entry.name}' ({entry.value}) is left out: {_line(error)}"
    return classes, broken


def _load(entry: EntryPoint) -> Any:
    plugin = entry.load()
    if not isinstance(getattr(plugin, "spec", None), TaskSpec):
        raise TypeError("it has no class attribute 'spec' of type TaskSpec")
    return plugin


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
