"""What trainings with other seeds change, from a run of several training seeds, as tables.

Tasks count that are complete for all variants, as in `findings_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from findings_tables import TEACHER, complete, convergence, paired

from bench.report.measures import measure, success
from bench.report.table import Column, Table, Value, count, share
from bench.store import Run


def by_seed(run: Run) -> Table:
    """Successes of every training on every task, seeds in order: what is left to chance when one trains again."""
    variants = run.manifest["spec"]["methods"]
    cells = measure(complete(run, variants)).cells.sort_values("training_seed")
    columns = [Column("task", "task"), Column("n", "n", count), *(Column(variant, variant) for variant in variants)]
    rows: list[Mapping[str, Value]] = []
    for task, own in cells.groupby("task", sort=False):
        found = own.groupby("variant")["k"].agg(lambda k: ", ".join(map(str, k)))
        rows.append({"task": str(task), "n": int(own["n"].max()), **found})
    order = run.manifest["spec"]["tasks"]
    return Table("Successes by training seed", columns, sorted(rows, key=lambda row: order.index(row["task"])))


def luck(run: Run) -> Table:
    """Success of every variant over all trainings, by seed, and how far a task differs between trainings.

    That is the root of the mean over tasks of the variance (n - 1) over training seeds, of success and of the gap to
    the teacher of the same seed. All trainings are tested on the same episodes.
    """
    columns = [
        Column("method", "method"), Column("tasks", "tasks", count),
        Column("success", "success %", share, interval=True),
        Column("seeds", "by training seed, %"), Column("sd", "SD of a task over seeds, points", share),
        Column("gap_sd", f"SD of its gap to {TEACHER}, points", share),
    ]  # fmt: skip
    variants = run.manifest["spec"]["methods"]
    cells = measure(complete(run, variants)).cells
    teacher = _rates(cells[cells["variant"] == TEACHER])
    rows: list[Mapping[str, Value]] = []
    for variant in variants:
        own = cells[cells["variant"] == variant]
        if own.empty:
            continue
        rates = _rates(own)
        rows.append({
            "method": variant, "tasks": len(rates), "success": success(own),
            "seeds": ", ".join(f"{100 * rate:.1f}" for rate in rates.mean()), "sd": _deviation(rates),
            "gap_sd": _deviation(rates - teacher) if variant != TEACHER else None,
        })  # fmt: skip
    return Table("Success over training seeds", columns, rows)


def overall(table: Table) -> Table:
    """The rows over all tasks, which come first: the groups of a run of few tasks say nothing."""
    places = [(row["suite"], row["group"]) for row in table.rows]
    return replace(table, rows=[row for row, place in zip(table.rows, places, strict=True) if place == places[0]])


def tables(run: Run) -> dict[str, Table]:
    """The tables by the name of their place in a page."""
    return {
        "seeds": luck(run),
        "seeds-tasks": by_seed(run),
        "seeds-paired": overall(paired(run)),
        "seeds-convergence": overall(convergence(run)),
    }


def _rates(cells: pd.DataFrame) -> pd.DataFrame:
    """Success ``[task, training seed]`` of a variant."""
    return cells.assign(rate=cells["k"] / cells["n"]).pivot(index="task", columns="training_seed", values="rate")


def _deviation(rates: pd.DataFrame) -> float:
    return float(rates.var(axis=1).mean() ** 0.5)
