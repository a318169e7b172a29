"""What all tasks would cost: projected from the tasks that a run has whole, suite by suite.

    python -m benchmarks.projection results/reference results/dexart --methods dp3,manicm,sdm

Seconds of demonstrations, trainings (with their learning curves) and evaluations as the records have them; the interval
is of the mean over tasks, by Student's t. Not in it: the latency stage, a few minutes a suite, and the report. Tasks of
one suite are alike in cost, tasks of different suites are not: a suite of which no task is whole is left out and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import envs
from bench.spec import Variant
from bench.store import load_run
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Project and print; returns the rows."""
    parser = argument_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, of one profile and one training seed")
    parser.add_argument(
        "--methods", type=names, default=["dp3", "manicm", "sdm"], help="methods and variants, teachers too"
    )
    parser.add_argument("--workers", type=at_least(1), default=2, help="workers that are always busy")
    args = begin(parser, argv)
    costs = pd.concat([whole_tasks(load_run(run).timings, args.methods) for run in args.runs])
    rows: list[Row] = []
    for suite in dict.fromkeys(spec.suite for spec in envs.specs().values()):
        count = sum(spec.suite == suite for spec in envs.specs().values())
        rows.append(_row(suite, count, costs[[name.split("/")[0] == suite for name in costs.index]], args.workers))
    measured = [row for row in rows if row["sample"]]
    rows.append({
        "suite": "all with a sample", "tasks": sum(row["tasks"] for row in measured),
        "sample": sum(row["sample"] for row in measured), "hours": float(sum(row["hours"] for row in measured)),
    })  # fmt: skip
    return publish("projection", rows, args)


def whole_tasks(timings: pd.DataFrame, methods: Sequence[str]) -> pd.Series:
    """Seconds of all units of the methods, by task.

    Tasks of which a training or an evaluation was not done are left out, also where it came from the cache of another
    run. Demonstrations, a fiftieth of the cost, may have.
    """
    trained = {Variant.parse(method).method for method in methods}
    wanted = timings[
        (timings["unit"] == "demos")
        | (timings["unit"] == "train") & timings["method"].isin(trained)
        | (timings["unit"] == "evaluate") & timings["method"].isin(methods)
    ]
    units = wanted[wanted["unit"] != "demos"].drop_duplicates(["task", "unit", "method"]).groupby("task").size()
    seconds: pd.Series = wanted.groupby("task")["seconds"].sum()
    return seconds[[units.get(task, 0) == len(trained) + len(methods) for task in seconds.index]]


def _row(suite: str, count: int, seconds: pd.Series, workers: int) -> Row:
    if seconds.empty:
        return {"suite": suite, "tasks": count, "sample": 0}
    mean, n = float(seconds.mean()), len(seconds)
    half = float(stats.t.ppf(0.975, n - 1) * seconds.std() / np.sqrt(n)) if n > 1 else np.nan
    hours = count / workers / 3600
    return {
        "suite": suite, "tasks": count, "sample": n, "core s a task": mean,
        "hours": hours * mean, "low": hours * (mean - half), "high": hours * (mean + half),
    }  # fmt: skip


if __name__ == "__main__":
    main()
