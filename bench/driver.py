"""The driver of `bench run`: does what is missing, records what comes, and nothing else."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.artifacts import Cache, DamagedError, StorageError
from bench.costs import Costs
from bench.executor import Done, Event, Executor, Failed, Progress, first_line
from bench.plan import Kind, Unit
from bench.progress import Clock, Display
from bench.schedule import Schedule
from bench.signals import gentle_interrupt
from bench.store import RunFolder
from bench.train import curve_steps
from bench.worker import Result, failed_rows

FILES = {Kind.TRAIN: ("curves", "step"), Kind.EVALUATE: ("episodes", "episode"), Kind.REALTIME: ("realtime", "episode")}
"""Where the rows of a unit are recorded, and what they are numbered by."""

RETRIES = 2
"""How often a unit is tried again whose worker died under it. What raises or hangs would do so again."""

ReadRows = Callable[[str], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class State:
    """What a run's folder and the cache hold of a plan, and what is therefore left to do."""

    units: Sequence[Unit]  # the whole plan
    todo: list[Unit]  # what is missing, parents before children
    recorded: set[str]  # keys of the evaluations and trainings whose rows are complete
    also: tuple[str, ...] = ()  # keys of further units whose artefacts are needed


def find_missing(units: Sequence[Unit], rows: ReadRows, cache: Cache, also: Iterable[str] = ()) -> State:
    """Compare a plan with what is there; changes nothing.

    Args:
        units: The plan, or a stage of it; what an earlier stage makes is no business of a later one.
        rows: Reads the rows of a records file by its name.
        cache: Artefacts that are there.
        also: Keys of further units whose artefacts are needed, for instance for latency.
    """
    by_key = {u.key: u for u in units}
    recorded, also = _complete_keys(by_key, rows), tuple(also)
    targets = [u.key for u in units if u.kind not in (Kind.DEMOS, Kind.WEIGHTS) and u.key not in recorded]
    targets += also
    missing: set[str] = set()
    while targets:
        key = targets.pop()
        if key in missing or key in cache:
            continue
        missing.add(key)
        targets += [k for k in by_key[key].needs if k in by_key]
    return State(units, [u for u in units if u.key in missing], recorded, also)


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


def repair(state: State, folder: RunFolder, cache: Cache) -> State:
    """Drop the rows of incomplete and failed units, to be made again; record the learning curves that the cache has.

    Returns what is left to do: more than before where the checkpoint of a curve was damaged and put aside.
    """
    recorded, damaged = set(state.recorded), False
    for name, _ in _files(state.units):
        folder.keep(name, lambda row: row["key"] in state.recorded)
    for unit in state.units:
        if unit.kind is Kind.TRAIN and unit.key in cache and unit.key not in state.recorded:
            try:
                folder.append("curves", curve_rows(unit, cache.load(unit.key).info["curve"]))
                recorded.add(unit.key)
            except DamagedError:
                cache.set_aside(unit.key)
                damaged = True
    if damaged:
        return find_missing(state.units, folder.each, cache, state.also)
    return replace(state, recorded=recorded)


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
        retries: int = RETRIES,
    ) -> None:
        """``failed`` holds the errors of an earlier stage by key: what needs these units cannot be done.

        A unit whose worker dies under it is tried again, ``retries`` times.
        """
        self._folder, self._cache, self._costs = folder, cache, costs
        self._executor, self._display, self._retries = executor, display, retries
        self._plan = {u.key: u for u in state.units}
        self._todo = state.todo
        self._curves = set(state.recorded)
        self._running: dict[str, tuple[Unit, float]] = {}
        self._last_task: dict[int, str] = {}
        self._attempts: Counter[str] = Counter()
        self._remade: set[str] = set()
        self._failed = dict(failed or {})
        self._stopping = False
        self._schedule = Schedule(state.todo, costs.estimate)
        self._clock = Clock({u.key: costs.estimate(u) for u in state.todo}, executor.slots)

    def run(self) -> dict[str, str]:
        """Do everything; errors of single units are recorded and the others go on. Returns all errors by key.

        Raises:
            KeyboardInterrupt: At the first Ctrl-C, when the units under way have ended; at the second one at once.
        """
        self._display.start(self._todo, self._clock)
        try:
            with gentle_interrupt(self._stop):
                for unit in self._todo:
                    self._add(unit)
                while self._running or (self._schedule and not self._stopping):
                    self._fill_slots()
                    if self._running or self._schedule:
                        self._executor.wait(self._on_event)
        finally:
            self._display.stop()
            self._costs.save()
        if self._stopping:
            raise KeyboardInterrupt
        return self._failed

    def _stop(self) -> None:
        self._stopping = True
        self._display.note(
            "stopping when what is under way has ended; Ctrl-C again stops at once, and loses no more "
            "than the time since the last snapshot"
        )

    def _add(self, unit: Unit) -> None:
        """Schedule a unit, or give it up where a parent failed, or is not there and will not be made."""
        lacks = []
        for key in unit.needs:
            if key in self._failed:
                self._give_up(unit, self._failed[key])
                return
            if key in self._schedule or key in self._running:
                lacks.append(key)
            elif key not in self._cache:
                self._give_up(unit, f"{key} is no longer in the cache")
                return
        self._schedule.add(unit, lacks)

    def _fill_slots(self) -> None:
        for slot in self._executor.free():
            unit = None if self._stopping else self._schedule.pick(self._last_task.get(slot))
            if unit is None:
                return
            try:
                inputs = {key: self._cache.load(key) for key in unit.needs}
            except DamagedError as error:
                self._make_again(unit, error)
                continue
            self._attempts[unit.key] += 1
            self._executor.start(slot, unit, inputs, self._cache.load_snapshot(unit.key))
            self._last_task[slot] = unit.task.id
            self._running[unit.key] = (unit, 0.0)

    def _make_again(self, unit: Unit, damage: DamagedError) -> None:
        """Put a damaged artefact aside and make it anew, once in a run; ``unit`` waits for it."""
        if damage.key not in self._schedule and damage.key not in self._running:  # else it is being made
            self._cache.set_aside(damage.key)
            if damage.key in self._remade or damage.key not in self._plan:
                self._fail(unit, Failed(unit.key, str(damage), ""))
                return
            self._display.note(f"{damage.path}: damaged; put aside, made again")
            self._remade.add(damage.key)
            self._require(damage.key)
        self._add(unit)

    def _require(self, key: str) -> None:
        """Schedule the unit that makes an artefact, and before it what that one lacks itself."""
        if key in self._cache or key in self._schedule or key in self._running or key not in self._plan:
            return
        for parent in self._plan[key].needs:
            self._require(parent)
        self._add(self._plan[key])

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
                del self._running[key]
                try:
                    self._record(unit, result)
                except StorageError:
                    raise
                except (TypeError, ValueError) as error:  # what a method or a simulator returned fits no record
                    self._fail(unit, Failed(key, first_line(error), traceback.format_exc()))
            case Failed(key, error):
                del self._running[key]
                if event.transient and self._attempts[key] <= self._retries:
                    self._record_error(unit, event)
                    self._display.note(f"{unit.label}: {error}; tried again")
                    self._add(unit)
                else:
                    self._fail(unit, event)
        self._display.update(self._running)

    def _record(self, unit: Unit, result: Result) -> None:
        """Keep what a unit made."""
        if result.artifact:
            if unit.kind is Kind.TRAIN and unit.key not in self._curves:
                self._folder.append("curves", curve_rows(unit, result.artifact.info["curve"]))
                self._curves.add(unit.key)
            self._cache.save(unit.key, result.artifact)
        for replay in result.replays:  # before the rows: these say that all is there
            self._folder.write_replay(replay)
        if result.episodes:
            self._folder.append(FILES[unit.kind][0], result.episodes)
        if faults := [row for row in result.episodes if row["error"]]:
            self._record_error(unit, _faults(unit, faults))
        timing = {"schema": "timing/1", **_blame(unit), "attempts": self._attempts[unit.key], "seconds": result.seconds}
        self._folder.append("timings", [timing])
        self._costs.learn(unit, result.seconds)
        self._schedule.made(unit.key)
        self._finish(unit, result.seconds, _outcome(result.episodes))

    def _fail(self, unit: Unit, failure: Failed) -> None:
        """Record an error; the episodes of the unit and of all that needs it count as failures."""
        self._record_error(unit, failure)
        self._failed[unit.key] = failure.error
        self._append_failed(unit, failure.error)
        self._finish(unit, 0.0, f"error: {failure.error}")
        for child in self._schedule.give_up(unit.key):
            self._give_up(child, failure.error)

    def _give_up(self, unit: Unit, error: str) -> None:
        """The episodes of a unit that cannot be done count as failures."""
        self._failed[unit.key] = error
        self._append_failed(unit, f"not evaluated: {error}")
        self._finish(unit, 0.0, f"error: not done, as {error}")
        for child in self._schedule.give_up(unit.key):
            self._give_up(child, error)

    def _finish(self, unit: Unit, seconds: float, outcome: str) -> None:
        self._clock.finish(unit.key, seconds)
        self._display.finish(unit, seconds, outcome)

    def _record_error(self, unit: Unit, failure: Failed) -> None:
        attempts = max(1, self._attempts[unit.key])
        row = {"error": failure.error, "traceback": failure.traceback, "attempts": attempts}
        self._folder.append("errors", [{"schema": "error/1", **_blame(unit), **row}])

    def _append_failed(self, unit: Unit, error: str) -> None:
        if rows := failed_rows(unit, error):
            self._folder.append(FILES[unit.kind][0], rows)


def put_in_order(units: Sequence[Unit], folder: RunFolder) -> None:
    """Sort the records into the order of the plan, so that equal runs have equal files."""
    rank = {u.key: i for i, u in enumerate(units)}
    for name, within in _files(units):
        folder.sort(name, lambda row, within=within: (rank.get(row["key"], len(rank)), row[within]))  # type: ignore[misc]


def curve_rows(unit: Unit, curve: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``curves.jsonl`` from the learning curve kept with a checkpoint."""
    cell = {
        "schema": "curve/1", "key": unit.key, "suite": unit.task.suite, "task": unit.task.id,
        "difficulty": unit.task.difficulty, "method": str(unit.variant), "profile": unit.profile.name,
        "training_seed": unit.training_seed, **unit.imports,
    }  # fmt: skip
    return [{**cell, **point} for point in curve]


def _blame(unit: Unit) -> dict[str, Any]:
    method = str(unit.variant) if unit.variant else None
    return {
        "key": unit.key, "unit": str(unit.kind), "task": unit.task.id, "method": method,
        "training_seed": unit.training_seed,
    }  # fmt: skip


def _faults(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> Failed:
    """Episodes that ended in an error of their own, as one error of their cell."""
    lines = [f"episode {row['episode']}, after {row['steps']} steps: {row['error']}" for row in rows]
    return Failed(unit.key, f"{len(rows)} of {unit.episodes} episodes: {rows[0]['error']}", "\n".join(lines))


def _outcome(episodes: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(e['success_ever'] for e in episodes)}/{len(episodes)} succeeded" if episodes else "done"
