"""The first page: answer, leaderboard, charts, tasks, methods, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.report import curves as report_curves
from bench.report import selection, spread
from bench.report.coverage import unfinished
from bench.report.measures import ALL, groups, split, suite_title
from bench.report.realtime import WORDS
from bench.report.tradeoff import points
from bench.site import charts
from bench.site.cards import cards
from bench.site.context import Context, finder, plain_table, scrolling, section, task_file
from bench.site.html import Html, document, el, join
from bench.site.leaderboard import filters, lead, leaderboard
from bench.site.long_tables import latency_section, plain, published_section
from bench.site.measured import measured

_CLOCKS = {"t_e2e": "whole call", "t_policy": "policy alone"}
_PAIRED = (
    "Each method against the first on the same episodes. Only those that one of the two solved alone count; p is exact "
    "McNemar, two-sided, not corrected for the number of rows."
)


def index(context: Context) -> str:
    """The page as text."""
    spec = context.run.manifest["spec"]
    sizes = ((len(spec["methods"]), "method"), (len(spec["tasks"]), "task"), (len(spec["seeds"]), "training seed"))
    parts = [f"{n} {word}{'s' * (n != 1)}" for n, word in sizes]
    about = ", ".join([*parts, f"{spec['episodes']} episodes each, profile {spec['profile']}"])
    warning = unfinished(context.run, context.measures)
    tables = context.tables
    sections = [
        section("leaderboard-section", "Leaderboard", filters(context), leaderboard(context)),
        _tradeoffs(context), _curves(context),
        section("paired", "Is the difference real?", plain_table(tables["paired"], "Paired differences"),
                el("p", _PAIRED, class_="note")) if tables["paired"].rows else None,
        section("realtime", tables["realtime"].title, plain_table(tables["realtime"], tables["realtime"].title),
                el("p", plain(WORDS), class_="note")) if tables["realtime"].rows else None,
        section("selection", tables["selection"].title, plain_table(tables["selection"], tables["selection"].title),
                el("p", plain(selection.WORDS), class_="note")) if tables["selection"].rows else None,
        section("spread", tables["spread"].title, plain_table(tables["spread"], tables["spread"].title),
                el("p", plain(spread.WORDS), class_="note")) if tables["spread"].rows else None,
        section("tasks", "Tasks", _matrix(context)),
        section("methods", "Methods", cards(context)),
        latency_section(context), published_section(context),
        section("missing", "What is missing", _missing(context)),
        section("errors", "Errors", plain_table(tables["errors"], "Episodes that ended in an error"))
        if tables["errors"].rows else None,
        section("measured", "How it was measured", measured(context)),
    ]  # fmt: skip
    body = join(
        el("a", "Skip to the leaderboard", href="#leaderboard-section", class_="skip"),
        el("header", el("p", "Visuomotor Bench", class_="eyebrow"), el("h1", context.name),
           el("p", about, [". ", el("strong", warning)] if warning else None, class_="about"), lead(context),
           _contents()),
        el("main", sections),
        el("footer", el("p", "Made from the records of the run and from nothing else. ",
                        "With few episodes claims belong to suites, not to single tasks.")),
    )  # fmt: skip
    scripts = ("assets/leaderboard.js", "assets/find.js", "assets/charts.js")
    return document(f"{context.name} · Visuomotor Bench", body, scripts=scripts)


def _contents() -> Html:
    links = {
        "leaderboard-section": "Leaderboard", "tradeoff": "Speed", "tasks": "Tasks", "methods": "Methods",
        "published": "Published figures", "measured": "How it was measured",
    }  # fmt: skip
    return el("nav", [el("a", text, href=f"#{anchor}") for anchor, text in links.items()], aria_label="On this page")


def _tradeoffs(context: Context) -> Html:
    figures = []
    for group in (g for g in groups(context.measures) if g.difficulty == ALL):
        for clock, words in _CLOCKS.items():
            if found := points(context.measures, group, clock):
                title = f"{group.label}: {words}"
                chart = charts.tradeoff(found, context.look, context.index, f"Success against latency, {title}")
                caption = el("figcaption", title)
                names = [p.variant for p in found]
                legend = charts.legend(names, context.look, context.index, key="variant")
                figures.append(el("figure", caption, chart, legend, data_suite=suite_title(group.suite)))
    words = (
        "Up and to the left is better. Vertical lines are 95 % intervals, horizontal ones reach to the 90th percentile "
        "of calls. Larger markers lie on the dashed Pareto front: nothing else is at least as fast and more successful."
    )
    content = [el("div", figures, class_="pair"), el("p", words, class_="note")] if figures else [el("p", "Not timed.")]
    return section("tradeoff", "Success against latency", *content)


def _curves(context: Context) -> Html | None:
    rows = context.run.curves
    if rows.empty:
        return None
    if rows["task"].nunique() > report_curves.MANY_TASKS:
        panels = report_curves.group_panels(rows, groups(context.measures))
    else:
        panels = [report_curves.Panel(task, own) for task, own in sorted(split(rows, "task").items())]
    figures = [f for panel in panels if (f := curve_figure(context, panel.rows, panel.title)) is not None]
    names = [name for name in context.look if name in set(rows["method"])]
    words = (
        "Success on selection episodes during training; the band is the 95 % interval, thin lines are training seeds."
    )
    return section(
        "curves", "Learning curves", charts.legend(names, context.look, context.index, key="method"),
        el("div", figures, class_="panels"), el("p", words, class_="note"),
    )  # fmt: skip


def curve_figure(context: Context, rows: pd.DataFrame, title: str) -> Html | None:
    """The learning curves of some tasks in one panel, or None where no step is complete."""
    by_method = split(rows, "method")
    found = {name: report_curves.curve(by_method[name]) for name in context.look if len(by_method[name])}
    lines = {name: curve for name, curve in found.items() if curve.points}
    if not lines:
        return None
    chart = charts.curves(lines, context.look, context.index, f"Learning curves, {title}")
    return el("figure", el("figcaption", title), chart)


def _matrix(context: Context) -> Html:
    cells = context.measures.cells
    shown = context.measures.ran
    counts = cells.groupby(["task", "variant"])[["k", "n"]].sum()
    known = {key: (int(k), int(n)) for key, k, n in counts.itertuples()}
    head = [el("th", "task", scope="col"), *(el("th", context.label(v), scope="col", data_variant=v) for v in shown)]
    body = [
        el("tr", el("th", el("a", task, href=task_file(task)),
                    el("span", context.difficulty.get(task), class_="note"), scope="row"),
           list(_counts(known, task, shown)))
        for task in context.tasks
    ]  # fmt: skip
    caption = el("caption", "Episodes that succeeded, of those run")
    table = el("table", caption, el("thead", el("tr", head)), el("tbody", body), class_="matrix", id="task-table")
    search = finder("Find a task", "task-table") if len(body) > 9 else None
    return join(search, scrolling(table, "Successes of every method on every task"))


def _counts(known: dict[tuple[str, str], tuple[int, int]], task: str, variants: list[str]) -> Iterable[Html]:
    for variant in variants:
        if (task, variant) not in known:
            yield el("td", "not run", data_variant=variant, class_="none")
            continue
        k, n = known[task, variant]
        yield el("td", f"{k}/{n}", data_variant=variant, style=f"--p:{100 * k / n:.0f}%")


def _missing(context: Context) -> Html:
    missing = context.measures.missing
    if not missing:
        return el("p", "Nothing: every cell that was asked for is there.")
    items = [el("li", f"{task}, {variant}, training seed {seed}: {what}") for task, variant, seed, what in missing]
    return el("ul", items[:50], el("li", f"and {len(items) - 50} more") if len(items) > 50 else None)
