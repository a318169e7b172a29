"""What commands print on: a console, and lines that it leaves as they are."""

from __future__ import annotations

import sys

from rich.console import Console


def make_console() -> Console:
    """A console that cuts nothing off where its output goes to a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def say(console: Console, text: object, style: str | None = None) -> None:
    """One line as it is: paths are neither coloured nor wrapped."""
    console.print(str(text), style=style, highlight=False, markup=False, soft_wrap=True)
