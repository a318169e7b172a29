"""Growth of the harness's own time with tasks and episodes: plan, check, drive and report, with units that do nothing.

Every unit returns at once with made-up outcomes, so that all time is the harness's.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.artifacts import Artifact, Cache
from bench.costs import Costs
from bench.driver import Driver, find_missing, put_in_order
from bench.executor import Done, Event
from bench.hardware import fingerprint
from bench.plan import Kind, Unit, make_plan, plan_key
from bench.progress import display
from bench.provenance import git_state
from bench.report import write_report
from bench.rollout import Episode
from bench.seeding import Purpose, episode_seed
from bench.spec import make_spec
from bench.store import RunFolder, load_run
from bench.worker import Result, episode_row, versions
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish
from envs import registry


class NullExecutor:
    """Ends every unit at once with outcomes of a coin."""

    slots = 1

    def __init__(self) -> None:
        self._pending: Unit | None = None
        self._coin = np.random.default_rng(0)

    def free(self) -> list[int]:
        """The one slot."""
        return [0]

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:  # noqa: ARG002
        """Remember the unit."""
        self._pending = unit

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Tell its end."""
        assert self._pending is not None
        unit, rows = self._pending, []
        if unit.kind is Kind.EVALUATE:
            rows = [episode_row(unit, self._episode(unit, i), "0" * 64) for i in range(unit.episodes)]
        artifact = None if rows else Artifact(unit.key.encode(), {"curve": []})
        on_event(Done(unit.key, Result(0.0, artifact, rows)))

    def close(self) -> None:
        """Nothing to stop."""

    def _episode(self, unit: Unit, index: int) -> Episode:
        seed, success = episode_seed(0, unit.task.id, Purpose.TEST, index), bool(self._coin.random() < 0.5)
        hashes = f"{seed:016x}", f"{index:016x}"
        return Episode(index, seed, *hashes, success, success, 200, 100 if success else None, 0.0)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tasks", type=at_least(1), nargs="+", default=[5, 50], help="numbers of tasks")
    parser.add_argument("--episodes", type=at_least(1), nargs="+", default=[20, 100], help="episodes per cell")
    parser.add_argument("--methods", type=names, default=["dp3", "manicm", "sdm"], help="as of bench run")
    args = begin(parser, argv)
    sizes = [(tasks, episodes) for tasks in args.tasks for episodes in args.episodes]
    return publish("growth", [_measure(args.methods, *size) for size in sizes], args)


def _measure(methods: Sequence[str], tasks: int, episodes: int) -> Row:
    seconds: dict[str, float] = {}

    def clock(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[f"{stage} s"] = time.perf_counter() - start
        return result

    spec = make_spec(methods, registry.select("all")[:tasks], (0,), "lite", episodes)
    units = clock("plan", lambda: make_plan(spec))
    with tempfile.TemporaryDirectory() as name:
        cache, costs = Cache(Path(name, "cache")), Costs(Path(name, "costs.json"))
        with RunFolder(Path(name, "run"), spec, plan_key(units)) as folder:
            state = find_missing(units, folder.rows, cache)
            driver = Driver(state, folder, cache, costs, NullExecutor(), display(Console(quiet=True)))
            clock("drive", driver.run)
            clock("order", lambda: put_in_order(units, folder))
            clock("check", lambda: find_missing(units, folder.rows, cache))
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            folder.write_manifest({
                "command": "benchmarks.growth", "created": now, "wall_seconds": 0.0, "device": "cpu",
                "versions": versions(), "git": git_state(), "hardware": fingerprint(),
            })  # fmt: skip
        clock("report", lambda: write_report(load_run(Path(name, "run")), Path(name, "report")))
    total = sum(seconds.values())
    counts = {"tasks": len(spec.tasks), "episodes": episodes, "units": len(units)}
    return {**counts, **seconds, "ms per unit": 1e3 * total / len(units)}


if __name__ == "__main__":
    main()
