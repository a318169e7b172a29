"""The report as a web site: a folder that opens from a disk, asks no network and works without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from bench.published import load_published
from bench.replay import Replay
from bench.report import realtime, selection, spread, tables
from bench.report.latency import latencies
from bench.report.measures import measure
from bench.report.published import against_published
from bench.site.context import Context, task_file
from bench.site.folder import write_folder
from bench.site.html import slug
from bench.site.index import index
from bench.site.long_tables import LATENCY, PUBLISHED, latency_page, published_page
from bench.site.replays import choose, script
from bench.site.task import task_page
from bench.store import Run

__all__ = ["write_site"]


def write_site(run: Run, replays: Sequence[Replay], out: Path) -> Path:
    """Write the site of ``run`` into the folder ``out`` and return its first page; equal records give equal bytes.

    Raises:
        UserError: if ``out`` cannot be written or records contradict each other.
    """
    measures = measure(run)
    made = {
        "summary": tables.summary(measures), "paired": tables.paired(run, measures), "latency": latencies(measures),
        "errors": tables.errors(run), "realtime": realtime.table(run, measures),
        "selection": selection.table(run.curves, measures), "spread": spread.table(measures),
        "published": against_published(run, measures, load_published()),
    }  # fmt: skip
    context = Context(run, measures, made)
    chosen = choose(replays, measures.variants)
    pages = {"index.html": index(context), PUBLISHED: published_page(context)}
    if made["latency"].rows:
        pages[LATENCY] = latency_page(context)
    for asset in sorted(files("bench.site").joinpath("assets").iterdir(), key=lambda file: file.name):
        pages[f"assets/{asset.name}"] = asset.read_text(encoding="utf-8")
    for task in context.tasks:
        found = chosen.get(task, [])
        pages[task_file(task)] = task_page(context, task, found)
        if found:
            pages[f"replays/{slug(task)}.js"] = script(found)
    write_folder(out, pages)
    return out / "index.html"
