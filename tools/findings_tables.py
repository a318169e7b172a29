"""What a run says about a teacher and its students, as tables; every number is of tasks that are complete.

A task is complete for some variants if all episodes that were asked for are there. Success and intervals come from
`bench.stats`, as in a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.report import spread, tables
from bench.report.curves import curve
from bench.report.measures import ALL, EVERY_SUITE, Group, dense, groups, measure, suite_title
from bench.report.table import Column, Table, Value, count, factor, probability, share
from bench.stats import Estimate, benjamini_hochberg, holm, loss_by_task, mean_difference, sign_flip, time_to_success
from bench.store import Run

TEACHER, STUDENTS = "dp3", ("sdm", "manicm")
COMPARISONS = [("sdm", "manicm"), *((s, f"{TEACHER}@nfe=1") for s in STUDENTS), *((s, TEACHER) for s in STUDENTS),
               (f"{TEACHER}@nfe=1", TEACHER)]  # fmt: skip
LEVEL = 0.05
WEAK, FALL = 0.2, 0.2
"""Success of the teacher below which a task is a weak spot, and how much less a student has where it is one."""
SETTLED = 0.9
"""Share of the final success at which a training has converged."""

_WHERE = [Column("suite", "suite"), Column("group", "group")]
_PAIR = [Column("method", "method"), Column("against", "against"), Column("tasks", "tasks", count)]
_TEST = [Column("p", "p", probability), Column("p_holm", "p (Holm)", probability), Column("shown", "shown")]


def complete(run: Run, variants: list[str]) -> Run:
    """The run without the tasks that lack an episode of any of these variants."""
    lacking = {t for t, v, _, what in measure(run).missing if v in variants and not what.startswith("in real time")}
    tasks = [task for task in run.manifest["spec"]["tasks"] if task not in lacking]
    names = ("episodes", "curves", "latency")
    frames = {name: (rows := getattr(run, name))[rows["task"].isin(tasks)] for name in names}
    return replace(run, manifest={**run.manifest, "spec": {**run.manifest["spec"], "tasks": tasks}}, **frames)


def places(run: Run) -> list[Group]:
    """The groups of a run's tasks, all suites first."""
    return sorted(groups(measure(run)), key=lambda group: group.suite != EVERY_SUITE)


def coverage(run: Run) -> Table:
    """How many of the tasks that were asked for are complete for all variants."""
    spec = run.manifest["spec"]
    whole = complete(run, spec["methods"]).manifest["spec"]["tasks"]
    suites = pd.Series(spec["tasks"]).str.partition("/")[0]
    rows = [
        {"suite": suite_title(suite), "asked": int(n), "tasks": sum(t.startswith(f"{suite}/") for t in whole)}
        for suite, n in suites.value_counts(sort=False).items()
    ]
    rows.append({"suite": EVERY_SUITE, "asked": len(spec["tasks"]), "tasks": len(whole)})
    columns = [Column("suite", "suite"), Column("asked", "tasks asked for", count), Column("tasks", "complete", count)]
    return Table("Complete tasks", columns, rows)


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
        *_WHERE, *_PAIR, Column("difference", "difference, points", _points, interval=True),
        Column("only_first", "only method solved", count), Column("only_second", "only the other solved", count),
        *_TEST,
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for first, second in _comparisons(run):
        cells = differences(run, first, second)
        for place, group in enumerate(places(complete(run, [first, second]))):
            own = cells[cells["task"].isin(group.tasks)]
            if len(own):
                value, p = difference(own)
                sums = own[["only_first", "only_second"]].sum().astype(int).to_dict()
                row = _row(group, first, second, own["task"].nunique(), overall=place == 0)
                rows.append({**row, "difference": value, "p": p, **sums})
    return Table("Success, paired", columns, _judged(rows, "difference", 0.0))


def spreads(run: Run) -> Table:
    """How much of another variant's action spread one has, overall and by group; no rows where none was recorded."""
    columns = [*_WHERE, *_PAIR, Column("ratio", "spread, ratio", factor, interval=True), *_TEST]
    rows: list[dict[str, Any]] = []
    for first, second in _comparisons(run):
        whole = complete(run, [first, second])
        found = spread.task_spreads(whole.episodes)
        if first not in found or second not in found:
            continue
        for place, group in enumerate(places(whole)):
            own, other = (found[v][found[v].index.isin(group.tasks)] for v in (first, second))
            both = own.index.intersection(other.index)
            if (value := spread.ratio(own, other)) is not None:
                p = sign_flip(np.log(own[both] / other[both]).to_numpy()[:, None])
                row = _row(group, first, second, len(both), overall=place == 0)
                rows.append({**row, "ratio": value, "p": p})
    return Table("Action spread, paired", columns, _judged(rows, "ratio", 1.0))


def speed(run: Run) -> Table:
    """Times and speed-ups by suite; no rows before they were measured."""
    found = tables.summary(measure(run)).select(
        "suite", "method", "e2e_ms", "policy_ms", "sample_ms", "e2e_speedup", "policy_speedup", "sample_speedup", "nfe"
    )
    timed = [r for r in found.rows if r["group"] == ALL and r["suite"] != EVERY_SUITE and r.get("e2e_ms") is not None]
    return replace(found, title="Speed", rows=timed)


def failures(run: Run) -> Table:
    """For every variant, in how many tasks it always, seldom or never succeeds."""
    columns = [
        Column("method", "method"), Column("tasks", "tasks", count), Column("always", "every episode solved", count),
        Column("weak", f"below {WEAK:.0%}", count), Column("never", "no episode solved", count),
        Column("errors", "episodes with an error", count), Column("steps", "steps to success, median", count),
    ]  # fmt: skip
    measures = measure(complete(run, run.manifest["spec"]["methods"]))
    rows: list[Mapping[str, Value]] = []
    for variant in measures.ran:
        cells = measures.cells[measures.cells["variant"] == variant]
        solved = measures.episodes[(measures.episodes["variant"] == variant) & measures.episodes["success"]]
        by_task = _rates(cells)
        rows.append({
            "method": variant, "tasks": len(by_task), "always": int((by_task == 1).sum()),
            "weak": int((by_task < WEAK).sum()), "never": int((by_task == 0).sum()),
            "errors": int(cells["errors"].sum()),
            "steps": float(solved["steps_to_success"].median()) if len(solved) else None,
        })  # fmt: skip
    return Table("Where each fails", columns, rows)


def weak_tasks(run: Run) -> Table:
    """Tasks in which the teacher seldom succeeds, with the success of every variant that is complete there."""
    cells = measure(complete(run, [TEACHER])).cells
    variants = [v for v in run.manifest["spec"]["methods"] if v in set(cells["variant"])]
    rates = {variant: _rates(cells[cells["variant"] == variant]) for variant in variants}
    whole = {variant: complete(run, [variant]).manifest["spec"]["tasks"] for variant in variants}
    hard = rates.get(TEACHER, pd.Series(dtype=float))
    difficulty = cells.set_index("task")["difficulty"].to_dict()
    columns = [
        Column("task", "task"), Column("difficulty", "difficulty"),
        *(Column(f"v{i}", f"{variant} %", share) for i, variant in enumerate(variants)),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    for task in hard.index[hard < WEAK]:
        own = {f"v{i}": float(rates[v][task]) for i, v in enumerate(variants) if task in whole[v]}
        rows.append({"task": task, "difficulty": difficulty[task], **own})
    return Table(f"Tasks in which {TEACHER} succeeds in less than {WEAK:.0%}", columns, rows)


def falls(run: Run) -> Table:
    """Tasks in which a student is far below its teacher; p-values are adjusted over all tasks of both students."""
    columns = [
        Column("task", "task"), Column("difficulty", "difficulty"), Column("method", "student"),
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
        difficulty = cells.set_index("task")["difficulty"].to_dict()
        for i, (task, p) in enumerate(zip(tasks, loss_by_task(second, first, n), strict=True)):
            rows.append({
                "task": task, "difficulty": difficulty[task], "method": student, "teacher": float(teacher[task]),
                "student": float(own[task]), "only_first": int(first[i].sum()), "only_second": int(second[i].sum()),
                "p": float(p),
            })  # fmt: skip
    for row, p in zip(rows, benjamini_hochberg([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = float(p)
    fallen = [row for row in rows if row["teacher"] - row["student"] > FALL + 1e-9]
    return Table(f"Tasks in which a student is more than {FALL:.0%} below {TEACHER}", columns, fallen)


def convergence(run: Run) -> Table:
    """After how many gradient steps trainings reach most of their final success on selection episodes."""
    columns = [
        *_WHERE, Column("method", "method"), Column("tasks", "tasks", count), Column("steps", "steps trained", count),
        Column("final", "final %", share, interval=True), Column("mean_at", f"mean at {SETTLED:.0%} of it", count),
        Column("task_at", "median task", count, interval=True), Column("zero", "tasks that end at 0", count),
    ]  # fmt: skip
    whole = complete(run, run.manifest["spec"]["methods"])
    rows: list[Mapping[str, Value]] = []
    for group in places(whole):
        for method, points in whole.curves[whole.curves["task"].isin(group.tasks)].groupby("method", sort=True):
            last = points.groupby(["task", "training_seed"])["step"].transform("max")
            points = points[last == last.max()]  # a training that broke has a shorter curve
            found = curve(points).points
            sums = points.groupby(["task", "step"])[["successes", "episodes"]].sum()
            rates = (sums["successes"] / sums["episodes"]).unstack()  # a row per task, a column per step
            ends = rates.iloc[:, -1]
            lasting = rates[ends > 0]
            reached = lasting.ge(SETTLED * lasting.iloc[:, -1] - 1e-9, axis=0).idxmax(axis=1)
            final = found[-1].success
            near = [point.step for point in found if point.success.value >= SETTLED * final.value - 1e-9]
            rows.append({
                "suite": suite_title(group.suite), "group": group.difficulty.replace("_", " "), "method": str(method),
                "tasks": len(rates), "steps": int(found[-1].step), "final": final, "zero": int((ends == 0).sum()),
                "mean_at": near[0] if final.value else None,
                "task_at": time_to_success(reached).median if len(reached) else None,
            })  # fmt: skip
    return Table("Convergence", columns, rows)


def _comparisons(run: Run) -> list[tuple[str, str]]:
    return [pair for pair in COMPARISONS if set(pair) <= set(run.manifest["spec"]["methods"])]


def _row(group: Group, first: str, second: str, tasks: int, *, overall: bool) -> dict[str, Any]:
    where = {"suite": suite_title(group.suite), "group": group.difficulty.replace("_", " "), "overall": overall}
    return {**where, "method": first, "against": second, "tasks": tasks}


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


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
