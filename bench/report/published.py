"""Against published figures: is a run of the same protocol, and if so, does it give the same number?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bench.published import Published
from bench.report.measures import Measures
from bench.report.protocol import OF_A_PORT, Case, Match, match
from bench.report.table import Column, Table, Value, count
from bench.store import Run

REPRODUCED, CLOSE, DIFFERS, NOT_COMPARABLE = "reproduced", "close", "differs", "not comparable"
CLOSE_POINTS, CLOSE_FACTOR = 5.0, 1.10
"""How far outside our interval a published success rate (in points), or a time, ratio or count, is still close."""
_OF_FIGURE = {"trust", "method", "nfe", "suite", "group", "n_tasks", "metric", "unit", "std"}
_OF_SOURCE = {"sizes", "training_seeds", "selection", "evaluations", "episodes", "hardware"}
PAGE = ("method", "group", "metric", "published", "unit", "variant", "here", "verdict", "reason", "source")
"""Columns for a page; the files hold all."""


def against_published(run: Run, measures: Measures, published: Published) -> Table:
    """A row for every published figure: a verdict with what limits it, or why it is not comparable."""
    columns = [
        Column("source", "source"), Column("trust", "trust"), Column("method", "method"),
        Column("nfe", "NFE", count, csv_only=True), Column("suite", "suite", csv_only=True), Column("group", "group"),
        Column("n_tasks", "tasks", count, csv_only=True), Column("metric", "metric"),
        Column("published", "published", _number), Column("std", "", _number, csv_only=True), Column("unit", "unit"),
        Column("variant", "method here"), Column("here", "measured here", _number, interval=True),
        Column("verdict", "verdict"), Column("reason", "reason"), Column("kind", "", csv_only=True),
        Column("sizes", "", csv_only=True), Column("engine", "", csv_only=True),
        Column("training_seeds", "", count, csv_only=True), Column("selection", "", csv_only=True),
        Column("evaluations", "", count, csv_only=True), Column("episodes", "", count, csv_only=True),
        Column("hardware", "", csv_only=True), Column("note", "", csv_only=True),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    for source in published.sources:
        for figure in source.figures:
            found = match(Case(source, figure, published, run, measures))
            word, reason = verdict(found, figure.metric)
            rows.append({
                "source": source.name, "published": figure.value, "variant": found.variant,
                "here": found.here.value if found.here and found.here.low == found.here.high else found.here,
                "verdict": word, "reason": reason, "kind": found.bars[0].kind if found.bars else None,
                **figure.model_dump(include=_OF_FIGURE), **source.model_dump(include=_OF_SOURCE),
                "engine": "; ".join(source.engines.values()),
                "note": "; ".join(filter(None, (source.remark, figure.note))),
            })  # fmt: skip
    return Table("Against published figures", columns, rows)


def verdict(found: Match, metric: str) -> tuple[str, str]:
    """Verdict and its reason in a line: all that stands against a comparison, or all that limits it."""
    if found.here is None:
        return NOT_COMPARABLE, "; ".join(bar.text for bar in found.bars)
    value, low, high = found.here
    if metric.startswith("success"):
        close = abs(found.published - value) <= CLOSE_POINTS
    else:
        close = value / CLOSE_FACTOR <= found.published <= value * CLOSE_FACTOR
    word = REPRODUCED if low <= found.published <= high else CLOSE if close else DIFFERS
    return word, f"directional: {'; '.join(found.limits)}" if found.limits else ""


def compared(table: Table) -> Table:
    """The rows with a verdict, and the columns for a page."""
    rows = [row for row in table.rows if row["verdict"] != NOT_COMPARABLE]
    return Table(table.title, table.columns, rows).select(*PAGE)


def summary(table: Table) -> str:
    """The counts in a sentence or two."""
    verdicts = Counter(str(row["verdict"]) for row in table.rows)
    judged = (
        ", ".join(f"{verdicts[v]} {v}" for v in (REPRODUCED, CLOSE, DIFFERS) if verdicts[v]) or "none is comparable"
    )
    words = f"Of {len(table.rows)} figures from papers, project pages and threads: {judged}."
    kinds = Counter(str(row["kind"]) for row in table.rows if row["verdict"] == NOT_COMPARABLE)
    if kinds:
        words += " What first stands against the others: "
        words += ", ".join(f"{kind} ({n})" for kind, n in kinds.most_common()) + "."
    return words


def refused(table: Table) -> list[str]:
    """A line for each published suite that is a port here: none of its figures is ever set beside a run."""
    rows = [(str(row["suite"]), str(row["reason"])) for row in table.rows if row["kind"] == OF_A_PORT]
    return [f"{count(n)} published figures of {suite} are {reason}." for (suite, reason), n in Counter(rows).items()]


def _number(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")
