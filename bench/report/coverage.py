"""How much of a run is there, of what was asked for: an unfinished run says so before any number."""

from __future__ import annotations

from bench.report.measures import Measures
from bench.store import Run


def unfinished(run: Run, measures: Measures) -> str | None:
    """A sentence that counts the tasks without a missing cell, or None where nothing is missing."""
    if not measures.missing:
        return None
    asked, lacking = set(run.manifest["spec"]["tasks"]), {task for task, *_ in measures.missing}
    begun = len(lacking & set(measures.cells["task"]))
    return f"The run is unfinished: {len(asked - lacking)} of {len(asked)} tasks are whole, {begun} in part."
