"""The leaderboard: sorted and filtered by ``leaderboard.js``, and complete without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from bench.report.latency import no_common_scale
from bench.report.measures import ALL, EVERY_SUITE
from bench.report.table import EMPTY, Value, count, factor, milliseconds
from bench.site.charts import interval, interval_bar
from bench.site.context import Context, method_anchor, scrolling
from bench.site.html import Html, el, join
from bench.stats import Estimate

_COLUMNS = (  # title, what it is, first direction of sorting
    ("method", "", "ascending"), ("success %", "mean over tasks, with its 95 % interval", "descending"),
    ("n", "test episodes", "descending"), ("e2e ms", "median call, raw observation to action", "ascending"),
    ("policy ms", "median call, policy alone", "ascending"),
    ("speed-up", "of the policy, against the reference timed in the same run", "descending"),
    ("NFE", "network evaluations per call", "ascending"), ("parameters", "of the generative head", "ascending"),
)  # fmt: skip


def leaderboard(context: Context) -> Html:
    """All groups of tasks, one after the other; each has a body of its own, which is sorted in itself."""
    rows = sorted(context.tables["summary"].rows, key=lambda row: row["suite"] != EVERY_SUITE)
    if not rows:
        return el("p", "Nothing has been measured yet.")
    head = [
        el("th", el("button", title, type="button", data_first=first), scope="col", title=words or None,
           class_=None if i < 2 else "number")
        for i, (title, words, first) in enumerate(_COLUMNS)
    ]  # fmt: skip
    bodies = []
    for (suite, group), own in groupby(rows, key=lambda row: (str(row["suite"]), str(row["group"]))):
        name = suite if group == ALL else f"{suite}, {group}"
        title = el("tr", el("th", name, colspan=len(_COLUMNS), scope="rowgroup"), class_="group")
        ranked = sorted(own, key=_success, reverse=True)
        lines = [_row(context, row) for row in ranked]
        bodies.append(el("tbody", title, lines, data_suite=suite, data_group=group))
    table = el(
        "table",
        el("caption", "Success and speed of every method, by suite and difficulty", class_="quiet"),
        el("thead", el("tr", head)), bodies, id="leaderboard",
    )  # fmt: skip
    return join(
        scrolling(table, "Leaderboard"),
        el("p", "", id="leaderboard-status", role="status", class_="quiet"),
        el("p", _words(context), class_="note"),
    )


def filters(context: Context) -> Html:
    """Controls that only work with scripts, and are hidden without."""
    groups = list(dict.fromkeys((str(r["suite"]), str(r["group"])) for r in context.tables["summary"].rows))
    suites = sorted({suite for suite, _ in groups}, key=lambda suite: (suite != EVERY_SUITE, suite))
    difficulties = list(dict.fromkeys(group for _, group in groups))
    boxes = [
        el("label", el("input", type="checkbox", checked=True, value=variant), context.label(variant), class_="chip")
        for variant in context.measures.variants
    ]
    return el(
        "form",
        el("label", "Suite ", el("select", [el("option", s, value=s) for s in suites], id="suite")),
        el("label", "Difficulty ", el("select", [el("option", d, value=d) for d in difficulties], id="difficulty")),
        el("fieldset", el("legend", "Methods"), boxes, id="variants"),
        id="filters", hidden=True, aria_label="Filter the page",
    )  # fmt: skip


def lead(context: Context) -> Html | None:
    """The answer in a sentence or two."""
    rows = [row for row in context.tables["summary"].rows if row["group"] == ALL]
    suites = {row["suite"] for row in rows}
    rows = [row for row in rows if row["suite"] == EVERY_SUITE] if EVERY_SUITE in suites else rows
    scored = [row for row in rows if isinstance(row.get("success"), Estimate)]
    if not scored:
        return None
    parts = list(_ranking(context, scored))
    timed = [row for row in rows if isinstance(row.get("e2e_ms"), float)]
    if timed:
        fastest = min(timed, key=lambda row: _number(row["e2e_ms"]))
        slowest = max(timed, key=lambda row: _number(row["e2e_ms"]))
        parts += [" Fastest: ", el("strong", fastest["method"]), f", {_ms(fastest)} per call"]
        parts.append(f"; slowest: {slowest['method']}, {_ms(slowest)}." if len(timed) > 1 else ".")
    return el("p", parts, class_="lead")


def _ranking(context: Context, scored: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Who succeeds most often, among the most methods with the same tasks: means over others do not compare."""
    ran = context.measures.cells.groupby("variant")["task"].agg(frozenset)
    sets = [ran[row["method"]] for row in scored]
    tasks = max(sets, key=lambda own: (sets.count(own), len(own)))
    ranked = [row for row, own in zip(scored, sets, strict=True) if own == tasks]
    spec, unfinished = context.run.manifest["spec"], bool(context.measures.missing)
    if unfinished and len(ranked) == 1 < len(spec["methods"]):
        yield "The run is unfinished: no two methods were run on the same tasks, so none is ranked."
        return
    best = max(map(_success, ranked))
    top = [row for row in ranked if _success(row) == best]
    yield el("strong", " and ".join(str(row["method"]) for row in top))
    yield f" succeed{'s' * (len(top) == 1)} most often"
    yield f" on {len(tasks)} of {len(spec['tasks'])} tasks" if unfinished else ""
    yield f": {100 * best:.1f} %{'; the run is unfinished' * unfinished}."
    others = [row for row in ranked if row not in top]
    for words, rows in (
        ("Not shown to be worse", [row for row in others if row.get("best")]),
        ("Shown to be worse", [row for row in others if row.get("best") == ""]),
        ("Not ranked, as not run on the same tasks", [row for row in scored if row not in ranked]),
    ):
        if rows:
            yield f" {words}: {', '.join(str(row['method']) for row in rows)}."


def success_cell(found: Value, mark: Value = None, sort: bool = True) -> Html:
    """A rate with its interval as a picture and as numbers."""
    if not isinstance(found, Estimate):
        return el("td", str(found or EMPTY), class_="success", data_sort=-1 if sort else None)
    badge = el("span", "best" if mark == "best" else "tied", class_=f"badge {'best' if mark == 'best' else 'tied'}",
               title="best" if mark == "best" else "not shown to be worse than the best") if mark else None  # fmt: skip
    return el(
        "td",
        el("span", interval_bar(found), el("span", f"{100 * found.value:.1f}", class_="value"),
           el("span", f"{100 * found.low:.0f}–{100 * found.high:.0f}", class_="ends", title=f"{interval(found)} %"),
           badge, class_="rate"),
        class_="success", data_sort=f"{found.value:.6f}" if sort else None,
    )  # fmt: skip


def _row(context: Context, row: Mapping[str, Any]) -> Html:
    variant = str(row["method"])
    name = el("a", context.label(variant), href=f"#{method_anchor(variant)}")
    notes = el("span", row["notes"], class_="note") if row.get("notes") else None
    speedup = row.get("policy_speedup")
    cells = [
        el("th", name, notes, scope="row", data_sort=variant),
        success_cell(row.get("success"), row.get("best")),
        _cell(row.get("n"), count),
        _cell(row.get("e2e_ms"), milliseconds), _cell(row.get("policy_ms"), milliseconds),
        _cell(speedup.value if speedup else None, factor,
              f"95 % interval {factor(speedup.low)} to {factor(speedup.high)}" if speedup else None),
        _cell(row.get("nfe"), count), _cell(row.get("params_network"), _short),
    ]  # fmt: skip
    return el("tr", cells, data_variant=variant, style=f"--c:var(--m{context.index[context.look[variant].colour]})")


def _cell(value: Any, text: Any, title: str | None = None) -> Html:
    shown = EMPTY if value is None else text(value)
    return el("td", shown, class_="number", data_sort="" if value is None else value, title=title)


def _short(value: float) -> str:
    """A large number in three digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"


def _success(row: Mapping[str, Any]) -> float:
    found = row.get("success")
    return found.value if isinstance(found, Estimate) else -1.0


def _number(value: Any) -> float:
    return float(value)


def _ms(row: Mapping[str, Any]) -> str:
    return f"{milliseconds(_number(row['e2e_ms']))} ms"


def _words(context: Context) -> str:
    references = sorted({str(row["reference"]) for row in context.tables["summary"].rows if row.get("reference")})
    words = (
        "Success: mean over tasks with its 95 % interval. best / tied: highest success, and methods that are not shown "
        "to be worse on the same episodes, at the level of 5 % for all together. Times: median call at batch 1."
    )
    if references:
        words += f" Speed-up: against {', '.join(references)}, interleaved with it."
    return f"{words} {no_common_scale(context.measures.latency)}".rstrip()
