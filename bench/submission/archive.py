"""A run in one file: a zip of records, manifest and replays, with the SHA-256 of each.

Nothing in such a file is ever executed or unpickled, and nothing from it becomes a path: only names that this module
itself could have written are read, after their sizes were looked at, and into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from bench.interfaces import UserError
from bench.records import FILES
from bench.replay import MAX_BYTES
from bench.store import MANIFEST, REPLAYS

INDEX = "submission.json"
MAX_PACKED, MAX_UNPACKED, MAX_ENTRIES = 200_000_000, 1_000_000_000, 5_000
"""Bytes of the file, bytes of all that is in it, and number of entries."""
MAX_RATIO = 200
"""Records shrink by 20 to 50; what shrinks by more than this is made to fill a disk."""

_RECORDS = {MANIFEST, *(f"{name}.jsonl" for name in FILES)}
_REPLAY = re.compile(rf"{REPLAYS}/[0-9a-f]{{20}}-(success|failure)\.safetensors")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: NonNegativeInt
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Index(BaseModel):
    """What ``submission.json`` says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: Literal["submission/1"] = Field(alias="schema")
    name: str = Field(pattern=rf"^{_NAME.pattern}$")
    files: dict[str, _Part]


def pack(name: str, contents: Mapping[str, bytes]) -> bytes:
    """The file: equal contents give equal bytes.

    Args:
        name: of the run.
        contents: by file name, relative to the run's folder.

    Raises:
        UserError: a name that does not belong into a submission, or too much data.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"run '{name}': rename its folder, use letters, digits, '.', '_', '+' and '-'")
    for file in contents:
        if not _belongs(file):
            raise UserError(f"{file}: does not belong into a submission")
    parts = {k: {"bytes": len(v), "sha256": hashlib.sha256(v).hexdigest()} for k, v in sorted(contents.items())}
    index = json.dumps({"schema": "submission/1", "name": name, "files": parts}, indent=1, sort_keys=True) + "\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file, data in [(INDEX, index.encode()), *sorted(contents.items())]:
            info = zipfile.ZipInfo(file)  # dated 1980: the time of packing is no part of it
            info.create_system, info.external_attr = 3, 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data, compresslevel=9)
    packed = out.getvalue()
    if len(packed) > MAX_PACKED or sum(map(len, contents.values())) > MAX_UNPACKED:
        raise UserError(f"run '{name}' is larger than a submission may be ({MAX_PACKED / 1e6:.0f} MB packed)")
    return packed


def unpack(path: Path) -> tuple[str, dict[str, bytes]]:
    """Name of the run and contents by file name, with sizes, names and hashes checked.

    Raises:
        UserError: the file cannot be read or is no intact submission.
    """
    try:
        if path.stat().st_size > MAX_PACKED:
            raise _RefusedError(f"larger than {MAX_PACKED / 1e6:.0f} MB")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            contents = {entry.filename: archive.read(entry) for entry in entries}
        index = Index.model_validate_json(contents.pop(INDEX))
        _check_hashes(index, contents)
    except _RefusedError as error:
        raise UserError(f"{path}: refused, {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {INDEX} is damaged ({error.errors()[0]['msg']})") from None
    except OSError as error:
        raise UserError(f"{path}: unreadable ({error.strerror or error})") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: not a submission, or damaged ({error}); make one with 'bench submit RUN'") from None
    return index.name, contents


class _RefusedError(Exception):
    """The file breaks a rule of safety or is not whole."""


def _belongs(file: str) -> bool:
    return file in _RECORDS or _REPLAY.fullmatch(file) is not None


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Everything that can be known without decompressing."""
    if len(entries) > MAX_ENTRIES:
        raise _RefusedError(f"more than {MAX_ENTRIES} entries")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name in seen:
            raise _RefusedError(f"'{name}' is in it twice")
        seen.add(name)
        if name != INDEX and not _belongs(name):
            raise _RefusedError(f"{name[:200]!r} does not belong into a submission")
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _RefusedError(f"'{name}' is no plain file")
        if entry.flag_bits & 0x1:
            raise _RefusedError(f"'{name}' is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _RefusedError(f"'{name}' is compressed by an unusual method")
        if entry.file_size > max(MAX_RATIO * entry.compress_size, 10_000):
            raise _RefusedError(f"'{name}' shrinks by more than {MAX_RATIO}, as no records do")
        if _REPLAY.fullmatch(name) and entry.file_size > MAX_BYTES:
            raise _RefusedError(f"'{name}' is larger than {MAX_BYTES} bytes")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise _RefusedError(f"more than {MAX_UNPACKED / 1e6:.0f} MB when unpacked")
    for name in (INDEX, MANIFEST):
        if name not in seen:
            raise _RefusedError(f"'{name}' is missing")


def _check_hashes(index: Index, contents: Mapping[str, bytes]) -> None:
    if set(index.files) != set(contents):
        odd = sorted(set(index.files) ^ set(contents))[0]
        raise _RefusedError(f"'{odd[:200]}' is not both in the file and in {INDEX}")
    for name, part in index.files.items():
        data = contents[name]
        if len(data) != part.bytes or hashlib.sha256(data).hexdigest() != part.sha256:
            raise _RefusedError(f"'{name}' is not what {INDEX} says (SHA-256)")
