"""A run's folder: manifest and records. The driver is the only writer; rows are appended, flushed, never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from pydantic import ValidationError

from bench.artifacts import write_atomically
from bench.interfaces import UserError
from bench.records import FILES
from bench.spec import RunSpec, canonical_json

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "manifest/1"


@dataclass(frozen=True)
class Run:
    """A run as read from its folder: what was asked for, and a frame of rows per records file."""

    path: Path
    manifest: Mapping[str, Any]
    episodes: pd.DataFrame
    curves: pd.DataFrame
    latency: pd.DataFrame
    errors: pd.DataFrame
    timings: pd.DataFrame


class RunFolder:
    """Writes a run. Use as a context manager: it holds a lock, so that two drivers cannot share a folder."""

    def __init__(self, path: Path, spec: RunSpec) -> None:
        self.path, self.spec = path, spec
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> RunFolder:
        self._refuse_foreign()
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

    def _refuse_foreign(self) -> None:
        """Raise `UserError` where the folder holds anything but an earlier start of the same run."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; choose another --out")
        if not (self.path / MANIFEST).exists():
            if any(p.name != ".lock" for p in self.path.iterdir()):
                raise UserError(f"{self.path}: is not empty and holds no run; choose another --out")
            return
        found, wanted = read_manifest(self.path)["spec"], self.spec.to_json()
        differences = [
            f"{k} {found.get(k)} there, {wanted.get(k)} asked for" for k in wanted if found.get(k) != wanted[k]
        ]
        if differences:
            raise UserError(f"{self.path}: holds another run ({'; '.join(differences)}); choose another --out")

    def write_manifest(self, fields: Mapping[str, Any]) -> None:
        """Write the manifest; `created` stays that of the first start."""
        path = self.path / MANIFEST
        created = read_manifest(self.path).get("created") if path.exists() else None
        manifest = {"schema": MANIFEST_SCHEMA, "key": self.spec.key, "spec": self.spec.to_json(), **fields}
        if created:
            manifest["created"] = created
        write_atomically(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows written so far, checked; a torn last line (from a kill) is cut off first."""
        path = self.path / f"{name}.jsonl"
        if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
            write_atomically(path, data[: data.rfind(b"\n") + 1])
        return read_rows(path)

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows in one write and flush them to the disk."""
        lines = "".join(canonical_json(FILES[name].model_validate(row) and row) + "\n" for row in rows)
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace a records file as a whole; a crash leaves the old file or the new one."""
        lines = "".join(canonical_json(FILES[name].model_validate(row) and row) + "\n" for row in rows)
        write_atomically(self.path / f"{name}.jsonl", lines.encode())

    def keep(self, name: str, wanted: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
        """Drop the rows that are not wanted (leftovers of a broken unit); returns the others."""
        before = self.rows(name)
        after = [row for row in before if wanted(row)]
        if len(after) != len(before):
            self.replace(name, after)
        return after


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run's folder. Raises `UserError` where there is none or it is damaged."""
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest["schema"] != MANIFEST_SCHEMA or not isinstance(manifest["spec"], dict):
            raise ValueError(f"schema '{manifest['schema']}', expected '{MANIFEST_SCHEMA}'")
    except FileNotFoundError:
        raise UserError(f"{path}: no run there ('{MANIFEST}' is missing)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: damaged ({error}); restore it or choose another --out") from None
    return dict(manifest)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a records file. Raises `UserError` with file, line and field for the first that fails its schema."""
    if not path.exists():
        return []
    model = FILES[path.stem]
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            model.model_validate_json(line)
            rows.append(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise UserError(
                f"{path}:{number}: damaged record, {where}: {first['msg']}; "
                "restore the line, or delete it to have it made again"
            ) from None
    return rows


def load_run(path: str | Path) -> Run:
    """Read a run's folder. Raises `UserError` for a folder without a run and for damaged records."""
    folder = Path(path)
    manifest = read_manifest(folder)
    frames = {}
    for name, model in FILES.items():
        columns = [field.alias or field_name for field_name, field in model.model_fields.items()]
        frames[name] = pd.DataFrame(read_rows(folder / f"{name}.jsonl"), columns=columns)
    return Run(folder, manifest, **frames)


def load(path: str | Path) -> pd.DataFrame:
    """The test episodes of a run, one row each, as tidy data; ``docs/records.md`` describes the columns."""
    return load_run(path).episodes
