"""Reports: tables, figures and a page, made from the records of a run and from nothing else."""

from __future__ import annotations

from pathlib import Path

from bench.interfaces import UserError
from bench.published import load_published
from bench.report import curves, realtime, selection, spread, tables
from bench.report.latency import latencies
from bench.report.measures import groups, measure
from bench.report.page import headline, page
from bench.report.published import against_published
from bench.report.style import looks, save
from bench.report.table import Table
from bench.report.tradeoff import tradeoff
from bench.spec import policy_of
from bench.store import Run

__all__ = ["Table", "realtime_table", "summary_table", "write_report"]


def summary_table(run: Run) -> Table:
    """What `bench run` prints at its end: each variant on each suite. Raises `UserError` for contradictory records."""
    return headline(tables.summary(measure(run)))


def realtime_table(run: Run) -> Table:
    """The same once more with the latency in the loop; no rows where the run was not asked for it."""
    return realtime.table(run, measure(run))


def write_report(run: Run, out: Path) -> list[Path]:
    """Write the report of ``run`` into the folder ``out`` and return its files, the page first.

    Works on unfinished runs: what is missing is named on the page. The same records give the same bytes.

    Raises:
        UserError: if ``out`` cannot be written or records contradict each other.
    """
    measures = measure(run)
    made = {
        "summary": tables.summary(measures), "tasks": tables.tasks(measures), "matrix": tables.matrix(measures),
        "paired": tables.paired(run, measures), "latency": latencies(measures), "errors": tables.errors(run),
        "realtime": realtime.table(run, measures), "selection": selection.table(run.curves, measures),
        "published": against_published(run, measures, load_published()), "spread": spread.table(measures),
    }  # fmt: skip
    look = looks(measures.variants)
    figures = {}
    captions = {}
    if (figure := tradeoff(measures, look)) is not None:
        figures["success_latency"] = figure
        captions["success_latency"] = "Success against latency; up and to the left is better"
    if not run.curves.empty:
        methods = looks(list(dict.fromkeys([*map(policy_of, look), *sorted(set(run.curves["method"]))])))
        if run.curves["task"].nunique() > curves.MANY_TASKS:
            if panels := curves.group_panels(run.curves, groups(measures)):
                figures["learning_curves"] = curves.group_curves(panels, methods)
                captions["learning_curves"] = "Learning curves, mean over the tasks of each group"
            figures["learning_curves_tasks"] = curves.task_curves(run.curves, methods)
            captions["learning_curves_tasks"] = "Learning curves of every task"
        else:
            figures["learning_curves"] = curves.task_curves(run.curves, methods)
            captions["learning_curves"] = "Learning curves"
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = [_write(out / "README.md", page(run, measures, made, captions))]
        written = ["summary", "tasks", "paired", "selection", "latency", "published"]
        for name in [*written, *["realtime"] * (not run.realtime.empty), *["spread"] * bool(made["spread"].rows)]:
            table = made[name]
            files.append(_write(out / f"{name}.md", f"# {table.title}\n\n{table.to_markdown()}"))
            files.append(_write(out / f"{name}.csv", table.to_csv()))
            files.append(_write(out / f"{name}.tex", table.to_latex()))
        for stem, figure in figures.items():
            files += save(figure, out / stem)
    except OSError as error:
        raise UserError(f"{out}: cannot write the report there ({error.strerror}); choose another --out") from None
    return files


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
