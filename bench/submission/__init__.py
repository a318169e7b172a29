"""Runs that travel: packed into one file, checked on arrival, shown in a leaderboard."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bench.artifacts import write_atomically
from bench.interfaces import UserError
from bench.records import FILES
from bench.replay import Replay
from bench.store import MANIFEST, REPLAYS, Run, load_run, read_replays
from bench.submission.archive import pack, unpack
from bench.submission.checks import faults

__all__ = ["Submission", "read", "submit", "validate"]

MOST_FAULTS = 1000
"""More are not counted: a manifest may ask for more cells than there is memory for."""


@dataclass(frozen=True)
class Submission:
    """A run and its replays, from a folder or from a file."""

    run: Run
    replays: Sequence[Replay]


def submit(run: Path, out: Path | None = None) -> Path:
    """Pack the run in a folder into one file and return that; a run that would be refused on arrival is not packed.

    Raises:
        UserError: there is no run, it is incomplete or implausible, or the file cannot be written.
    """
    found = _from_folder(run)
    _refuse_faults(found, str(run))
    files = [MANIFEST, *(f"{name}.jsonl" for name in FILES)]
    contents = {name: (run / name).read_bytes() for name in files if (run / name).exists()}
    contents |= {f"{REPLAYS}/{p.name}": p.read_bytes() for p in sorted((run / REPLAYS).glob("*.safetensors"))}
    name = run.resolve().name
    path = out or Path(f"{name}.zip")
    write_atomically(path, pack(name, contents))
    return path


def validate(path: Path) -> Submission:
    """Check a file, or a run's folder: safety, hashes, schemas, completeness, plausibility.

    Raises:
        UserError: with the first fault, and how many more there are.
    """
    found = read(path)
    _refuse_faults(found, str(path))
    return found


def read(path: Path) -> Submission:
    """A run's folder, or a packed file, as it is: schemas and hashes are checked, plausibility is not."""
    if path.is_dir() or not path.exists():
        return _from_folder(path)
    name, contents = unpack(path)
    with tempfile.TemporaryDirectory(prefix="bench-submission-") as folder:
        root = Path(folder) / name  # a checked name, as are those of the contents
        for file, data in contents.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(data)
        try:
            found = _from_folder(root)
        except UserError as error:
            raise UserError(str(error).replace(str(root), str(path))) from None
    return replace(found, run=replace(found.run, path=Path(name)))


def _from_folder(path: Path) -> Submission:
    return Submission(load_run(path), read_replays(path))


def _refuse_faults(found: Submission, name: str) -> None:
    lines = list(islice(faults(found.run, found.replays), MOST_FAULTS + 1))
    if lines:
        count = "many" if len(lines) > MOST_FAULTS else len(lines) - 1
        others = f" (and {count} more faults)" if len(lines) > 1 else ""
        raise UserError(f"{name}: {lines[0]}{others}")
