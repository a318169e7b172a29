"""How much of a run is there, of what was asked for: an unfinished run says so before any number."""

from __future__ import annotations

from collections.abc import Collection

from bench.report.measures import Measures
from bench.store import Run


def unfinished(run: Run, measures: Measures) -> str | None:
    """A sentence that counts the tasks without a missing cell, or None where nothing is missing."""
    if not measures.missing:
        return None
    asked, lacking = set(run.manifest["spec"]["tasks"]), {task for task, *_ in measures.missing}
    begun = len(lacking & set(measures.cells["task"]))
    part = f", {begun} in part" if begun else ""
    return f"The run is unfinished: {len(asked - lacking)} of {len(asked)} tasks are whole{part}."


def whole_cells(measures: Measures, tasks: Collection[str], variant: str) -> str | None:
    """``4 of 6 cells whole`` of a variant on ``tasks``, or None where none of the tasks that it has run lacks episodes.

    A cell is a task with one training seed. Cells that lack nothing but their episodes in real time are whole.
    """
    own = measures.cells[(measures.cells["variant"] == variant) & measures.cells["task"].isin(tasks)]
    ran = set(zip(own["task"], own["training_seed"], strict=True))
    lacking = {
        (task, seed)
        for task, missed, seed, what in measures.missing
        if missed == variant and task in tasks and "real time" not in what
    }
    if {task for task, _ in lacking}.isdisjoint(own["task"]):
        return None
    return f"{len(ran - lacking)} of {len(ran | lacking)} cells whole"
