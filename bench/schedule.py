"""Which unit of work comes next: parents first, long chains before short ones, workers staying on their task.

While many tasks have not been begun, a worker finishes its own before it begins another: what is interrupted then holds
whole tasks. Over the last ones, long chains come first, so that no worker waits in the end.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Sequence

from bench.plan import Unit

STAY_S = 10.0
"""A worker that stays on its task keeps its simulators: worth so many seconds of a longer chain elsewhere."""
LAST_TASKS = 4
"""With no more tasks to begin than that, long chains come first."""


class Schedule:
    """The units that are left to do. A choice costs time by the number of tasks, not by that of the units."""

    def __init__(self, units: Sequence[Unit], estimate: Callable[[Unit], float]) -> None:
        """``units`` in the order of the plan, parents before children; what is added beside them comes first."""
        self._urgency = _chain_lengths(units, estimate)
        self._open: dict[str, Unit] = {}  # to be picked
        self._lacks: dict[str, set[str]] = {}  # key of an open unit -> keys of the artefacts that it waits for
        self._children: dict[str, list[str]] = {}
        self._ready: dict[str, list[tuple[float, int, str]]] = {}  # task -> heap of (-urgency, order, key)
        self._begun: set[str] = set()  # tasks
        self._order = 0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: str) -> bool:
        return key in self._open

    def add(self, unit: Unit, lacks: Collection[str] = ()) -> None:
        """One more unit to do, when the artefacts that it lacks have been made."""
        self._open[unit.key], self._lacks[unit.key] = unit, set(lacks)
        for key in lacks:
            self._children.setdefault(key, []).append(unit.key)
        if not lacks:
            self._make_ready(unit)

    def pick(self, last_task: str | None) -> Unit | None:
        """Take the next unit for a worker, whose last one was of ``last_task``; None if none is ready."""
        for heap in self._ready.values():
            while heap and (heap[0][2] not in self._open or self._lacks[heap[0][2]]):
                heapq.heappop(heap)  # given up, or waiting once more
        ready = {task: heap for task, heap in self._ready.items() if heap}
        if last_task in ready and len(ready.keys() - self._begun) > LAST_TASKS:
            ready = {last_task: ready[last_task]}
        best: tuple[float, int, str] | None = None
        for task, heap in ready.items():
            urgency, order, _ = heap[0]
            candidate = (urgency - STAY_S * (task == last_task), order, task)
            best = min(best or candidate, candidate)
        if best is None:
            return None
        self._begun.add(best[2])
        key = heapq.heappop(self._ready[best[2]])[2]
        del self._lacks[key]
        return self._open.pop(key)

    def made(self, key: str) -> None:
        """An artefact is there now: what waited for it alone is ready."""
        for child in self._children.pop(key, []):
            if child in self._open and key in self._lacks[child]:
                self._lacks[child].remove(key)
                if not self._lacks[child]:
                    self._make_ready(self._open[child])

    def give_up(self, key: str) -> list[Unit]:
        """An artefact will never be there: remove and return what needs it, children of children too."""
        lost = []
        for child in self._children.pop(key, []):
            if child in self._open:
                lost += [self._open.pop(child), *self.give_up(child)]
                del self._lacks[child]
        return lost

    def _make_ready(self, unit: Unit) -> None:
        self._order += 1
        entry = (-self._urgency.get(unit.key, math.inf), self._order, unit.key)
        heapq.heappush(self._ready.setdefault(unit.task.id, []), entry)


def _chain_lengths(units: Sequence[Unit], estimate: Callable[[Unit], float]) -> dict[str, float]:
    """Seconds of the longest chain of work that starts with each unit."""
    lengths = {u.key: 0.0 for u in units}
    for unit in reversed(units):  # children come after their parents
        lengths[unit.key] += estimate(unit)
        for key in unit.needs:
            if key in lengths:
                lengths[key] = max(lengths[key], lengths[unit.key])
    return lengths
