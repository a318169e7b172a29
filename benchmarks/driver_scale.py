"""The driver at the size of a large cluster: workers that end every unit at once, so that all time is the driver's.

Time spent on making up the results is the workers' and is left out. Memory is that of the whole process.
*records/CPU s* is by processor time: a core for the driver alone, without waits for the disk.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import registry
from bench.artifacts import Artifact, Cache
from bench.costs import Costs
from bench.driver import Driver, find_missing, put_in_order
from bench.executor import Done, Event, Progress
from bench.plan import Kind, Unit, make_plan, plan_key
from bench.progress import display
from bench.rollout import Episode
from bench.spec import RunSpec
from bench.store import RunFolder
from bench.worker import Result, episode_row
from benchmarks.output import Row, argument_parser, at_least, begin, publish


class SimulatedWorkers:
    """So many slots, all of them busy as long as there is work; each unit is heard of once before it ends."""

    def __init__(self, slots: int) -> None:
        self.slots, self.seconds, self.cpu = slots, 0.0, 0.0
        self._idle = list(range(slots))
        self._running: deque[tuple[int, Unit]] = deque()

    def free(self) -> list[int]:
        """All slots without a unit."""
        return list(self._idle)

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:  # noqa: ARG002
        """Queue the unit."""
        self._idle.remove(slot)
        self._running.append((slot, unit))

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """End the unit that was started first."""
        slot, unit = self._running.popleft()
        on_event(Progress(unit.key, 0.5))
        start, cpu = time.perf_counter(), time.process_time()
        result = _result(unit)
        self.seconds += time.perf_counter() - start
        self.cpu += time.process_time() - cpu
        self._idle.append(slot)
        on_event(Done(unit.key, result))

    def close(self) -> None:
        """Nothing to stop."""


def _result(unit: Unit) -> Result:
    if unit.kind is Kind.EVALUATE:
        return Result(0.0, None, [episode_row(unit, _episode(i), "0" * 64) for i in range(unit.episodes)])
    return Result(0.0, Artifact(unit.key.encode(), {"curve": []}))


def _episode(number: int) -> Episode:
    solved = number % 2 == 0
    return Episode(
        number, seed=number, state_hash=f"{number:016x}", action_hash=f"{number:016x}", success_ever=solved, steps=200,
        steps_to_success=100 if solved else None, total_reward=0.1 * number,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__)
    parser.add_argument("--workers", type=at_least(1), default=1000, help="simulated workers")
    parser.add_argument("--tasks", type=at_least(1), default=57, help="tasks")
    parser.add_argument("--variants", type=at_least(1), default=20, help="variants of one method")
    parser.add_argument("--seeds", type=at_least(1), default=5, help="training seeds")
    parser.add_argument("--episodes", type=at_least(1), default=200, help="test episodes per cell")
    args = begin(parser, argv)
    variants = [f"dp3@nfe={n}" for n in range(1, args.variants + 1)]
    tasks = list(registry.tasks().specs())[: args.tasks]
    spec = RunSpec(tuple(variants), tuple(tasks), tuple(range(args.seeds)), "lite", args.episodes)
    return publish("driver at scale", [_measure(spec, args.workers)], args)


def _measure(spec: RunSpec, workers: int) -> Row:
    seconds: dict[str, float] = {}

    def clock(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[f"{stage} s"] = time.perf_counter() - start
        return result

    units = clock("plan", lambda: make_plan(spec))
    before = _peak_mib()
    with tempfile.TemporaryDirectory() as name:
        cache, costs = Cache(Path(name, "cache")), Costs(Path(name, "costs.json"))
        executor = SimulatedWorkers(workers)
        with RunFolder(Path(name, "run"), spec, plan_key(units)) as folder:
            state = find_missing(units, folder.each, cache)
            driver = Driver(state, folder, cache, costs, executor, display(Console(quiet=True)))
            cpu = time.process_time()
            clock("drive", driver.run)
            cpu = time.process_time() - cpu - executor.cpu
            clock("order", lambda: put_in_order(units, folder))
            left = clock("check", lambda: find_missing(units, folder.each, cache)).todo
            if left:
                raise RuntimeError(f"{len(left)} of {len(units)} units are not recorded: this would time errors")
            size = (folder.path / "episodes.jsonl").stat().st_size
    seconds["drive s"] -= executor.seconds
    records = sum(u.episodes for u in units)
    return {
        "workers": workers, "units": len(units), "records": records, "MiB": size / 2**20, **seconds,
        "records/s": records / seconds["drive s"], "bar": ">= 2000",
        "records/s, all": records / sum(seconds.values()), "records/CPU s": records / cpu,
        "peak MiB": _peak_mib(), "of these before": before, "bar MiB": "<= 500",
    }  # fmt: skip


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
