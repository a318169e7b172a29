"""Commands of `bench checkpoints`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.cli.options import CACHE, cache_option
from bench.console import make_console, say
from bench.interfaces import UserError

app = typer.Typer(help="Weights of others: import them, evaluate them as a method.", no_args_is_help=True)
CacheFolder = Annotated[Path, typer.Option("--cache", envvar="BENCH_CACHE", help="Folder of checkpoints.")]


@app.command(name="import")
def checkpoints_import(
    sources: Annotated[
        list[str], typer.Argument(metavar="TASK[:SEED]=FILE", help="Safetensors by task and training seed (default 0).")
    ],
    method: Annotated[str, typer.Option(help="What they are run as: dp3, simple_dp3, manicm, sdm, flowpolicy, ...")],
    profile: Annotated[str, typer.Option(help="Whose network sizes they have.")] = "paper",
    cache: CacheFolder = CACHE,
) -> None:
    """Check weights and keep them under a name of their own; docs/checkpoints.md has the layout, and a converter.

    Example:

      bench checkpoints import metaworld/drawer-open=drawer.safetensors --method dp3
    """
    from bench.artifacts import Cache
    from bench.weights import import_weights

    console = make_console()
    found = import_weights(_sources(sources), method, profile)
    found.keep(Cache(cache))
    for artifact in found.artifacts.values():
        info = artifact.info
        file = info["imported"]["from"]
        say(console, f"{info['task']}, seed {info['seed']}: {file}, SHA-256 of its tensors {artifact.sha256}")
    infos = [artifact.info for artifact in found.artifacts.values()]
    tasks, seeds = ({str(i[k]): None for i in infos} for k in ("task", "seed"))
    how = f"--methods {found.variant} --tasks {','.join(tasks)} --seeds {','.join(seeds)} --profile {profile}"
    say(console, f"imported as {found.variant}; evaluate with: bench run {how}{cache_option(cache)}")


@app.command(name="list")
def checkpoints_list(cache: CacheFolder = CACHE) -> None:
    """List imported weights.

    Example:

      bench checkpoints list
    """
    from bench.artifacts import Cache

    table = Table("variant", "profile", "task", "seed", "file", "SHA-256 of the file")
    for info in sorted(Cache(cache).infos("weights"), key=lambda i: (i["method"], i["weights"], i["task"], i["seed"])):
        origin = info["imported"]
        name = f"{info['method']}:{info['weights']}"
        table.add_row(name, info["profile"], info["task"], str(info["seed"]), origin["from"], origin["sha256"])
    make_console().print(table)


def _sources(texts: list[str]) -> dict[tuple[str, int], Path]:
    sources: dict[tuple[str, int], Path] = {}
    for text in texts:
        place, equals, file = text.partition("=")
        task, colon, seed = place.partition(":")
        if not (task and equals and file) or (colon and not seed.isdecimal()):
            raise UserError(f"'{text}': write TASK=FILE or TASK:SEED=FILE, as in metaworld/drawer-open=w.safetensors")
        if (task, int(seed or 0)) in sources:
            raise UserError(f"two files for {task}, seed {seed or 0}: give one")
        sources[task, int(seed or 0)] = Path(file)
    return sources
