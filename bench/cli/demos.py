"""Commands of `bench demos`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import CACHE, cache_option
from bench.console import make_console, say

app = typer.Typer(help="Export, import and look at demo sets.", no_args_is_help=True)
CacheFolder = Annotated[Path, typer.Option("--cache", envvar="BENCH_CACHE", help="Folder of demo sets.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Whose number of demos a task's expert makes.")]


class DemoFormat(StrEnum):
    """What demo sets can be written as."""

    zarr = "zarr"
    minari = "minari"


@app.command(name="export")
def demos_export(
    source: Annotated[str, typer.Argument(help="A task (its expert's demos), or the key of a demo set.")],
    out: Annotated[Path, typer.Argument(help="The store or dataset to write.")],
    form: Annotated[DemoFormat, typer.Option("--format", help="What to write.")] = DemoFormat.zarr,
    profile: ProfileName = "lite",
    cache: CacheFolder = CACHE,
) -> None:
    """Write a demo set as a Zarr store in the layout of 3D Diffusion Policy, or as a Minari dataset.

    Examples:

      bench demos export metaworld/drawer-open drawer.zarr

      bench demos export metaworld/drawer-open drawer-open-v0 --format minari
    """
    from bench.artifacts import Cache
    from bench.demos_command import export_demos

    export_demos(source, out, profile, Cache(cache), make_console(), form.value)


@app.command(name="import")
def demos_import(
    store: Annotated[Path, typer.Argument(help="A Zarr store as of 3D Diffusion Policy, or a Minari dataset.")],
    task: Annotated[str, typer.Option(help="The task that it holds demonstrations of.")],
    cache: CacheFolder = CACHE,
) -> None:
    """Check a Zarr store or Minari dataset and keep it as demonstrations of a task.

    Example:

      bench demos import drawer.zarr --task metaworld/drawer-open
    """
    from bench.artifacts import Cache
    from bench.demos_command import import_demos

    console = make_console()
    key = import_demos(store, task, Cache(cache), console)
    how = f"--methods ... --tasks {task} --demos {task}={key}{cache_option(cache)}"
    say(console, f"imported; train on it with: bench run {how}")


@app.command(name="inspect")
def demos_inspect(
    source: Annotated[str, typer.Argument(help="A Zarr store, a Minari dataset, a task, or the key of a demo set.")],
    picture: Annotated[Path | None, typer.Option(help="Draw a picture there (PNG).")] = None,
    profile: ProfileName = "lite",
    cache: CacheFolder = CACHE,
) -> None:
    """Show counts and ranges of a demo set.

    Example:

      bench demos inspect drawer.zarr --picture drawer.png
    """
    from bench.artifacts import Cache
    from bench.demos_command import inspect_demos

    inspect_demos(source, profile, Cache(cache), picture, make_console())
