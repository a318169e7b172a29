"""What a run says about a teacher and its students, as tables; every number is of tasks that are complete.

A task is complete for some variants if all episodes that were asked for are there. Success and intervals come from
`bench.stats`, as in a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.report import spread, tables
from bench.report.curves import curve
from bench.report.measures import ALL, EVERY_SUITE, Group, dense, groups, measure, suite_title
from bench.report.table import Column, Table, Value, count, factor, probability, share, signed_points
from bench.stats import Estimate, benjamini_hochberg, holm, loss_by_task, mean_difference, sign_flip, time_to_success
from bench.store import Run

TEACHER, STUDENTS = "dp3", ("sdm", "manicm")
BY_GROUP = [("sdm", "manicm"), *((student, f"{TEACHER}@nfe=1") for student in STUDENTS)]
"""Comparisons of equal cost: these are looked at by group, too."""
COMPARISONS = [*BY_GROUP, *((student, TEACHER) for student in STUDENTS), (f"{TEACHER}@nfe=1", TEACHER)]
FINE_CONTACT = {
    f"metaworld/{name}"
    for name in (
        "assembly", "box-close", "disassemble", "hand-insert", "peg-insert-side", "peg-unplug-side", "pick-out-of-hole",
        "stick-pull",
    )
}  # fmt: skip
"""Tasks in which something is put into, onto or off something else with little room; of one suite, so that its hand and
its cameras are alike."""
LEVEL = 0.05
WEAK, FALL = 0.2, 0.2
"""Success of the teacher below which a task is a weak spot, and how much less a student has where it is one."""
SETTLED = 0.9
"""Share of the final success at which a training has converged."""

_WHERE = [Column("suite", "suite"), Column("group", "group")]
_PAIR = [Column("method", "method"), Column("against", "against"), Column("tasks", "tasks", count)]
_TEST = [Column("p", "p", probability), Column("p_holm", "p (Holm)", probability), Column("shown", "shown")]


def lacking(run: Run) -> dict[str, list[str]]:
    """The variants that lack an episode, by task; tasks that lack none are not there."""
    found: dict[str, list[str]] = {}
    for task, variant, _, what in measure(run).missing:
        if not what.startswith("in real time"):
            found.setdefault(task, []).append(variant)
    return found


def complete(run: Run, variants: list[str]) -> Run:
    """The run without the tasks that lack an episode of any of these variants."""
    gone = lacking(run)
    tasks = [task for task in run.manifest["spec"]["tasks"] if not set(variants) & set(gone.get(task, ()))]
    names = ("episodes", "curves", "latency")
    frames = {name: (rows := getattr(run, name))[rows["task"].isin(tasks)] for name in names}
    return replace(run, manifest={**run.manifest, "spec": {**run.manifest["spec"], "tasks": tasks}}, **frames)


def places(run: Run) -> list[Group]:
    """The groups of a run's tasks, all suites first."""
    return sorted(groups(measure(run)), key=lambda group: group.suite != EVERY_SUITE)


def kinds(run: Run) -> list[Group]:
    """Groups across difficulties: how far the teacher's actions spread, compared with its suite; and fine contact."""
    found = []
    spreads = spread.task_spreads(complete(run, [TEACHER]).episodes).get(TEACHER)
    if spreads is not None:
        wide = spreads > spreads.groupby(spreads.index.str.split("/").str[0]).transform("median")
        for words, chosen in (("spreads widely", wide), ("spreads little", ~wide)):
            found.append(Group(EVERY_SUITE, f"{TEACHER} {words}", list(spreads.index[chosen])))
    same_suite = [task for task in run.manifest["spec"]["tasks"] if task.startswith("metaworld/")]
    for words, fine in (("fine contact", True), ("no fine contact", False)):
        found.append(Group("metaworld", words, [task for task in same_suite if (task in FINE_CONTACT) == fine]))
    return found


def success(run: Run) -> Table:
    """Success of every variant by group, over the tasks that are complete for all of them."""
    whole = complete(run, run.manifest["spec"]["methods"])
    found = tables.summary(measure(whole)).select("suite", "group", "method", "tasks", "success", "best", "n", "notes")
    return replace(found, rows=[row for row in found.rows if row["tasks"]])


def differences(run: Run, first: str, second: str) -> pd.DataFrame:
    """A row per task, complete for both, and training seed: what was solved by one alone.

    Columns ``n`` (matched episodes), ``only_first`` and ``only_second``.
    """
    pairs, _ = tables.matches(measure(complete(run, [first, second])).episodes, first, second)
    one, two = pairs["success_x"].astype(bool), pairs["success_y"].astype(bool)
    counted = pairs.assign(only_first=one & ~two, only_second=two & ~one, n=1)
    by = ["task", "training_seed"]
    return counted.groupby(by)[["only_first", "only_second", "n"]].sum().astype(int).reset_index()


def difference(cells: pd.DataFrame) -> tuple[Estimate, float]:
    """Mean over tasks of `differences` with its interval, and the p-value of flipped signs."""
    _, (first, second, n) = dense(cells, ["task", "training_seed"], "only_first", "only_second", "n")
    rates = np.where(n > 0, (first - second) / np.maximum(n, 1), np.nan)
    return mean_difference(first, second, n), sign_flip(rates)


def paired(run: Run) -> Table:
    """Success of one variant less that of another on the same episodes, overall and by group."""
    columns = [
        *_WHERE, *_PAIR, Column("difference", "difference, points", signed_points, interval=True),
        Column("only_first", "only method solved", count), Column("only_second", "only the other solved", count),
        *_TEST,
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for first, second, group, row in _compared(run):
        cells = differences(run, first, second)
        own = cells[cells["task"].isin(group.tasks)]
        if len(own):
            value, p = difference(own)
            sums = own[["only_first", "only_second"]].sum().astype(int).to_dict()
            rows.append({**row, "tasks": own["task"].nunique(), "difference": value, "p": p, **sums})
    return Table("Success, paired", columns, _judged(rows, "difference", 0.0))


def spreads(run: Run) -> Table:
    """How much of another variant's action spread one has, overall and by group; no rows where none was recorded."""
    columns = [*_WHERE, *_PAIR, Column("ratio", "spread, ratio", factor, interval=True), *_TEST]
    rows: list[dict[str, Any]] = []
    for first, second, group, row in _compared(run):
        episodes = complete(run, [first, second]).episodes
        found = spread.task_spreads(episodes[episodes["task"].isin(group.tasks)])
        own, other = (found.get(variant, pd.Series(dtype=float)) for variant in (first, second))
        if (value := spread.ratio(own, other)) is not None:
            logs = np.log(own / other).dropna()  # of the tasks that both have
            rows.append({**row, "tasks": len(logs), "ratio": value, "p": sign_flip(logs.to_numpy()[:, None])})
    return Table("Action spread, paired", columns, _judged(rows, "ratio", 1.0))


def speed(run: Run) -> Table:
    """Times and speed-ups by suite; no rows before they were measured."""
    found = tables.summary(measure(run)).select(
        "suite", "method", "e2e_ms", "policy_ms", "sample_ms", "e2e_speedup", "policy_speedup", "sample_speedup", "nfe"
    )
    timed = [r for r in found.rows if r["group"] == ALL and r["suite"] != EVERY_SUITE and r.get("e2e_ms") is not None]
    return replace(found, title="Speed", rows=timed)


def weak_tasks(run: Run) -> Table:
    """Tasks in which the teacher seldom succeeds: successes of episodes of every variant."""
    measures = measure(complete(run, [TEACHER]))
    rates = _rates(measures.cells[measures.cells["variant"] == TEACHER])
    found = tables.matrix(measures)
    title = f"Tasks in which {TEACHER} succeeds in less than {WEAK:.0%}"
    return replace(found, title=title, rows=[row for row in found.rows if row["task"] in rates.index[rates < WEAK]])


def falls(run: Run) -> Table:
    """Tasks in which a student is far below its teacher; p-values are adjusted over all tasks of both students."""
    columns = [
        Column("task", "task"), Column("method", "student"),
        Column("teacher", f"{TEACHER} %", share), Column("student", "student %", share),
        Column("only_second", "only the teacher solved", count), Column("only_first", "only the student solved", count),
        Column("p", "p of a loss", probability), Column("p_adjusted", "p (Benjamini-Hochberg)", probability),
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for student in (s for s in STUDENTS if {s, TEACHER} <= set(run.manifest["spec"]["methods"])):
        pairs = differences(run, student, TEACHER)
        if pairs.empty:
            continue
        (tasks, _), (first, second, n) = dense(pairs, ["task", "training_seed"], "only_first", "only_second", "n")
        cells = measure(complete(run, [student, TEACHER])).cells
        own, teacher = (_rates(cells[cells["variant"] == variant]) for variant in (student, TEACHER))
        for i, (task, p) in enumerate(zip(tasks, loss_by_task(second, first, n), strict=True)):
            rows.append({
                "task": task, "method": student, "teacher": float(teacher[task]), "student": float(own[task]),
                "only_first": int(first[i].sum()), "only_second": int(second[i].sum()), "p": float(p),
            })  # fmt: skip
    for row, p in zip(rows, benjamini_hochberg([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = float(p)
    fallen = [row for row in rows if row["teacher"] - row["student"] > FALL + 1e-9]
    return Table(f"Tasks in which a student is more than {FALL:.0%} below {TEACHER}", columns, fallen)


def convergence(run: Run) -> Table:
    """After which share of their gradient steps trainings reach most of their final success on selection episodes.

    A share, because suites train for different numbers of steps.
    """
    columns = [
        *_WHERE, Column("method", "method"), Column("tasks", "tasks", count), Column("steps", "steps trained"),
        Column("final", "final %", share, interval=True),
        Column("mean_at", f"mean at {SETTLED:.0%} of it, % of steps", count),
        Column("task_at", "median task, % of steps", count, interval=True),
        Column("zero", "tasks that end at 0", count),
    ]  # fmt: skip
    whole = _in_shares(complete(run, run.manifest["spec"]["methods"]))
    rows: list[Mapping[str, Value]] = []
    for group in places(whole):
        for method, points in whole.curves[whole.curves["task"].isin(group.tasks)].groupby("method", sort=True):
            found, lengths = curve(points).points, sorted(set(points["trained"]))
            sums = points.groupby(["task", "step"])[["successes", "episodes"]].sum()
            rates = (sums["successes"] / sums["episodes"]).unstack()  # a row per task, a column per step
            ends = rates.iloc[:, -1]
            lasting = rates[ends > 0]
            reached = lasting.ge(SETTLED * lasting.iloc[:, -1] - 1e-9, axis=0).idxmax(axis=1)
            final = found[-1].success
            near = [point.step for point in found if point.success.value >= SETTLED * final.value - 1e-9]
            rows.append({
                **_where(group), "method": str(method), "tasks": len(rates), "steps": ", ".join(map(str, lengths)),
                "final": final, "zero": int((ends == 0).sum()),
                "mean_at": (f"≤ {count(near[0])}" if near[0] == found[0].step else near[0]) if final.value else None,
                "task_at": time_to_success(reached).median if len(reached) else None,
            })  # fmt: skip
    return Table("Convergence", columns, rows)


def _in_shares(run: Run) -> Run:
    """The run with curves by percent of the steps trained, ``trained``; without those of trainings that broke."""
    curves, suite = run.curves, run.curves["task"].str.split("/").str[0]
    length = curves.groupby(["method", "task", "training_seed"])["step"].transform("max")
    trained = length.groupby([curves["method"], suite]).transform("max")
    percent = (100 * curves["step"] / trained).round().astype(int)
    return replace(run, curves=curves.assign(step=percent, trained=trained)[length == trained])


def _compared(run: Run) -> Iterator[tuple[str, str, Group, dict[str, Any]]]:
    """Both variants of every comparison with the group of tasks, and what a row says of them."""
    special = kinds(run)
    for first, second in (pair for pair in COMPARISONS if set(pair) <= set(run.manifest["spec"]["methods"])):
        general, *parts = places(complete(run, [first, second])) or [Group(EVERY_SUITE, ALL, [])]
        for group in (general, *([*parts, *special] if (first, second) in BY_GROUP else [])):
            row = {**_where(group), "method": first, "against": second, "overall": group is general}
            yield first, second, group, row


def _where(group: Group) -> dict[str, Any]:
    return {"suite": suite_title(group.suite), "group": group.difficulty.replace("_", " ")}


def _judged(rows: list[dict[str, Any]], key: str, alike: float) -> list[Mapping[str, Value]]:
    """The rows, overall ones first, with Holm's p-values (overall and by group are a family each) and what is shown."""
    families = [[row for row in rows if row["overall"] == overall] for overall in (True, False)]
    for family in families:
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            value = row[key].value if isinstance(row[key], Estimate) else row[key]
            word = f"{row['method']} {'more' if value > alike else 'less'}"
            few = 2.0 / 2 ** row["tasks"] > LEVEL  # no p-value of flipped signs can be lower
            row |= {"p_holm": float(p), "shown": "too few tasks" if few else word if p < LEVEL else "no"}
    return [row for family in families for row in family]


def _rates(cells: pd.DataFrame) -> pd.Series:
    """Success by task, mean over training seeds."""
    return (cells["k"] / cells["n"]).groupby(cells["task"]).mean()
