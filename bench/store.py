"""A run's folder: manifest and records. The driver is the only writer; rows are appended, flushed, never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from pydantic import ValidationError

from bench.artifacts import write_atomically
from bench.interfaces import UserError, unknown
from bench.records import FILES, Manifest
from bench.replay import Replay, unpack
from bench.spec import RunSpec, canonical_json, content_key

MANIFEST, REPLAYS = "manifest.json", "replays"


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
        Manifest.model_validate(manifest)
        write_atomically(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows written so far, checked; a torn last line (from a kill) is cut off for good."""
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

    def write_replay(self, data: bytes) -> None:
        """Keep a replay, unless one of a lower training seed shows that outcome of its task and variant already."""
        about = unpack(data).about
        key = content_key({"task": about.task, "variant": about.variant})
        path = self.path / REPLAYS / f"{key}-{'success' if about.success else 'failure'}.safetensors"
        with suppress(UserError):  # a damaged one is replaced
            if path.exists() and read_replay(path).about.training_seed < about.training_seed:
                return
        write_atomically(path, data)

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
        content = file.read_bytes()
        Manifest.model_validate_json(content)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no run there ('{MANIFEST}' is missing)") from None
    except OSError as error:
        raise UserError(f"{file}: unreadable ({error.strerror})") from None
    except ValidationError as error:
        raise UserError(f"{file}: damaged, {_first(error)}; restore it or choose another --out") from None
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a records file, without a torn last line.

    Raises:
        UserError: A row fails its schema: file, line and field.
    """
    if not path.exists():
        return []
    model = FILES[path.stem]
    rows = []
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            model.model_validate_json(line)
            rows.append(json.loads(line))
        except ValidationError as error:
            raise UserError(
                f"{path}:{number}: damaged record, {_first(error)}; "
                "restore the line, or delete it to have it made again"
            ) from None
    return rows


def read_replay(path: Path) -> Replay:
    """One file of ``replays/``. Raises `UserError` where it is damaged."""
    try:
        return unpack(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: damaged, {error}; delete it") from None


def read_replays(path: Path) -> list[Replay]:
    """All replays of a run's folder, in the order of their names; runs made before there were any have none."""
    return [read_replay(file) for file in sorted((path / REPLAYS).glob("*.safetensors"))]


def _first(error: ValidationError) -> str:
    """The first fault in one line."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'not a JSON object'}: {first['msg']}".splitlines()[0]


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
    """The test episodes of a run, one row each, as tidy data; ``docs/records.md`` describes the columns.

    Args:
        name: Another records file of the run: ``realtime`` for the episodes with the latency in the loop.

    Raises:
        UserError: No such run or records file, or a damaged record.
    """
    if name not in FILES:
        raise unknown("records file", name, FILES)
    frame: pd.DataFrame = getattr(load_run(path), name)
    return frame
