"""Commands that read what was measured: show, pack, check, compare, measure again, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.artifacts import write_atomically
from bench.cli.options import REPORTS, RESULTS
from bench.console import make_console, say
from bench.export import Format, export
from bench.interfaces import UserError, unknown
from bench.schemas import MODELS, file_name, json_schema

BASELINE = RESULTS / "baseline"
EXPORTS = Path("exports")


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs: folders, or files of 'bench submit'.", show_default="the newest run"),
    ] = None,
    reports: Annotated[Path, typer.Option(help="Folder that the report is written to.")] = REPORTS,
) -> None:
    """Show runs: tables, learning curves, success against latency, and a web site. Several share a leaderboard.

    Examples:

      bench report

      bench report results/quick-lite-1a2b3c4d

      bench report results/mine theirs.zip
    """
    from bench.report import summary_table, write_report
    from bench.report.merge import merge
    from bench.site import write_site
    from bench.store import newest_run
    from bench.submission import read

    found = [read(path) for path in runs or [newest_run(RESULTS)]]
    data, replays = merge([(submission.run, submission.replays) for submission in found])
    folder = reports / data.path.resolve().name
    files = write_report(data, folder)
    site = write_site(data, replays, folder / "site")
    console = make_console()
    console.print(summary_table(data).to_rich())
    for line in [*map(str, files), f"site: {site}"]:
        say(console, line)


def submit(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The file.", show_default="<name of the run>.zip")] = None,
) -> None:
    """Pack a run (records, manifest, replays) into one file, for others to check and to show.

    Example:

      bench submit results/six-tasks
    """
    from bench.submission import submit as pack

    path = pack(run, out)
    say(make_console(), f"{path}: {path.stat().st_size / 1e3:,.0f} kB")


def validate(
    file: Annotated[Path | None, typer.Argument(help="A file of 'bench submit', or a run's folder.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of all records and stop.")] = False,
) -> None:
    """Check a submission: safety, hashes, schemas, completeness, plausibility; exit code 2 if it is refused.

    Examples:

      bench validate six-tasks.zip

      bench validate --schema > records.schema.json
    """
    from bench.records import json_schema
    from bench.submission import validate as check

    if schema == (file is not None):
        raise UserError("give a file to check, 'bench validate FILE', or --schema")
    if file is None:
        typer.echo(json_schema())
        return
    found = check(file)
    counts = f"{len(found.run.episodes)} episodes, {len(found.run.latency)} timings, {len(found.replays)} replays"
    line = f"{file}: valid, {counts}; 'bench report {file}' shows it"
    say(make_console(), line, "green")


def compare(
    base: Annotated[Path | None, typer.Argument(help="Folder of the run to compare with.")] = None,
    new: Annotated[Path | None, typer.Argument(help="Folder of the run that may have got worse.")] = None,
    ci: Annotated[bool, typer.Option("--ci", help=f"Run BASE, or {BASELINE}, again as NEW, without latency.")] = False,
    margin: Annotated[float, typer.Option(min=0.0, max=100.0, help="Loss of success that matters, in points.")] = 5.0,
    json: Annotated[Path | None, typer.Option(help="Write the comparison there as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the comparison there as Markdown.")] = None,
) -> None:
    """Tell whether a run got worse than another; exit code 1 if it did, 2 if the two cannot be compared.

    Examples:

      bench compare results/before results/after

      bench compare results/before results/after --json gate.json --markdown gate.md

      bench compare --ci
    """
    import tempfile

    from bench.ci import run_again
    from bench.comparison import compare as compare_runs
    from bench.store import load_run

    if ci == (new is not None):
        raise UserError("compare two runs, 'bench compare BASE NEW', or run one again, 'bench compare [BASE] --ci'")
    console = make_console()
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
        before = load_run(base or BASELINE)
        after = load_run(new or run_again(before.path, Path(folder), console))
    found = compare_runs(before, after, margin=margin / 100, exact=ci)
    for table in found.tables():
        console.print(table.to_rich())
    for line in [*(found.changed or ()), *found.notes]:
        say(console, line)
    style = "red" if found.regression else "green"
    say(console, found.summary, style)
    for path, text in ((json, found.to_json()), (markdown, found.to_markdown())):
        if path:
            write_atomically(path, text.encode())
    raise typer.Exit(1 if found.regression else 0)


def reproduce(
    run_folder: Annotated[Path, typer.Argument(help="Folder of the run; nothing is written there.")],
    sample: Annotated[int, typer.Option(min=1, help="Number of cells, picked at random.")] = 1,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints to evaluate again.", show_default="all is made anew, demos first"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Worker processes; 0 works in this process, without Ray.", show_default="one per core"
        ),
    ] = None,
) -> None:
    """Measure a sample of a run's cells again: exit code 0 if all rows are equal, 1 if any differs, 2 if it cannot be.

    Examples:

      bench reproduce results/six-tasks

      bench reproduce results/six-tasks --sample 5 --cache results/cache
    """
    from bench.reproduce import reproduce as reproduce_run

    raise typer.Exit(reproduce_run(run_folder, sample, workers, cache, make_console()))


def export_(
    run_folder: Annotated[Path | None, typer.Argument(help="A run's folder.", show_default="the newest run")] = None,
    form: Annotated[Format, typer.Option("--format", help="File format of the tables.")] = Format.csv,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.", show_default="exports/<run>")] = None,
) -> None:
    """Write the records of a run as tables, with a column for each value.

    Examples:

      bench export results/six-tasks --format parquet

      bench export --out tables
    """
    from bench.store import newest_run

    folder, console = run_folder or newest_run(RESULTS), make_console()
    for file in export(folder, out or EXPORTS / folder.resolve().name, form):
        say(console, file)


def schema(
    name: Annotated[str | None, typer.Argument(help=f"What to print the schema of: {', '.join(MODELS)}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all schemas into this folder.")] = None,
) -> None:
    """Print the JSON Schema of a file in a run's folder, or write all of them.

    Examples:

      bench schema episodes

      bench schema --out docs/schemas
    """
    if (name is None) == (out is None):
        raise UserError(f"name one of {', '.join(MODELS)}, or give a folder for all with --out")
    if name is not None:
        if name not in MODELS:
            raise unknown("schema", name, MODELS)
        sys.stdout.write(json_schema(name))
    elif out is not None:
        for each in MODELS:
            write_atomically(out / file_name(each), json_schema(each).encode())
