"""Tables that are too long for the first page: every timing, and every published figure with its verdict or reason."""

from __future__ import annotations

from bench.report import published
from bench.report.latency import PAGE
from bench.site.context import Context, finder, plain_table, section
from bench.site.html import Html, document, el, join

LATENCY, PUBLISHED = "latency.html", "published.html"
_FIGURE = ("method", "group", "metric", "published", "unit", "verdict", "reason", "variant", "here", "source")
"""Columns of a published figure; verdict and reason can be seen without scrolling."""
FEW_TIMINGS = 40
"""So many rows of latencies still fit on the first page."""


def latency_section(context: Context) -> Html | None:
    """Every timing, or where to find them."""
    table = context.tables["latency"]
    if not table.rows:
        return None
    link = el("p", el("a", f"Every timing with all its columns ({len(table.rows):,})", href=LATENCY))
    if len(table.rows) > FEW_TIMINGS:
        return section("latency", "Latency", link)
    several = ["task"] if len({row["task"] for row in table.rows}) > 1 else []
    return section("latency", "Latency", plain_table(table.select(*several, *PAGE), "Timings"), link)


def latency_page(context: Context) -> str:
    """All columns of every timing."""
    words = (
        "Per call, at batch 1; cpu1 is one thread on one core, cpuN a thread for each core. A percentile is given "
        "where there were calls enough for it. A control step costs the median call over the actions that it serves. "
        "Late: share of calls that last longer than a period of that rate."
    )
    table = plain_table(context.tables["latency"], "Every timing", id="timings")
    return _page(context, "Latency", el("p", words, class_="about"), finder("Find a timing", "timings"), table)


def published_section(context: Context) -> Html:
    """The counts, the figures with a verdict, and what is refused."""
    table = context.tables["published"]
    compared = published.compared(table)
    words = f"Every figure with its verdict or the reason why it has none ({len(table.rows)})"
    return section(
        "published", table.title,
        plain_table(compared, "Published figures with a verdict", class_="words") if compared.rows else None,
        el("p", published.summary(table)), [el("p", line) for line in published.refused(table)],
        el("p", el("a", words, href=PUBLISHED)),
    )  # fmt: skip


def published_page(context: Context) -> str:
    """A row for every figure."""
    table = context.tables["published"]
    lines = [el("p", line, class_="about") for line in (published.summary(table), *published.refused(table))]
    rows = plain_table(table.select(*_FIGURE), "Every published figure", id="figures", class_="words")
    return _page(context, table.title, lines, finder("Find a figure", "figures"), rows)


def plain(markdown: str) -> str:
    """Words that the report has in Markdown, without its marks."""
    return markdown.replace("*", "").replace("`", "")


def _page(context: Context, title: str, *content: object) -> str:
    body = join(
        el("header", el("p", el("a", context.name, href="index.html"), class_="eyebrow"), el("h1", title)),
        el("main", *content),
        el("footer", el("p", el("a", "First page", href="index.html"))),
    )
    return document(f"{title} · {context.name}", body, scripts=("assets/find.js",))
