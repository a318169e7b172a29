"""A run's folder: manifest and records. The driver is the only writer; rows are appended, flushed, never changed."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from pydantic import ValidationError

from bench.artifacts import StorageError, write_atomically
from bench.interfaces import UserError, unknown
from bench.records import FILES, Manifest
from bench.replay import Replay, unpack
from bench.rows import DamagedRowError, decode, encode, first_fault
from bench.spec import RunSpec, canonical_json, content_key
from bench.tidy import tidy

MANIFEST, REPLAYS = "manifest.json", "replays"
UNFLUSHED = ("timings",)
"""Records that nothing depends on: written at once, which survives a killed driver, and not awaited on the disk."""


@dataclass(frozen=True)
class Run:
    """A run as read from its folder: what was asked for, and a frame of rows per records file."""

    path: Path
    manifest: Mapping[str, Any]
    episodes: pd.DataFrame
    curves: pd.DataFrame
    latency: pd.DataFrame
    realtime: pd.DataFrame
    errors: pd.DataFrame
    timings: pd.DataFrame


class RunFolder:
    """Writes a run. Use as a context manager: it holds a lock, so that two drivers cannot share a folder."""

    def __init__(self, path: Path, spec: RunSpec, plan: str) -> None:
        """``plan`` is the content key of the plan: other code or other simulators never mix into a run."""
        self.path, self.spec, self.plan = path, spec, plan
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> RunFolder:
        self.refuse_foreign()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.path}: another 'bench run' is writing there; wait for it or choose another --out"
            ) from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot write there ({error.strerror}); choose another --out") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def refuse_foreign(self) -> None:
        """Raise `UserError` where the folder holds anything but an earlier start of the same run."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; choose another --out")
        if not (self.path / MANIFEST).exists():
            if any(not p.name.startswith(".") for p in self.path.iterdir()):
                raise UserError(f"{self.path}: is not empty and holds no run; choose another --out")
            return
        manifest = read_manifest(self.path)
        found, wanted = manifest["spec"], self.spec.to_json()
        differences = [
            f"{k} {found.get(k)} there, {wanted.get(k)} asked for"
            for k in {**wanted, **found}
            if found.get(k) != wanted.get(k)
        ]
        if differences:
            raise UserError(f"{self.path}: holds another run ({'; '.join(differences)}); choose another --out")
        if manifest["plan"] != self.plan:
            raise UserError(
                f"{self.path}: holds this run as made by other code, another simulator version or on another device; "
                "its records stay as they are, choose another --out"
            )

    def write_manifest(self, fields: Mapping[str, Any]) -> None:
        """Write the manifest; `created` stays that of the first start."""
        path = self.path / MANIFEST
        manifest = {
            "schema": "manifest/1", "key": self.spec.key, "plan": self.plan, "spec": self.spec.to_json(), **fields,
        }  # fmt: skip
        if path.exists():
            manifest["created"] = read_manifest(self.path)["created"]
        manifest["check"] = _check(manifest)
        Manifest.model_validate(manifest)
        write_atomically(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows written so far, checked; a torn last line (from a kill) is cut off for good."""
        return list(self.each(name))

    def each(self, name: str) -> Iterator[dict[str, Any]]:
        """`rows` one by one, for files that are larger than the memory."""
        path = self.path / f"{name}.jsonl"
        _cut_torn_line(path)
        return iterate_rows(path)

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows in one write and flush them to the disk, but for those of `UNFLUSHED`.

        Raises:
            StorageError: They could not be written; the file is as before.
        """
        path = self.path / f"{name}.jsonl"
        lines = memoryview(b"".join(encode(row, FILES[name]) for row in rows))
        with _storage(path), path.open("ab", buffering=0) as file:  # a buffer would be written once more on closing
            before = file.tell()
            try:
                while lines:
                    lines = lines[file.write(lines) :]
                if name not in UNFLUSHED:
                    os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # a torn line would be cut off on reading, too
                    os.truncate(path, before)
                raise

    def write_replay(self, data: bytes) -> None:
        """Keep a replay, unless one of a lower training seed shows that outcome of its task and variant already."""
        about = unpack(data).about
        key = content_key({"task": about.task, "variant": about.variant})
        path = self.path / REPLAYS / f"{key}-{'success' if about.success else 'failure'}.safetensors"
        with suppress(UserError):  # a damaged one is replaced
            if path.exists() and read_replay(path).about.training_seed < about.training_seed:
                return
        write_atomically(path, data)

    def keep(self, name: str, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
        """Drop the rows that are not wanted (leftovers of a broken unit)."""
        path = self.path / f"{name}.jsonl"
        if not all(wanted(row) for row in self.each(name)):
            with path.open("rb") as file:
                write_atomically(
                    path, (line for line, row in zip(file, iterate_rows(path), strict=True) if wanted(row))
                )

    def sort(self, name: str, rank: Callable[[Mapping[str, Any]], tuple[int, int]]) -> None:
        """Put the rows into the order of their ranks; of the rows only ranks and places are held in memory."""
        path = self.path / f"{name}.jsonl"
        ranks = np.fromiter((rank(row) for row in self.each(name)), np.dtype((np.int64, 2)))
        order = np.lexsort((ranks[:, 1], ranks[:, 0])) if len(ranks) else np.arange(0)
        if (order == np.arange(len(order))).all():
            return
        with path.open("rb") as file:
            ends = np.cumsum(np.fromiter((len(line) for line in file), np.int64))
            starts = np.concatenate([[0], ends[:-1]])
            write_atomically(path, (os.pread(file.fileno(), ends[i] - starts[i], starts[i]) for i in order))


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line end of a file, if there is one."""
    if not path.exists():
        return
    with _storage(path), path.open("rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            if (newline := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            file.truncate(end)


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Turn what the system says about a file that cannot be written into `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); nothing recorded is lost, once that is mended the same "
            "command goes on"
        ) from None


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run's folder. Raises `UserError` where there is none or it is damaged."""
    file = path / MANIFEST
    try:
        content = file.read_bytes()
        Manifest.model_validate_json(content)
        manifest: dict[str, Any] = json.loads(content)
        if manifest.pop("check", None) not in (None, _check(manifest)):
            raise DamagedRowError("its check does not fit: it was changed after it was written")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no run there ('{MANIFEST}' is missing)") from None
    except OSError as error:
        raise UserError(f"{file}: unreadable ({error.strerror})") from None
    except (ValidationError, DamagedRowError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else error
        raise UserError(f"{file}: damaged, {fault}; restore it or choose another --out") from None
    return manifest


def newest_run(results: Path) -> Path:
    """The run that was begun last under a folder. Raises `UserError` where there is none."""
    runs = [path.parent for path in results.glob("*/manifest.json")]
    if not runs:
        raise UserError(f"{results}: no run there; make one with 'bench run', or name a run's folder")
    return max(runs, key=_begun)


def _begun(run: Path) -> tuple[str, str]:
    """By the manifest: in a fresh clone the times of files tell nothing. A damaged one comes first of all."""
    try:
        return read_manifest(run)["created"], run.name
    except UserError:
        return "", run.name


def _check(manifest: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(canonical_json(manifest).encode('utf-8', 'surrogatepass')):08x}"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a records file, without a torn last line.

    Raises:
        UserError: A row fails its schema or its check, or the file cannot be read: file, line and field.
    """
    return list(iterate_rows(path))


def iterate_rows(path: Path) -> Iterator[dict[str, Any]]:
    """`read_rows` one by one."""
    model, number = FILES[path.stem], 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                if line.endswith(b"\n"):
                    yield decode(line[:-1], model)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path}: unreadable ({error.strerror})") from None
    except DamagedRowError as error:
        raise UserError(
            f"{path}:{number}: damaged record, {error}; restore the line, or delete it to have it made again"
        ) from None


def read_replay(path: Path) -> Replay:
    """One file of ``replays/``. Raises `UserError` where it is damaged."""
    try:
        return unpack(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: damaged, {error}; delete it") from None


def read_replays(path: Path) -> list[Replay]:
    """All replays of a run's folder, in the order of their names; runs made before there were any have none."""
    return [read_replay(file) for file in sorted((path / REPLAYS).glob("*.safetensors"))]


def load_run(path: str | Path) -> Run:
    """Read a run's folder. Raises `UserError` for a folder without a run and for damaged records."""
    folder = Path(path)
    manifest = read_manifest(folder)
    frames = {}
    for name, model in FILES.items():
        columns = [field.alias or field_name for field_name, field in model.model_fields.items()]
        frames[name] = pd.DataFrame(read_rows(folder / f"{name}.jsonl"), columns=columns)
    return Run(folder, manifest, **frames)


def load(path: str | Path, name: str = "episodes") -> pd.DataFrame:
    """The test episodes of a run, one row each, with tidy columns; ``docs/records.md`` describes them.

    Args:
        name: Another records file of the run: ``realtime`` for the episodes with the latency in the loop.

    Raises:
        UserError: No such run or records file, or a damaged record.
    """
    if name not in FILES:
        raise unknown("records file", name, FILES)
    return tidy(getattr(load_run(path), name))
