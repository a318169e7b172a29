"""Commands that measure: `bench run`, `bench latency`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench import registry
from bench.cli.options import CACHE, REPORTS, Device, items, missing_suites, numbers
from bench.console import make_console, say
from bench.interfaces import UserError


class Threads(StrEnum):
    """Thread modes to time: one thread on one core, a thread for each core, or one after the other."""

    one = "1"
    all = "all"
    both = "both"


def run(
    methods: Annotated[str, typer.Option(help="Comma list of methods and variants: [cyan]sdm,dp3@nfe=1[/cyan].")],
    tasks: Annotated[
        str,
        typer.Option(help="Comma list of ids, globs, suites, groups ([cyan]metaworld:hard[/cyan]), quick, all."),
    ] = "quick",
    seeds: Annotated[str, typer.Option(help="Comma list of training seeds.")] = "0",
    profile: Annotated[str, typer.Option(help="Sizes and budgets: smoke, lite or paper.")] = "lite",
    episodes: Annotated[int | None, typer.Option(help="Test episodes per cell.", show_default="by profile")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run's records.", show_default="results/<tasks>-<profile>-<key>"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="BENCH_CACHE", help="Folder of demo sets and checkpoints.", show_default="cache beside --out"
        ),
    ] = None,
    reports: Annotated[Path, typer.Option(help="Folder that reports are written to.")] = REPORTS,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Worker processes; 0 works in this process, without Ray.", show_default="one per core"
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster to work on, as in [cyan]head:6379[/cyan] or [cyan]auto[/cyan]."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where networks are trained and run.")] = Device.cpu,
    workers_per_gpu: Annotated[
        int, typer.Option(min=1, help="Workers that share a GPU: with small networks one leaves it idle.")
    ] = 1,
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
            help="Train on imported demos: a Zarr store, a Minari dataset or the key of a set. Once for each task.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Measure: demos, training, evaluation, latency, report.

    The same command again does what is missing and nothing else. Ctrl-C ends what is under way and stops, twice stops
    at once; nothing is lost. Exit code 3: a cell ended in an error, or a latency could not be measured.

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

    console = make_console()
    variants = items(methods) + (registry.methods().baselines() if with_baselines else [])
    spec, settings = prepare(
        variants, items(tasks), numbers(seeds), profile, episodes, control_hz=control_hz,
        demos=_sources(demos or []), out=out, cache=cache, reports=reports, workers=workers, ray_address=ray_address,
        device=device.value, console=console, dry_run=dry_run, cell_timeout_s=cell_timeout,
        workers_per_gpu=workers_per_gpu,
    )  # fmt: skip
    if "all" in items(tasks):
        for suite, reason in missing_suites().items():
            say(console, f"left out of 'all': {suite} ({reason})", "yellow")
    raise typer.Exit(application.run(spec, replace(settings, command=None), console))


def latency(
    methods: Annotated[
        str, typer.Option(help="Comma list of methods and variants; the first is the reference: [cyan]dp3,sdm[/cyan].")
    ],
    task: Annotated[str, typer.Option(help="Task whose observations are shown.")] = "metaworld/drawer-open",
    profile: Annotated[str, typer.Option(help="Sizes: smoke, lite or paper.")] = "lite",
    seed: Annotated[int, typer.Option(min=0, help="Training seed of the checkpoints.")] = 0,
    cache: Annotated[
        Path, typer.Option(envvar="BENCH_CACHE", help="Folder of checkpoints; untrained weights for missing ones.")
    ] = CACHE,
    threads: Annotated[
        Threads, typer.Option(help="One thread pinned to one core, a thread for [cyan]all[/cyan] cores, or both.")
    ] = Threads.one,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Least time per variant.", show_default="by profile, 0 with --calls")
    ] = None,
    calls: Annotated[
        int | None, typer.Option(min=1, help="Least calls per variant.", show_default="by profile, 1 with --seconds")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=5, help="Blocks per variant, in turn A B B A.", show_default="by profile")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where networks are run.")] = Device.cpu,
    json: Annotated[Path | None, typer.Option(help="Write all figures there.")] = None,
) -> None:
    """Time methods against each other, in interleaved blocks on recorded observations, each in a fresh process.

    Needs no training: where there is no checkpoint, untrained weights take as long. Use an idle machine.

    Examples:

      bench latency --methods dp3,sdm

      bench latency --methods sdm,manicm,dp3@nfe=1 --threads both --json latency.json

      bench latency --methods dp3+fused,sdm+fused   # the U-Net as one compiled call; see bench doctor for runtimes

      bench latency --methods dp3,sdm --profile smoke --calls 100
    """
    from bench.api import find_device
    from bench.latency_command import Request, compare_latency

    where = find_device(device.value)
    request = Request(
        tuple(items(methods)), task, profile, seed, cache, threads.value, seconds, calls, blocks, where, json
    )
    raise typer.Exit(compare_latency(request, make_console()))


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
