"""Whether a run orders groups of tasks, and methods, as published figures do.

Their protocol differs in all that matters (simulator, sizes of networks, which checkpoint), so that no figure is
comparable with a run of `lite`; orders may still be alike. The rule of success is the published one: on Adroit an
episode succeeds by its last step. Nothing of DexArt is looked at: the suite here is a port.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pandas as pd
from findings_tables import COMPARISONS, complete, difference, differences
from scipy import stats

from bench.published import Figure, Published
from bench.report.measures import measure, success
from bench.report.table import Column, Table, Value, count, signed_points
from bench.store import Run

_SUITES = {"adroit", "metaworld"}
_DIFFICULTY = re.compile(r"\b(Very Hard|Easy|Medium|Hard)\(")
_FEWEST = 3
"""Groups that a rank correlation needs."""


def place(figure: Figure) -> tuple[tuple[str, ...], str | None] | None:
    """Suites and difficulty of the tasks that a success rate is a mean of; None where it is of no such group."""
    suites = tuple(figure.suite.split("+"))
    if figure.metric != "success_rate" or figure.n_tasks is None or not set(suites) <= _SUITES:
        return None
    found = _DIFFICULTY.search(figure.group)
    return suites, found[1].lower().replace(" ", "_") if found else None


def inside(rows: pd.DataFrame, suites: tuple[str, ...], difficulty: str | None) -> pd.DataFrame:
    """The rows of a group's tasks; with columns ``suite`` and ``difficulty``."""
    own = rows[rows["suite"].isin(suites)]
    return own if difficulty is None else own[own["difficulty"] == difficulty]


def judged_as_published(run: Run) -> Run:
    """The run in which success is as published: that of the last step on Adroit, elsewhere of any step."""
    episodes = run.episodes
    end = episodes["success_end"].where(episodes["suite"] == "adroit", episodes["success_ever"])
    return replace(run, episodes=episodes.assign(success_ever=end))


def group_orders(run: Run, published: Published) -> Table:
    """For every method of a source with three or more groups of tasks: are the same groups hard here?"""
    columns = [
        Column("method", "published method"), Column("variant", "method here"), Column("groups", "groups", count),
        Column("rho", "rank correlation", lambda v: f"{v:+.2f}"), Column("published", "published, %"),
        Column("here", "here, % (tasks)"), Column("source", "source"),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    run = judged_as_published(run)
    for source in published.sources:
        for method, nfe in dict.fromkeys((figure.method, figure.nfe) for figure in source.figures):
            mine = [f for f in source.figures if (f.method, f.nfe) == (method, nfe)]
            named = {where: f for f in mine if (where := place(f)) and len(where[0]) == 1}
            variant = _variant(run, mine[0])
            if variant is None:
                continue
            cells = measure(complete(run, [variant])).cells
            cells = cells[cells["variant"] == variant]
            both = [(f, own) for where, f in named.items() if len(own := inside(cells, *where))]
            if len(both) < _FEWEST:
                continue
            theirs = [f.value for f, _ in both]
            ours = [round(100 * success(own).value, 6) for _, own in both]
            here = [f"{value:.1f} ({own['task'].nunique()})" for (_, own), value in zip(both, ours, strict=True)]
            rows.append({
                "source": source.name, "method": method, "variant": variant, "groups": len(both),
                "rho": float(stats.spearmanr(theirs, ours).statistic) if len(set(ours)) > 1 else None,
                "published": ", ".join(f"{f.group} {f.value:g}" for f, _ in both),
                "here": ", ".join(here),
            })  # fmt: skip
    return Table("Order of groups", columns, rows)


def method_orders(run: Run, published: Published) -> Table:
    """For every comparison, and every group that figures of both methods name alike: is the better one better here?

    Figures of one source where a source has both, else of two.
    """
    columns = [
        Column("method", "method"), Column("against", "against"), Column("group", "published group"),
        Column("published", "published, points", signed_points),
        Column("here", "here, points", signed_points, interval=True),
        Column("tasks", "tasks here", count), Column("agreement", "direction"), Column("sources", "sources"),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    run = judged_as_published(run)
    figures = [(s.name, f) for s in published.sources for f in s.figures if place(f)]
    for first, second in COMPARISONS:
        pairs = [
            (a, b, {s, t}) for (s, a), (t, b) in product(figures, figures)
            if a.group == b.group and _variant(run, a) == first and _variant(run, b) == second
        ]  # fmt: skip
        alone = [pair for pair in pairs if len(pair[2]) == 1]
        if not pairs:
            continue
        episodes = complete(run, [first, second]).episodes
        where = episodes.drop_duplicates("task")[["task", "suite", "difficulty"]]
        cells = differences(run, first, second).merge(where, on="task")
        for a, b, sources in alone or pairs:
            suites, difficulty = place(a)
            own = inside(cells, suites, difficulty)
            if own.empty:
                continue
            gain, (here, _) = a.value - b.value, difference(own)
            rows.append({
                "method": first, "against": f"{second} ({b.method})", "group": a.group, "published": gain / 100,
                "here": here, "tasks": own["task"].nunique(), "agreement": _direction(gain, here.low, here.high),
                "sources": "; ".join(sorted(sources)),
            })  # fmt: skip
    return Table("Order of methods", columns, rows)


def _direction(published: float, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "open"
    return "the same" if published * low > 0 else "the opposite"


def _variant(run: Run, figure: Figure) -> str | None:
    """The entry of the run that is closest to the publication."""
    return next((name for name in figure.variants if name in run.manifest["spec"]["methods"]), None)
