"""The driver of `bench run`: does what is missing, records what comes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.artifacts import Cache
from bench.costs import Costs
from bench.executor import Done, Event, Executor, Failed, Progress
from bench.plan import Kind, Unit
from bench.progress import Clock, Display
from bench.store import RunFolder
from bench.train import curve_steps
from bench.worker import failed_rows

FILES = {Kind.TRAIN: ("curves", "step"), Kind.EVALUATE: ("episodes", "episode"), Kind.REALTIME: ("realtime", "episode")}
"""Where the rows of a unit are recorded, and what they are numbered by."""

ReadRows = Callable[[str], list[dict[str, Any]]]


@dataclass(frozen=True)
class State:
    """What a run's folder and the cache hold of a plan, and what is therefore left to do."""

    units: Sequence[Unit]  # the whole plan
    todo: list[Unit]  # what is missing, parents before children
    recorded: set[str]  # keys of the evaluations and trainings whose rows are complete


def find_missing(units: Sequence[Unit], rows: ReadRows, cache: Cache, also: Iterable[str] = ()) -> State:
    """Compare a plan with what is there; changes nothing.

    Args:
        units: The plan, or a stage of it; what an earlier stage makes is no business of a later one.
        rows: Reads the rows of a records file by its name.
        cache: Artefacts that are there.
        also: Keys of further units whose artefacts are needed, for instance for latency.
    """
    by_key = {u.key: u for u in units}
    recorded = _complete_keys(by_key, rows)
    targets = [u.key for u in units if u.kind is not Kind.DEMOS and u.key not in recorded]
    targets += also
    missing: set[str] = set()
    while targets:
        key = targets.pop()
        if key in missing or key in cache:
            continue
        missing.add(key)
        targets += [k for k in by_key[key].needs if k in by_key]
    return State(units, [u for u in units if u.key in missing], recorded)


def _complete_keys(by_key: Mapping[str, Unit], rows: ReadRows) -> set[str]:
    """Keys of the units whose every row is recorded once: evaluations from a checkpoint, and learning curves."""
    found: dict[str, list[int]] = {}
    for name, number in _files(by_key.values()):
        for row in rows(name):
            if row.get("checkpoint", "") is not None:  # that of a cell in error is; learning curves have none
                found.setdefault(row["key"], []).append(row[number])
    return {key for key, places in found.items() if key in by_key and sorted(places) == _places(by_key[key])}


def _files(units: Iterable[Unit]) -> list[tuple[str, str]]:
    """The `FILES` of the kinds of work in ``units``."""
    kinds = {u.kind for u in units}
    return [file for kind, file in FILES.items() if kind in kinds]


def _places(unit: Unit) -> list[int]:
    """What the rows of a unit are numbered by: episodes, or steps of the learning curve."""
    if unit.kind is not Kind.TRAIN:
        return list(range(unit.episodes))
    assert unit.method is not None
    return curve_steps(unit.method.train_steps, unit.profile.curve_points)


def repair(state: State, folder: RunFolder, cache: Cache) -> None:
    """Drop the rows of incomplete and failed units, to be made again; record the learning curves that the cache has."""
    for name, _ in _files(state.units):
        folder.keep(name, lambda row: row["key"] in state.recorded)
    for unit in state.units:
        if unit.kind is Kind.TRAIN and unit.key in cache and unit.key not in state.recorded:
            folder.append("curves", curve_rows(unit, cache.load(unit.key).info["curve"]))


class Driver:
    """Runs the missing units on an executor, longest chains first, and records the results."""

    def __init__(
        self,
        state: State,
        folder: RunFolder,
        cache: Cache,
        costs: Costs,
        executor: Executor,
        display: Display,
        failed: Mapping[str, str] | None = None,
    ) -> None:
        """``failed`` holds the errors of an earlier stage by key: what needs these units cannot be done."""
        self._folder, self._cache, self._costs = folder, cache, costs
        self._executor, self._display = executor, display
        self._recorded = state.recorded
        self._pending = {u.key: u for u in state.todo}
        self._running: dict[str, tuple[Unit, float]] = {}
        self._slot_of: dict[str, int] = {}
        self._last_task: dict[int, str] = {}
        self._failed = dict(failed or {})
        self._urgency = _chain_lengths(state.todo, costs.estimate)
        self._clock = Clock({u.key: costs.estimate(u) for u in state.todo}, executor.slots)

    def run(self) -> dict[str, str]:
        """Do everything; errors of single units are recorded and the others go on. Returns all errors by key."""
        self._display.start(list(self._pending.values()), self._clock)
        try:
            while self._pending or self._running:
                self._fill_slots()
                if self._running:
                    self._executor.wait(self._on_event)
        finally:
            self._display.stop()
            self._costs.save()
        return self._failed

    def _fill_slots(self) -> None:
        for unit in list(self._pending.values()):
            if error := self._obstacle(unit):
                self._give_up(unit, error)
        free = [s for s in range(self._executor.slots) if s not in self._slot_of.values()]
        for slot in free:
            ready = [u for u in self._pending.values() if all(k in self._cache for k in u.needs)]
            if not ready:
                return
            # A worker that stays on its task keeps its simulators; between equals the longer chain goes first.
            unit = max(ready, key=lambda u: self._urgency[u.key] + 10 * (self._last_task.get(slot) == u.task.id))
            inputs = {key: self._cache.load(key) for key in unit.needs}
            self._executor.start(slot, unit, inputs, self._cache.load_snapshot(unit.key))
            self._slot_of[unit.key], self._last_task[slot] = slot, unit.task.id
            self._running[unit.key] = (self._pending.pop(unit.key), 0.0)

    def _on_event(self, event: Event) -> None:
        if event.key not in self._running:  # late news of a unit that has ended
            return
        unit, _ = self._running[event.key]
        match event:
            case Progress(key, fraction, snapshot):
                self._running[key] = (unit, fraction)
                self._clock.update(key, fraction)
                if snapshot:
                    self._cache.save_snapshot(key, snapshot)
            case Done(key, result):
                if result.artifact:
                    self._cache.save(key, result.artifact)
                if unit.kind is Kind.TRAIN and result.artifact and key not in self._recorded:
                    self._folder.append("curves", curve_rows(unit, result.artifact.info["curve"]))
                if result.episodes:
                    self._folder.append(FILES[unit.kind][0], result.episodes)
                self._folder.append("timings", [{"schema": "timing/1", **_blame(unit), "seconds": result.seconds}])
                self._costs.learn(unit, result.seconds)
                self._end(unit, result.seconds, _outcome(result.episodes))
            case Failed(key, error, trace):
                row = {"schema": "error/1", **_blame(unit), "error": error, "traceback": trace}
                self._folder.append("errors", [row])
                self._failed[key] = error
                self._append_failed(unit, error)
                self._end(unit, 0.0, f"error: {error}")
        self._display.update(self._running)

    def _end(self, unit: Unit, seconds: float, outcome: str) -> None:
        del self._running[unit.key], self._slot_of[unit.key]
        self._clock.finish(unit.key, seconds)
        self._display.finish(unit, seconds, outcome)

    def _obstacle(self, unit: Unit) -> str | None:
        """Why a unit can never be done: a parent failed, or is not there and will not be made."""
        for key in unit.needs:
            if key in self._failed:
                return self._failed[key]
            if not (key in self._pending or key in self._running or key in self._cache):
                return f"{key} is no longer in the cache"
        return None

    def _give_up(self, unit: Unit, error: str) -> None:
        """The episodes of a unit that cannot be done count as failures."""
        del self._pending[unit.key]
        self._failed[unit.key] = error
        self._append_failed(unit, f"not evaluated: {error}")
        self._clock.finish(unit.key, 0.0)
        self._display.finish(unit, 0.0, f"error: not done, as {error}")

    def _append_failed(self, unit: Unit, error: str) -> None:
        if rows := failed_rows(unit, error):
            self._folder.append(FILES[unit.kind][0], rows)


def put_in_order(units: Sequence[Unit], folder: RunFolder) -> None:
    """Sort the records into the order of the plan, so that equal runs have equal files."""
    rank = {u.key: i for i, u in enumerate(units)}
    for name, within in _files(units):
        rows = folder.rows(name)
        ordered = sorted(rows, key=lambda row: (rank.get(row["key"], len(rank)), row[within]))
        if ordered != rows:
            folder.replace(name, ordered)


def curve_rows(unit: Unit, curve: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``curves.jsonl`` from the learning curve kept with a checkpoint."""
    cell = {
        "schema": "curve/1", "key": unit.key, "suite": unit.task.suite, "task": unit.task.id,
        "difficulty": unit.task.difficulty, "method": str(unit.variant), "profile": unit.profile.name,
        "training_seed": unit.training_seed,
    }  # fmt: skip
    if unit.imported:
        cell["demos"] = unit.imported
    return [{**cell, **point} for point in curve]


def _blame(unit: Unit) -> dict[str, Any]:
    method = str(unit.variant) if unit.variant else None
    return {
        "key": unit.key, "unit": str(unit.kind), "task": unit.task.id, "method": method,
        "training_seed": unit.training_seed,
    }  # fmt: skip


def _outcome(episodes: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(e['success_ever'] for e in episodes)}/{len(episodes)} succeeded" if episodes else "done"


def _chain_lengths(units: Sequence[Unit], estimate: Callable[[Unit], float]) -> dict[str, float]:
    """Seconds of the longest chain of work that starts with each unit."""
    lengths = {u.key: 0.0 for u in units}
    for unit in reversed(units):  # children come after their parents
        lengths[unit.key] += estimate(unit)
        for key in unit.needs:
            if key in lengths:
                lengths[key] = max(lengths[key], lengths[unit.key])
    return lengths
