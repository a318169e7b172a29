"""What latency costs in success: the same episodes in a world that waits for the policy, and in one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pandas as pd

from bench.report.measures import CELL, Measures, count_successes, success, suite_title, with_success
from bench.report.table import Column, Table, Value, count, share
from bench.store import Run

WORDS = (
    "The same checkpoints from the same initial states, twice. *Paused*: the world stands still while the policy "
    "thinks, as in all other tables. *Real time*: it goes on. A call that takes L seconds costs ceil(L × rate) control "
    "steps, in which the robot executes its last action again (before the first chunk: the zero action); they count as "
    "steps of the episode. L is drawn from the end-to-end times that were measured. These episodes are in "
    "`realtime.jsonl`; they count in this table and in no other."
)


def table(run: Run, measures: Measures) -> Table:
    """Each variant on each suite: success paused and in real time, paused over the cells that were run in real time."""
    columns = [
        Column("suite", "suite"), Column("method", "method"), Column("tasks", "tasks", count),
        Column("paused", "success %, paused", share, interval=True), Column("n_paused", "n, paused", count),
        Column("realtime", "success %, real time", share, interval=True), Column("n", "n, real time", count),
        Column("waited_steps", "waited steps per call", _one_digit),
        Column("steps_paused", "steps to success, paused", _one_digit),
        Column("steps", "steps to success, real time", _one_digit), Column("notes", "notes"),
    ]  # fmt: skip
    late = with_success(run.realtime, "realtime")
    paused = with_success(run.episodes).merge(late[CELL].drop_duplicates(), on=CELL)
    rows: list[Mapping[str, Value]] = []
    for suite, variant in product(sorted(set(late["suite"])), measures.variants):
        own, before = _of(late, suite, variant), _of(paused, suite, variant)
        if own.empty:
            continue
        errors = int(own["error"].count())
        rows.append({
            "suite": suite_title(suite), "method": variant, "tasks": own["task"].nunique(),
            "paused": success(count_successes(before)), "n_paused": len(before),
            "realtime": success(count_successes(own)), "n": len(own),
            "waited_steps": _waited_steps(own), "steps_paused": _steps_to_success(before),
            "steps": _steps_to_success(own), "notes": f"{errors} failed with an error" if errors else None,
        })  # fmt: skip
    rates = sorted(set(late["control_hz"]))
    return Table(f"In real time at {', '.join(map(str, rates))} Hz", columns, rows)


def _of(frame: pd.DataFrame, suite: str, variant: str) -> pd.DataFrame:
    return frame[(frame["suite"] == suite) & (frame["variant"] == variant)]


def _waited_steps(episodes: pd.DataFrame) -> float | None:
    """Median over the episodes of the waited steps per policy call."""
    acted = episodes[episodes["calls"] > 0]
    return float((acted["held_steps"] / acted["calls"]).median()) if len(acted) else None


def _steps_to_success(episodes: pd.DataFrame) -> float | None:
    """Mean over the episodes that succeeded."""
    solved = episodes[episodes["success"]]
    return float(solved["steps_to_success"].mean()) if len(solved) else None


def _one_digit(value: float) -> str:
    return f"{value:.1f}"
