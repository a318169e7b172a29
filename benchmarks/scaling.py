"""Throughput of two workers against one: the same units of work on one and on several Ray workers, in turn.

Start and end of Ray are left out, and every worker does one unit before the clock starts, so that imports and compiled
code are in place. Caches are fresh in every call: nothing is found done.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.artifacts import Cache
from bench.costs import Costs
from bench.executor import RayExecutor
from bench.plan import Kind, make_plan
from bench.progress import display
from bench.run import Driver, find_missing
from bench.spec import RunSpec, make_spec
from bench.store import RunFolder, read_rows
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish, ratio_fields
from benchmarks.paired import interleave, speedup

WARM_UP_SEED = 1  # base seed of the units that warm the workers up: none of them is met again
BAR_PER_WORKER = 0.9
TASKS = [f"metaworld/{name}" for name in ("drawer-open", "button-press", "door-open", "window-close")]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=2, calls=1)
    parser.add_argument("--methods", type=names, default=["dp3", "sdm"], help="as of bench run")
    parser.add_argument("--tasks", type=names, default=TASKS, help="as of bench run")
    parser.add_argument("--profile", default="smoke", help="as of bench run")
    parser.add_argument("--episodes", type=at_least(1), default=4, help="as of bench run")
    parser.add_argument("--workers", type=at_least(2), default=2, help="compared with one worker")
    args = begin(parser, argv)
    spec = make_spec(args.methods, args.tasks, (0,), args.profile, args.episodes)
    busy: dict[int, float] = {}

    def side(workers: int) -> float:
        seconds, busy[workers] = _run(spec, workers)
        return seconds

    counts = (1, args.workers)
    times = interleave({str(n): lambda n=n: side(n) for n in counts}, args.blocks, args.calls, warmup=0)
    rows = [
        {"workers": n, "wall s": float(np.median(times[str(n)])), "busy share": busy[n]} for n in counts
    ]  # fmt: skip
    rows[1] |= ratio_fields(speedup(times["1"], times[str(args.workers)]), BAR_PER_WORKER * args.workers)
    return publish("scaling", rows, args)


def _run(spec: RunSpec, workers: int) -> tuple[float, float]:
    """Seconds for all units of a run, and the share of it that the workers were busy, the last call's."""
    executor = RayExecutor(workers)
    try:
        with tempfile.TemporaryDirectory() as folder:
            warm_up = make_spec(spec.methods, spec.tasks, (0,), spec.profile, spec.episodes, WARM_UP_SEED)
            _drive(warm_up, Path(folder, "warm-up"), executor, only_first=workers)
            seconds = _drive(spec, Path(folder, "run"), executor)
            work = sum(row["seconds"] for row in read_rows(Path(folder, "run", "timings.jsonl")))
    finally:
        executor.close()
    return seconds, work / (workers * seconds)


def _drive(spec: RunSpec, path: Path, executor: RayExecutor, only_first: int | None = None) -> float:
    """Seconds for the units of a run, or for the demonstrations of its first tasks."""
    cache = Cache(path.with_name(f"{path.name}-cache"))
    costs = Costs(cache.folder / "costs.json")
    with RunFolder(path, spec) as folder:
        state = find_missing(make_plan(spec), folder, cache)
        if only_first:
            state.todo = [unit for unit in state.todo if unit.kind is Kind.DEMOS][:only_first]
        driver = Driver(state, folder, cache, costs, executor, display(Console(quiet=True)))
        start = time.perf_counter()
        driver.run()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
