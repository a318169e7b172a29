"""The page that ties a report together: README.md in the report's folder."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from bench.report import published, selection, spread
from bench.report.coverage import unfinished
from bench.report.latency import PAGE, machines, no_common_scale
from bench.report.measures import ALL, Measures
from bench.report.realtime import WORDS
from bench.report.table import Table, escape_markdown
from bench.spec import WEIGHTS
from bench.store import Run

ASSUMED_SUCCESS = 0.8
"""Success at which the footer says how far n reaches; where most policies of interest are."""


def page(run: Run, measures: Measures, tables: Mapping[str, Table], figures: Mapping[str, str]) -> str:
    """Markdown of the page.

    Args:
        tables: By name: ``summary``, ``tasks``, ``matrix``, ``paired``, ``selection``, ``latency``, ``errors``,
            ``realtime``, ``published``, ``spread``.
        figures: Caption by file stem, for the figures that were made.
    """
    spec = run.manifest["spec"]
    name, profile = escape_markdown(run.path.resolve().name), escape_markdown(spec["profile"])
    title = f"# {name}: {_counted(len(spec['tasks']), 'task')}, profile {profile}"
    first = [f"**{text}**"] if (text := unfinished(run, measures)) else []
    parts = [title, *first, _headline(tables["summary"]), *_pictures(figures)]
    if tables["latency"].rows:
        parts += ["## Latency", _latency(tables["latency"])]
    if tables["paired"].rows:
        parts += ["## Is the difference real?", tables["paired"].to_markdown(), _PAIRED]
    if tables["selection"].rows:
        which = tables["selection"]
        parts += [f"## {which.title}", _selection(which), f"{selection.WORDS} {_files('selection')}"]
    if tables["realtime"].rows:
        late = tables["realtime"]
        parts += [f"## {late.title}", late.to_markdown(), f"{WORDS} {_files('realtime')}"]
    if tables["spread"].rows:
        parts += [f"## {tables['spread'].title}", tables["spread"].to_markdown(), f"{spread.WORDS} {_files('spread')}"]
    parts += [
        "## Every task",
        f"Episodes that succeeded, of those run. {_files('tasks')}",
        tables["matrix"].to_markdown(),
    ]
    parts += [f"## {tables['published'].title}", _published(tables["published"])]
    parts += ["## What is missing", _missing(measures)]
    if tables["errors"].rows:
        parts += ["## Errors", _ERRORS, tables["errors"].to_markdown()]
    parts += ["## How it was measured", *_protocol(run, measures), "## What these numbers can support"]
    parts.append(_support(run, measures))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def headline(summary: Table) -> Table:
    """The rows of whole suites and the columns that answer the first question."""
    rows = [row for row in summary.rows if row["group"] == ALL]
    first = ["suite"] if len({row["suite"] for row in rows}) > 1 else []
    speed = ["e2e_ms", "policy_ms", "policy_speedup", "sample_ms", "sample_speedup", "nfe", "params_network"]
    columns = [*first, "method", "success", "best", "n", *speed, "notes"]
    return Table("Success and speed", summary.columns, rows).select(*columns)


def _headline(summary: Table) -> str:
    table = headline(summary)
    if not table.rows:
        return "Nothing has been measured yet."
    references = sorted({str(row["reference"]) for row in summary.rows if row.get("reference")})
    words = "Success in percent with its 95 % interval, mean over tasks; n test episodes; median milliseconds per call."
    if any(row.get("best") for row in table.rows):
        words += " A method is tied with the best unless it is shown to be worse, at the level of 5 % for all together."
    if references:
        words += f" Speed-ups are against {escape_markdown(', '.join(references))}, timed in the same interleaved run."
    return f"{table.to_markdown()}\n{words} {_files('summary')}"


def _latency(table: Table) -> str:
    several = len({row["task"] for row in table.rows}) > 1
    shown = table.select(*(["task"] if several else []), *PAGE)
    return f"{shown.to_markdown()}\n{_LATENCY} {_files('latency')}"


def _selection(table: Table) -> str:
    several = len({row["suite"] for row in table.rows}) > 1
    columns = [column.key for column in table.columns if several or column.key != "suite"]
    return table.select(*columns).to_markdown()


def _published(table: Table) -> str:
    compared = published.compared(table)
    lines = " ".join([published.summary(table), *published.refused(table)])
    words = f"{escape_markdown(lines)} {_files('published')}"
    return f"{compared.to_markdown()}\n{words}" if compared.rows else words


def _pictures(figures: Mapping[str, str]) -> Iterable[str]:
    for stem, caption in figures.items():
        yield f"![{caption}]({stem}.svg)\n\n*{caption}* ([SVG]({stem}.svg), [PNG]({stem}.png))"


def _files(stem: str) -> str:
    links = ", ".join(
        f"[{name}]({stem}.{suffix})" for name, suffix in (("Markdown", "md"), ("CSV", "csv"), ("LaTeX", "tex"))
    )
    return f"Full table: {links}."


def _missing(measures: Measures) -> str:
    if not measures.missing:
        return "Nothing: every cell that was asked for is there."
    lines = [
        f"- {escape_markdown(task)}, {escape_markdown(variant)}, training seed {seed}: {what}"
        for task, variant, seed, what in measures.missing
    ]
    hidden = len(lines) - 50
    return "\n".join(
        lines[:50] + ([f"- and {hidden} more: see the notes in [tasks.csv](tasks.csv)"] if hidden > 0 else [])
    )


def _protocol(run: Run, measures: Measures) -> Iterable[str]:
    manifest, spec = run.manifest, run.manifest["spec"]
    taken = "".join(f"- {escape_markdown(line)}\n" for line in imported(spec))
    yield (
        f"- Success: an episode counts if the task reported success in any control step. {spec['episodes']} test "
        f"episodes per task, method and training seed; the same initial states for all methods. Training seeds: "
        f"{', '.join(map(str, spec['seeds']))}. Checkpoints: the last weights, none selected.\n"
        "- Learning curves: selection episodes, which share no initial state with the test episodes.\n"
        f"{taken}- {_latency_words(measures)}"
    )
    git = manifest.get("git") or {}
    changes = f", uncommitted changes (SHA-256 {git['diff_sha256']})" if git.get("dirty") else ""
    facts = {
        "engines": ", ".join(sorted(set(run.episodes["engine"]))),
        "assets": ", ".join(sorted(set(run.episodes["assets"]))),
        "versions": pairs(manifest.get("versions")),
        "hardware": pairs(manifest.get("hardware")),
        "code": f"{git.get('revision') or 'not in a checkout'}{changes}",
        "started": str(manifest.get("created") or ""),
        "wall time": f"{manifest['wall_seconds'] / 60:.1f} min" if manifest.get("wall_seconds") else "",
    }
    yield "\n".join(f"- {name}: {escape_markdown(value)}" for name, value in facts.items() if value)
    if command := manifest.get("command"):
        text = command if isinstance(command, str) else " ".join(map(str, command))
        longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        yield f"Command:\n\n{fence}sh\n{text}\n{fence}"


def imported(spec: Mapping[str, Any]) -> list[str]:
    """What a run took from others: a line for demonstrations, one for weights; none where it made all itself."""
    lines = []
    if sets := ", ".join(f"{task} ({key})" for task, key in (spec.get("demos") or {}).items()):
        lines.append(f"Demonstrations: imported for {sets}; of the experts for other tasks.")
    if names := [text for text in spec["methods"] if re.search(f":{WEIGHTS.pattern}(?=[+@]|$)", text)]:
        lines.append(f"Weights: imported, not trained here, for {', '.join(names)} (method:hash of the weights).")
    return lines


def _latency_words(measures: Measures) -> str:
    timed = measures.latency
    if timed.empty:
        return "Latency: not measured."
    found = machines(timed)
    where_timed = "; ".join(escape_markdown(pairs(machine)) for machine in found)
    row, tasks = timed.iloc[0], sorted(set(timed["task"]))
    where = escape_markdown(", ".join(tasks)) if len(tasks) <= 3 else _counted(len(tasks), "task")
    return (
        f"Latency: on {where}; batch 1, device {escape_markdown(row['device'])}, mode {escape_markdown(row['mode'])} "
        f"in the headline; {timed['n'].min()} or more calls each on recorded observations, after warm-up, in a process "
        "of its own. `e2e` goes from the raw scan to the action (crop and point sampling included), `policy` is "
        "encoder and sampler, `sample` the generative head alone. NFE is network evaluations per call. "
        f"Machine{'s' * (len(found) > 1)}: {where_timed}. {no_common_scale(timed)}".rstrip()
    )


def _support(run: Run, measures: Measures) -> str:
    """Of what ran, and of the method with the least of it: what was asked for supports nothing."""
    cells = measures.cells
    lines: list[str] = []
    if text := unfinished(run, measures):
        lines.append(f"- {text} The figures below hold for what was run, and claims with them.")
    if cells.empty:
        return "\n".join([*lines, "- Nothing yet: no episode was run."])
    by_task = cells.groupby(["variant", "task"]).agg(n=("n", "sum"), seeds=("training_seed", "nunique"))
    by_variant = cells.groupby("variant").agg(n=("n", "sum"), tasks=("task", "nunique"))
    n, total, seeds = (int(column.min()) for column in (by_task["n"], by_variant["n"], by_task["seeds"]))
    lines += [
        f"- One task, {_least(by_task['n'], 'episode')}: success near {100 * ASSUMED_SUCCESS:.0f} % is known to "
        f"±{_half_width(n):.1f} points (95 %). "
        + ("Do not rank methods on single tasks." if n < 200 else "Large differences on single tasks can be trusted."),
        f"- Mean over {_least(by_variant['tasks'], 'task')}, {_least(by_variant['n'], 'episode')}: to about "
        f"±{_half_width(total):.1f} points. "
        + ("Claims belong at this level." if _half_width(total) < 11 else "Run more before claiming anything."),
    ]
    if seeds == 1:
        lines.append(
            "- One training seed: intervals hold for the networks trained here. Training again may move success by "
            "more than they say."
        )
    else:
        trained = _least(by_task["seeds"], "training seed")
        lines.append(f"- {trained}: few to judge the spread of training by; the table gives their range.")
    lines.append("- Episodes that ended in an error count as failures. `docs/report.md` explains each number.")
    return "\n".join(lines)


def _least(counts: pd.Series, noun: str) -> str:
    return "at least " * (counts.nunique() > 1) + _counted(int(counts.min()), noun)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _half_width(n: int) -> float:
    """Of the Wilson interval at `ASSUMED_SUCCESS`, in points (for n that need not make a whole number of successes)."""
    z, p = 1.959964, ASSUMED_SUCCESS
    return 100 * z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)


def pairs(values: Mapping[str, Any] | None) -> str:
    """``name value, name value``; what has no value is left out."""
    shown = ((k, ", ".join(map(str, v)) if isinstance(v, list) else v) for k, v in (values or {}).items())
    return ", ".join(f"{key} {value}" for key, value in shown if value not in (None, ""))


_PAIRED = (
    "Each method against the first on the same episodes. Only those that one of the two solved alone count; p is the "
    "chance of a split at least as uneven if both were equally good (exact McNemar, two-sided, not corrected for "
    "several tests; a test of these networks, not of training them again)."
)
_LATENCY = (
    "Per call, at batch 1; `cpu1` is one thread on one core and makes the headline, `cpuN` a thread for each core. A "
    "percentile is given where there were calls enough for it. A control step costs the median call over the actions "
    "that it serves. *Late*: share of calls that last longer than a period of that rate."
)
_ERRORS = "Episodes that ended in an error count as failures. Tracebacks are in `errors.jsonl` of the run."
