"""`bench new`: a method or a task to start from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.console import make_console, say


class Kind(StrEnum):
    """What can be written anew."""

    method = "method"
    task = "task"


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
    console = make_console()
    for file in files:
        say(console, file)
    folder = files[0].parent
    how = f"next: cd {folder} && pip install -e '.[test]' && pytest; docs/add-a-{kind.value}.md tells the rest"
    say(console, how)
