"""The tables of a report: variants by group of tasks, variants by task, paired differences, errors."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.report.coverage import whole_cells
from bench.report.measures import (
    EVERY_SUITE,
    Measures,
    best,
    group_latency,
    groups,
    interquartile_success,
    seed_spread,
    split,
    success,
    success_gap,
    suite_title,
    with_success,
)
from bench.report.table import Column, Table, Value, count, factor, milliseconds, probability, share, signed_points
from bench.stats import Estimate, mcnemar
from bench.store import Run

NOT_RUN = "not run"

_LATENCY = [
    Column("e2e_ms", "e2e ms", milliseconds),
    Column("policy_ms", "policy ms", milliseconds),
    Column("sample_ms", "sample ms", milliseconds),
]
_SPEEDUP = [
    Column("e2e_speedup", "e2e speed-up", factor, interval=True),
    Column("policy_speedup", "policy speed-up", factor, interval=True),
    Column("sample_speedup", "sample speed-up", factor, interval=True),
]


def summary(measures: Measures) -> Table:
    """Each variant on each suite and difficulty group: success, latency, cost, speed-up."""
    columns = [
        Column("suite", "suite"), Column("group", "group"), Column("method", "method"), Column("tasks", "tasks", count),
        Column("success", "success %", share, interval=True), Column("best", "best"), Column("n", "n", count),
        Column("iqm", "IQM %", share, interval=True), Column("optimality_gap", "optimality gap, points", share),
        Column("seed_spread", "seed spread %"), *_LATENCY, Column("nfe", "NFE", count),
        Column("params_network", "head parameters", count), *_SPEEDUP,
        Column("reference", "speed-up over"), Column("notes", "notes"),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    for group in groups(measures):
        cells = measures.cells[measures.cells["task"].isin(group.tasks)]
        # Tasks of a suite share the shapes of a network, so one timing serves all groups of the suite.
        everywhere = group.suite == EVERY_SUITE
        marks = best(measures.episodes[measures.episodes["task"].isin(group.tasks)])
        timed = measures.latency[everywhere | (measures.latency["suite"] == group.suite)]
        by_variant, timed_by_variant = split(cells, "variant"), split(timed, "variant")
        for variant in measures.variants:
            own, clocked = by_variant[variant], timed_by_variant[variant]
            if own.empty and clocked.empty:
                continue
            covered = own["task"].nunique()
            notes = []
            if not own.empty and covered < len(group.tasks):
                notes.append(f"{covered} of {len(group.tasks)} tasks run")
            if whole := whole_cells(measures, group.tasks, variant):
                notes.append(whole)
            if errors := int(own["errors"].sum()):
                notes.append(f"{errors} failed with an error")
            row: dict[str, Value] = {
                "suite": suite_title(group.suite), "group": group.difficulty.replace("_", " "), "method": variant,
                "tasks": covered, "success": NOT_RUN if own.empty else success(own), "best": marks.get(variant),
                "n": int(own["n"].sum()), "iqm": interquartile_success(own), "optimality_gap": success_gap(own),
                "seed_spread": seed_spread(own),
            }  # fmt: skip
            rows.append(_with_latency(row, clocked, notes))
    return Table("Success and speed by suite and difficulty", columns, rows)


def tasks(measures: Measures) -> Table:
    """Each variant on each task, one row each (tidy)."""
    columns = [
        Column("task", "task"), Column("difficulty", "difficulty"), Column("method", "method"),
        Column("success", "success %", share, interval=True), Column("successes", "successes", count),
        Column("n", "n", count), Column("seed_spread", "seed spread %"), *_LATENCY, *_SPEEDUP, Column("notes", "notes"),
    ]  # fmt: skip
    rows = []
    cells, latency = (split(frame, ["task", "variant"]) for frame in (measures.cells, measures.latency))
    for task in _task_ids(measures):
        for variant in measures.variants:
            own, clocked = cells[task, variant], latency[task, variant]
            notes = [f"{errors} failed with an error"] if (errors := int(own["errors"].sum())) else []
            notes += [
                f"seed {seed}: {what}" for t, v, seed, what in measures.missing if (t, v) == (task, variant)
            ]  # fmt: skip
            if own.empty and clocked.empty and not notes:
                continue
            row: dict[str, Value] = {
                "task": task, "difficulty": None if own.empty else own["difficulty"].iloc[0], "method": variant,
                "success": NOT_RUN if own.empty else success(own), "successes": int(own["k"].sum()),
                "n": int(own["n"].sum()), "seed_spread": seed_spread(own),
            }  # fmt: skip
            rows.append(_with_latency(row, clocked, notes))
    return Table("Success and speed by task", columns, rows)


def matrix(measures: Measures) -> Table:
    """Tasks down, variants across, successes of episodes: the page's overview of all tasks."""
    shown, cells = measures.ran, split(measures.cells, ["task", "variant"])
    columns = [Column("task", "task"), *(Column(f"v{i}", variant, share) for i, variant in enumerate(shown))]
    rows: list[Mapping[str, Value]] = []
    for task in _task_ids(measures):
        found = [(f"v{i}", cells[task, variant]) for i, variant in enumerate(shown)]
        rows.append({"task": task} | {key: f"{own['k'].sum()}/{own['n'].sum()}" for key, own in found if len(own)})
    return Table("Successes per task", columns, rows)


def paired(run: Run, measures: Measures) -> Table:
    """Each variant against the first on the same episodes, by suite: exact McNemar on matched initial states."""
    columns = [
        Column("suite", "suite"), Column("method", "method"), Column("against", "against"),
        Column("pairs", "pairs", count), Column("difference", "difference, points", signed_points),
        Column("only_method", "only method solved", count), Column("only_against", "only the other solved", count),
        Column("p", "p (McNemar)", probability), Column("notes", "notes"),
    ]  # fmt: skip
    ran = measures.ran
    rows: list[Mapping[str, Value]] = []
    episodes = with_success(run.episodes)
    for suite, own in episodes.groupby("suite", sort=True):
        for variant in ran[1:]:
            matched, refused = matches(own, variant, ran[0])
            if not len(matched) + refused:
                continue
            row: dict[str, Value] = {
                "suite": suite_title(str(suite)),
                "method": variant,
                "against": ran[0],
                "pairs": len(matched),
            }
            notes = []
            if refused:
                notes.append(f"{refused} refused: other initial state")
            if len(matched):
                test = mcnemar(matched["success_x"], matched["success_y"])
                row |= {"difference": test.difference, "only_method": test.only_first, "only_against": test.only_second}
                row["p"] = test.p
                if test.p is None:
                    notes.append("identical outcomes")
            rows.append(row | {"notes": "; ".join(notes)})
    return Table("Paired differences", columns, rows)


def matches(episodes: pd.DataFrame, first: str, second: str) -> tuple[pd.DataFrame, int]:
    """Episodes of two variants side by side, and how many were refused because their initial states differ.

    Args:
        episodes: See `bench.report.measures.with_success`.

    Returns:
        A row per pair: ``task``, ``training_seed``, ``episode``, the other columns with ``_x`` and ``_y`` behind them.
    """
    pairs = pd.merge(
        episodes[episodes["variant"] == first],
        episodes[episodes["variant"] == second],
        on=["task", "training_seed", "episode"],
    )
    # An episode that broke before its reset has no hash; its seed says which initial state was meant.
    never_reset = (pairs["state_hash_x"] == "") | (pairs["state_hash_y"] == "")
    same_state = never_reset | (pairs["state_hash_x"] == pairs["state_hash_y"])
    matched = pairs[same_state & (pairs["seed_x"] == pairs["seed_y"])]
    return matched, len(pairs) - len(matched)


def errors(run: Run) -> Table:
    """Episodes that count as failures because of an error, by cell and message; then timings that failed."""
    columns = [
        Column("task", "task"), Column("method", "method"), Column("training_seed", "training seed", count),
        Column("episodes", "episodes", count), Column("error", "error"),
    ]  # fmt: skip
    cell = ["task", "variant", "training_seed", "error"]
    paused, late = run.episodes[cell].dropna(), run.realtime[cell].dropna()
    counts = pd.concat([paused, late.assign(error="in real time: " + late["error"])]).groupby(cell, sort=True).size()
    rows = [dict(zip(("task", "method", "training_seed", "error"), key, strict=True)) for key in counts.index]
    rows = [row | {"episodes": int(n)} for row, n in zip(rows, counts, strict=True)]
    failed = run.errors[(run.errors["unit"] == "latency") & ~run.errors["key"].isin(run.latency["key"])]
    last = failed.drop_duplicates("key", keep="last").sort_values("task", kind="stable")
    rows += [{"task": task, "error": f"not timed: {error}"} for task, error in zip(last.task, last.error, strict=True)]
    return Table("Errors", columns, rows)


def _with_latency(row: dict[str, Value], latency: pd.DataFrame, notes: list[str]) -> Mapping[str, Value]:
    if (timed := group_latency(latency)) is not None:
        for name in ("e2e", "policy", "sample"):
            row[f"{name}_ms"] = timed.p50[f"t_{name}"]
            speedup: Estimate | None = timed.speedup.get(f"t_{name}")
            row[f"{name}_speedup"] = speedup
        row |= {name: None if (n := timed.common[name]) is None else int(n) for name in ("nfe", "params_network")}
        row["reference"] = timed.common["reference"] if timed.speedup else None
        notes = [*notes, *timed.notes]
    return row | {"notes": "; ".join(notes)}


def _task_ids(measures: Measures) -> list[str]:
    missing = [task for task, *_ in measures.missing]
    return sorted({*measures.cells["task"], *measures.latency["task"], *missing})
