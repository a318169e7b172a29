"""The command line: parses, calls, and turns `UserError` into one line and exit code 2."""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import registry
from bench.artifacts import write_atomically
from bench.checkpoints_cli import app as checkpoints_app
from bench.export import Format, export
from bench.interfaces import UserError, unknown
from bench.schemas import MODELS, file_name, json_schema
from bench.spec import PROFILES

app = typer.Typer(
    help="Which robot policy should I run? Measures success and speed of visuomotor policies, and reports them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
demos_app = typer.Typer(help="Export, import and look at demo sets.", no_args_is_help=True)
app.add_typer(demos_app, name="demos")
app.add_typer(checkpoints_app, name="checkpoints")
RESULTS, REPORTS, EXPORTS = Path("results"), Path("reports"), Path("exports")
BASELINE = RESULTS / "baseline"
CacheFolder = Annotated[Path, typer.Option("--cache", envvar="BENCH_CACHE", help="Folder of demo sets.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Whose number of demos a task's expert makes.")]


class Device(StrEnum):
    """Where networks are trained and run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Threads(StrEnum):
    """Thread modes to time: one thread on one core, a thread for each core, or one after the other."""

    one = "1"
    all = "all"
    both = "both"


class Listing(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    methods = "methods"
    profiles = "profiles"


class DemoFormat(StrEnum):
    """What demo sets can be written as."""

    zarr = "zarr"
    minari = "minari"


class Kind(StrEnum):
    """What can be written anew."""

    method = "method"
    task = "task"


@app.command()
def run(
    methods: Annotated[str, typer.Option(help="Comma list of methods and variants: [cyan]sdm,dp3@nfe=1[/cyan].")],
    tasks: Annotated[
        str,
        typer.Option(help="Comma list of ids, globs, suites, groups ([cyan]metaworld:hard[/cyan]), quick, all."),
    ] = "quick",
    seeds: Annotated[str, typer.Option(help="Comma list of training seeds.")] = "0",
    profile: Annotated[str, typer.Option(help="Sizes and budgets: smoke, lite or paper.")] = "lite",
    episodes: Annotated[int | None, typer.Option(help="Test episodes per cell.  [default: by profile]")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run's records.  [default: results/<tasks>-<profile>-<key>]"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(envvar="BENCH_CACHE", help="Folder of demo sets and checkpoints.  [default: cache beside --out]"),
    ] = None,
    reports: Annotated[Path, typer.Option(help="Folder that reports are written to.")] = REPORTS,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Worker processes; 0 works in this process, without Ray.  [default: one per core]"),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster to work on, as in [cyan]ray://head:10001[/cyan] or [cyan]auto[/cyan]."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where networks are trained and run.")] = Device.cpu,
    control_hz: Annotated[
        int | None,
        typer.Option(help="Also evaluate in real time, at so many control steps per second: latency costs steps."),
    ] = None,
    cell_timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds that one training or evaluation may take before it counts as an error."),
    ] = None,
    with_baselines: Annotated[
        bool, typer.Option("--with-baselines", help="Also measure the teacher and a student with fewer and more steps.")
    ] = False,
    demos: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=SOURCE",
            help="Train on imported demos: a Zarr store, or the key of an imported set. May be given several times.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Measure: demos, training, evaluation, latency, report.

    The same command again does what is missing and nothing else. Ctrl-C ends what is under way and stops, twice stops
    at once; nothing is lost. Exit code 3: a cell ended in an error.

    Examples:

      bench run --methods sdm,manicm --tasks quick

      bench run --methods dp3,dp3@nfe=1,sdm --tasks metaworld:hard --seeds 0,1,2 --episodes 50

      bench run --methods dp3,sdm --control-hz 20

      bench run --methods sdm,bc --with-baselines

      bench run --methods dp3 --tasks metaworld/drawer-open --demos metaworld/drawer-open=my_demos.zarr

      bench run --methods dp3,sdm --tasks 'metaworld/door-*' --profile smoke --dry-run
    """
    from bench import app as application
    from bench.api import prepare

    console = _console()
    variants = _items(methods) + (registry.methods().baselines() if with_baselines else [])
    spec, settings = prepare(
        variants, _items(tasks), _numbers(seeds), profile, episodes, control_hz=control_hz,
        demos=_sources(demos or []), out=out, cache=cache, reports=reports, workers=workers, ray_address=ray_address,
        device=device.value, console=console, dry_run=dry_run, cell_timeout_s=cell_timeout,
    )  # fmt: skip
    if "all" in _items(tasks):
        for suite, reason in _missing_suites().items():
            console.print(f"left out of 'all': {suite} ({reason})", style="yellow", highlight=False, soft_wrap=True)
    raise typer.Exit(application.run(spec, replace(settings, command=None), console))


@app.command()
def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs: folders, or files of 'bench submit'.  [default: the newest run]"),
    ] = None,
    reports: Annotated[Path, typer.Option(help="Folder that the report is written to.")] = REPORTS,
) -> None:
    """Show runs: tables, learning curves, success against latency, and a web site. Several share a leaderboard.

    Examples:

      bench report

      bench report results/quick-lite-1a2b3c4d

      bench report results/mine theirs.zip
    """
    from bench.app import newest_run
    from bench.report import summary_table, write_report
    from bench.report.merge import merge
    from bench.site import write_site
    from bench.submission import read

    found = [read(path) for path in runs or [newest_run(RESULTS)]]
    data, replays = merge([(submission.run, submission.replays) for submission in found])
    folder = reports / data.path.resolve().name
    files = write_report(data, folder)
    site = write_site(data, replays, folder / "site")
    console = _console()
    console.print(summary_table(data).to_rich())
    for line in [*map(str, files), f"site: {site}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def submit(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The file.  [default: <name of the run>.zip]")] = None,
) -> None:
    """Pack a run (records, manifest, replays) into one file, for others to check and to show.

    Example:

      bench submit results/six-tasks
    """
    from bench.submission import submit as pack

    path = pack(run, out)
    _console().print(f"{path}: {path.stat().st_size / 1e3:,.0f} kB", highlight=False, markup=False, soft_wrap=True)


@app.command()
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
    _console().print(line, style="green", highlight=False, markup=False, soft_wrap=True)


@app.command()
def compare(
    base: Annotated[Path | None, typer.Argument(help="Folder of the run to compare with.")] = None,
    new: Annotated[Path | None, typer.Argument(help="Folder of the run that may have got worse.")] = None,
    ci: Annotated[
        bool, typer.Option("--ci", help=f"Run BASE again as NEW, without latency.  [default BASE: {BASELINE}]")
    ] = False,
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
    console = _console()
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
        before = load_run(base or BASELINE)
        after = load_run(new or run_again(before.path, Path(folder), console))
    found = compare_runs(before, after, margin=margin / 100, exact=ci)
    for table in found.tables():
        console.print(table.to_rich())
    for line in [*(found.changed or ()), *found.notes]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    style = "red" if found.regression else "green"
    console.print(found.summary, style=style, highlight=False, markup=False, soft_wrap=True)
    for path, text in ((json, found.to_json()), (markdown, found.to_markdown())):
        if path:
            write_atomically(path, text.encode())
    raise typer.Exit(1 if found.regression else 0)


@app.command()
def reproduce(
    run_folder: Annotated[Path, typer.Argument(help="Folder of the run; nothing is written there.")],
    sample: Annotated[int, typer.Option(min=1, help="Number of cells, picked at random.")] = 1,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints to evaluate again.  [default: all is made anew, demos first]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Worker processes; 0 works in this process, without Ray.  [default: one per core]"),
    ] = None,
) -> None:
    """Measure a sample of a run's cells again: exit code 0 if all rows are equal, 1 if any differs, 2 if it cannot be.

    Examples:

      bench reproduce results/six-tasks

      bench reproduce results/six-tasks --sample 5 --cache results/cache
    """
    from bench.reproduce import reproduce as reproduce_run

    raise typer.Exit(reproduce_run(run_folder, sample, workers, cache, _console()))


@app.command()
def latency(
    methods: Annotated[
        str, typer.Option(help="Comma list of methods and variants; the first is the reference: [cyan]dp3,sdm[/cyan].")
    ],
    task: Annotated[str, typer.Option(help="Task whose observations are shown.")] = "metaworld/drawer-open",
    profile: Annotated[str, typer.Option(help="Sizes: smoke, lite or paper.")] = "lite",
    seed: Annotated[int, typer.Option(min=0, help="Training seed of the checkpoints.")] = 0,
    cache: Annotated[
        Path, typer.Option(envvar="BENCH_CACHE", help="Folder of checkpoints; untrained weights for missing ones.")
    ] = RESULTS / "cache",
    threads: Annotated[
        Threads, typer.Option(help="One thread pinned to one core, a thread for [cyan]all[/cyan] cores, or both.")
    ] = Threads.one,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Least time per variant.  [default: by profile, 0 with --calls]")
    ] = None,
    calls: Annotated[
        int | None, typer.Option(min=1, help="Least calls per variant.  [default: by profile, 1 with --seconds]")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=5, help="Blocks per variant, in turn A B B A.  [default: by profile]")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where networks are run.")] = Device.cpu,
    json: Annotated[Path | None, typer.Option(help="Write all figures there.")] = None,
) -> None:
    """Time methods against each other, in interleaved blocks on recorded observations, each in a fresh process.

    Needs no training: where there is no checkpoint, untrained weights take as long. Use an idle machine.

    Examples:

      bench latency --methods dp3,sdm

      bench latency --methods sdm,manicm,dp3@nfe=1 --threads both --json latency.json

      bench latency --methods dp3+onnx,sdm+onnx     # by ONNX Runtime, see bench doctor

      bench latency --methods dp3,sdm --profile smoke --calls 100
    """
    from bench.api import find_device
    from bench.latency_command import Request, compare_latency

    where = find_device(device.value)
    request = Request(
        tuple(_items(methods)), task, profile, seed, cache, threads.value, seconds, calls, blocks, where, json
    )
    raise typer.Exit(compare_latency(request, _console()))


@app.command(name="list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """List tasks, methods or profiles.

    Example:

      bench list tasks
    """
    table = {Listing.tasks: _task_table, Listing.methods: _method_table, Listing.profiles: _profile_table}[what]()
    console = _console()
    console.print(table)
    if what is Listing.tasks:
        for suite, reason in _missing_suites().items():
            console.print(f"{suite}: {reason}", highlight=False, soft_wrap=True)


@app.command(name="export")
def export_(
    run_folder: Annotated[Path | None, typer.Argument(help="A run's folder.  [default: the newest run]")] = None,
    form: Annotated[Format, typer.Option("--format", help="File format of the tables.")] = Format.csv,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.  [default: exports/<run>]")] = None,
) -> None:
    """Write the records of a run as tables, with a column for each value.

    Examples:

      bench export results/six-tasks --format parquet

      bench export --out tables
    """
    from bench.app import newest_run

    folder, console = run_folder or newest_run(RESULTS), _console()
    for file in export(folder, out or EXPORTS / folder.resolve().name, form):
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)


@app.command()
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


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Of the method, or id of the task, [cyan]suite/name[/cyan].")],
    out: Annotated[Path, typer.Option(help="Folder in which the package gets a folder of its own.")] = Path(),
) -> None:
    """Write a small method or task that works, with its tests, as a package of your own: change it from there.

    Examples:

      bench new method my-policy

      bench new task toy/reach
    """
    from bench.skeleton import write_skeleton

    files = write_skeleton(kind.value, name, out)
    console = _console()
    for file in files:
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)
    folder = files[0].parent
    how = f"next: cd {folder} && pip install -e . && pytest; docs/add-a-{kind.value}.md tells the rest"
    console.print(how, highlight=False, markup=False, soft_wrap=True)


@app.command()
def doctor() -> None:
    """Check what is there, what is missing and how to get it; exit code 1 if the built-in path would not run."""
    from bench.doctor import check

    raise typer.Exit(check(_console()))


@demos_app.command(name="export")
def demos_export(
    source: Annotated[str, typer.Argument(help="A task (its expert's demos), or the key of a demo set.")],
    out: Annotated[Path, typer.Argument(help="The store to write.")],
    form: Annotated[DemoFormat, typer.Option("--format", help="What to write.")] = DemoFormat.zarr,
    profile: ProfileName = "lite",
    cache: CacheFolder = RESULTS / "cache",
) -> None:
    """Write a demo set as a Zarr store in the layout of 3D Diffusion Policy, or as a Minari dataset.

    Examples:

      bench demos export metaworld/drawer-open drawer.zarr

      bench demos export metaworld/drawer-open drawer-open-v0 --format minari
    """
    from bench.artifacts import Cache
    from bench.demos_command import export_demos

    export_demos(source, out, profile, Cache(cache), _console(), form.value)


@demos_app.command(name="import")
def demos_import(
    store: Annotated[Path, typer.Argument(help="A Zarr store as of 3D Diffusion Policy, or a Minari dataset.")],
    task: Annotated[str, typer.Option(help="The task that it holds demonstrations of.")],
    cache: CacheFolder = RESULTS / "cache",
) -> None:
    """Check a Zarr store or Minari dataset and keep it as demonstrations of a task.

    Example:

      bench demos import drawer.zarr --task metaworld/drawer-open
    """
    from bench.artifacts import Cache
    from bench.demos_command import import_demos

    import_demos(store, task, Cache(cache), _console())


@demos_app.command(name="inspect")
def demos_inspect(
    source: Annotated[str, typer.Argument(help="A Zarr store, a Minari dataset, a task, or the key of a demo set.")],
    picture: Annotated[Path | None, typer.Option(help="Draw a picture there (PNG).")] = None,
    profile: ProfileName = "lite",
    cache: CacheFolder = RESULTS / "cache",
) -> None:
    """Show counts and ranges of a demo set.

    Example:

      bench demos inspect drawer.zarr --picture drawer.png
    """
    from bench.artifacts import Cache
    from bench.demos_command import inspect_demos

    inspect_demos(source, profile, Cache(cache), picture, _console())


def main() -> None:
    """Entry point of the script ``bench``."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except UserError as error:
        _complain(str(error))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # A fault in the arguments, found by the parser: its class is not public, its one-line message is.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if not sys.argv[1:]:  # the help has been printed
            sys.exit(2)
        _complain(f"{message().rstrip('.')}; see --help")


def _complain(message: str) -> None:
    line = " ".join(message.split())
    Console(stderr=True).print(f"error: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def _items(text: str) -> list[str]:
    return [item for item in map(str.strip, text.split(",")) if item]


def _numbers(text: str) -> list[int]:
    try:
        return [int(item) for item in _items(text)]
    except ValueError:
        raise UserError(f"--seeds '{text}': write whole numbers, as in 0,1,2") from None


def _sources(texts: list[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for text in texts:
        task, equals, source = text.partition("=")
        if not (task and equals and source):
            raise UserError(f"--demos '{text}': write task=source, as in metaworld/drawer-open=demos.zarr")
        if task in sources:
            raise UserError(f"--demos: two demo sets for {task}, give one")
        sources[task] = source
    return sources


def _console() -> Console:
    """A console that cuts nothing off where its output goes to a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def _missing_suites() -> dict[str, str]:
    envs = registry.tasks()
    reasons = {suite: envs.unavailable(suite) for suite in {t.suite for t in envs.specs().values()}}
    return {suite: reason for suite, reason in sorted(reasons.items()) if reason}


def _task_table() -> Table:
    table = Table("task", "difficulty", "points", "state", "action", "steps", "engine")
    missing = _missing_suites()
    for task in registry.tasks().specs().values():
        engine = "[yellow]not installed[/yellow]" if task.suite in missing else task.engine
        sizes = (task.n_points, task.agent_pos_dim, task.action_dim, task.max_steps)
        table.add_row(task.id, task.difficulty or "", *map(str, sizes), engine)
    return table


def _method_table() -> Table:
    table = Table("method", "teacher", "horizon", "executed", "nfe", "lite steps", "options")
    sample = next(iter(registry.tasks().specs().values()))
    for name in registry.methods().names():
        spec = registry.describe(name, sample, "lite", {})[0]
        options = ", ".join(f"{k}={v}" for k, v in spec.options.items())
        counts = (spec.horizon, spec.executed_steps, spec.nfe, spec.train_steps)
        table.add_row(name, spec.teacher or "", *map(str, counts), options)
    return table


def _profile_table() -> Table:
    table = Table("profile", "demos", "episodes", "curve points", "what for")
    for profile in PROFILES.values():
        counts = (profile.demos, profile.episodes, f"{profile.curve_points} x {profile.selection_episodes} episodes")
        table.add_row(profile.name, *map(str, counts), profile.purpose)
    return table
