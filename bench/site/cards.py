"""A card for each method: all that was measured of it, in one place."""

from __future__ import annotations

from typing import Any

from bench import latency_figures as figures
from bench.report.measures import group_latency, seed_spread, success, suite_title
from bench.report.table import count, milliseconds, share
from bench.site.charts import interval, interval_bar
from bench.site.context import Context, facts, method_anchor, task_file
from bench.site.html import Html, el, join


def cards(context: Context) -> Html:
    """All methods in their order."""
    return el("div", [_card(context, variant) for variant in context.measures.variants], class_="cards")


def _card(context: Context, variant: str) -> Html:
    measures = context.measures
    cells = measures.cells[measures.cells["variant"] == variant]
    colour = context.index[context.look[variant].colour]
    bars = [
        el("li", el("span", suite_title(str(suite))), interval_bar(found), el("span", interval(found), class_="value"))
        for suite, own in cells.groupby("suite", sort=True) if (found := success(own)) is not None
    ]  # fmt: skip
    return el(
        "article", el("h3", context.label(variant)), el("ul", bars, class_="bars") if bars else None,
        facts(_facts(context, variant, cells)), id=method_anchor(variant), data_variant=variant,
        style=f"--c:var(--m{colour})",
    )  # fmt: skip


def _facts(context: Context, variant: str, cells: Any) -> dict[str, object]:
    episodes = context.measures.episodes
    own = episodes[episodes["variant"] == variant]
    solved = own[own["success"]]
    found: dict[str, object] = {
        "episodes": f"{count(len(own))} on {cells['task'].nunique()} tasks" if len(own) else "none",
        "spread of training seeds": f"{spread} %" if (spread := seed_spread(cells)) else None,
        "median steps to success": f"{solved['steps_to_success'].median():.0f}" if len(solved) else None,
        "errors": count(errors) if (errors := int(own["error"].count())) else None,
    }
    latency = context.measures.latency
    latency = latency[latency["variant"] == variant]
    if (timed := group_latency(latency)) is not None:
        row = {str(key): value for key, value in latency.iloc[0].items()}
        times = [row["t_e2e"][p] for p in ("p50", "p90", "p99")]
        tails = ["too few calls" if ms is None else milliseconds(ms) for ms in times]
        memory = row["peak_rss_mb"] if row["peak_gpu_mb"] is None else row["peak_gpu_mb"]
        found |= {
            "times, size and memory of": row["task"] + f", the first of {timed.tasks} timed tasks" * (timed.tasks > 1),
            "e2e ms, median / 90th / 99th": " / ".join(tails),
            "control rate": f"up to {figures.hz_control(row):,.0f} Hz, {row['executed_steps']} actions per call",
            "late at 50 Hz": f"{share(row['deadline_misses']['50'])} % of calls",
            "network evaluations": count(row["nfe"]), "head parameters": count(row["params_network"]),
            "checkpoint": f"{row['checkpoint_bytes'] / 1e6:.1f} MB" if row["checkpoint_bytes"] else None,
            "peak memory": f"{memory:,.0f} MB", "notes": "; ".join(timed.notes),
        }  # fmt: skip
    rates = (cells.groupby("task")["k"].sum() / cells.groupby("task")["n"].sum()).sort_values(kind="stable")
    if len(rates) > 2:
        hardest = [(str(task), rate) for task, rate in rates.iloc[:3].items()]
        links = [join(el("a", t.partition("/")[2], href=task_file(t)), f" {share(rate)} %") for t, rate in hardest]
        found["hardest tasks"] = Html(", ".join(links))
    return found
