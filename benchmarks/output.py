"""What all benchmarks share: arguments, one thread, a table and JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.hardware import busy_cores, fingerprint
from bench.stats import Estimate

CONTENDED_CORES = 0.3
"""Other work on the machine above this marks the figures."""
Row = Mapping[str, Any]


def argument_parser(
    description: str | None, blocks: int | None = None, calls: int | None = None
) -> argparse.ArgumentParser:
    """A parser with the arguments that benchmarks share, defaults shown by ``--help``; blocks and calls if paired."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    if blocks and calls:
        parser.add_argument("--blocks", type=at_least(2), default=blocks, help="interleaved blocks per side")
        parser.add_argument("--calls", type=at_least(1), default=calls, help="timed calls in a block")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings, machine and rows there")
    return parser


def at_least(least: int) -> Any:
    """An argument type: whole numbers from ``least`` on."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is too small: {least} or more")
        return int(text)

    return number


def names(text: str) -> list[str]:
    """An argument type: a comma list."""
    return [name for name in map(str.strip, text.split(",")) if name]


def begin(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, go down to one thread, and measure what else keeps the machine busy (``args.busy_cores``)."""
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.busy_cores = round(busy_cores(), 2)
    return args


def ratio_fields(estimate: Estimate, bar: float | None = None) -> dict[str, Any]:
    """Columns of a ratio, its interval, and what it should reach."""
    return {
        "ratio": estimate.value, "low": estimate.low, "high": estimate.high, "bar": None if bar is None else f">= {bar}"
    }  # fmt: skip


def publish(benchmark: str, rows: Sequence[Row], args: argparse.Namespace) -> list[Row]:
    """Print the rows as a table, write the JSON if asked for, and return the rows."""
    contended = args.busy_cores > CONTENDED_CORES
    columns = list(dict.fromkeys(key for row in rows for key in row))
    note = f"busy machine: {args.busy_cores} cores at work before the start" if contended else None
    table = Table(*columns, title=benchmark, caption=note)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    if args.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        content = {
            "schema": "benchmark/1", "benchmark": benchmark, "settings": settings, "contended": contended,
            "hardware": fingerprint(), "rows": list(rows),
        }  # fmt: skip
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return list(rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
