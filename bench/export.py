"""`bench export`: the records of a run as tables for other programs."""

from __future__ import annotations

import importlib.util
import json
from enum import StrEnum
from pathlib import Path

import pandas as pd

from bench.artifacts import write_atomically
from bench.interfaces import UserError
from bench.records import FILES
from bench.store import MANIFEST, load_run
from bench.tidy import tidy


class Format(StrEnum):
    """File format of the tables."""

    parquet = "parquet"
    csv = "csv"


def export(run_folder: Path, out: Path, form: Format) -> list[Path]:
    """Write each records file that has rows as a table of tidy columns, and the manifest, into the folder ``out``.

    Raises:
        UserError: no such run, a damaged record, no way to write Parquet, or ``out`` cannot be written.
    """
    if form is Format.parquet and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            "--format parquet needs the package pyarrow: pip install 'visuomotor-bench[parquet]', or --format csv"
        )
    run = load_run(run_folder)
    frames = {name: tidy(frame) for name in FILES if not (frame := getattr(run, name)).empty}
    contents = {f"{name}.{form}": _parquet(f) if form is Format.parquet else _csv(f) for name, f in frames.items()}
    contents[MANIFEST] = (run.path / MANIFEST).read_bytes()
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]


def _parquet(frame: pd.DataFrame) -> bytes:
    return bytes(frame.to_parquet(None, engine="pyarrow", index=False))


def _csv(frame: pd.DataFrame) -> bytes:
    """Lists become JSON; a cell without value is empty."""
    flat = frame.map(lambda value: json.dumps(value) if isinstance(value, list) else value)
    return flat.to_csv(index=False, lineterminator="\n").encode()
