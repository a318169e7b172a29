"""The command line: parses, calls, and turns `UserError` into one line and exit code 2."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from bench.cli import checkpoints, demos, inventory, measure, new, records
from bench.console import say
from bench.instruction_set import pin
from bench.interfaces import UserError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(measure.run)
app.command()(records.report)
app.command()(records.submit)
app.command()(records.validate)
app.command()(records.compare)
app.command()(records.reproduce)
app.command()(measure.latency)
app.command(name="list")(inventory.list_)
app.command(name="export")(records.export_)
app.command()(records.schema)
app.command()(new.new)
app.command()(inventory.doctor)
app.add_typer(demos.app, name="demos")
app.add_typer(checkpoints.app, name="checkpoints")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bench {metadata.version('visuomotor-bench')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Which robot policy should I run? Measures success and speed of visuomotor policies, and reports them."""


def main() -> None:
    """Entry point of the script ``bench``."""
    pin()
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
        if not message():  # no command was named, and the help has been printed
            sys.exit(2)
        command = getattr(getattr(error, "ctx", None), "command_path", "bench")
        said = message().replace("Value error, ", "").rstrip(".")
        _complain(f"{said}{' ' if said.endswith('?') else '; '}see '{command} --help'")


def _complain(message: str) -> None:
    line = " ".join(message.split())
    say(Console(stderr=True), f"error: {line}", "red")
    sys.exit(2)
