"""The cache of artefacts: demo sets and checkpoints as safetensors, each with a JSON side file. Never a pickle.

``<key>.safetensors`` holds the tensors, ``<key>.json`` the SHA-256 of that file and what is known about its making.
A file is complete or not there: written beside, flushed, renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_numpy
from safetensors.numpy import save as save_numpy

from bench.interfaces import DemoSet, UserError

if TYPE_CHECKING:
    import torch

SCHEMA = "artefact/1"
_UNREADABLE = (SafetensorError, ValueError, KeyError, TypeError, OverflowError)
_DEMO_ARRAYS = {
    "point_cloud": (3, "f"), "agent_pos": (2, "f"), "action": (2, "f"), "episode_ends": (1, "i"), "solved": (1, "i"),
    "image": (4, "u"),
}  # fmt: skip
"""Dimensions and kind of numbers of the arrays of a demo set."""
_OPTIONAL = {"image"}  # left out where it is empty: sets without pictures stay what they were, byte for byte


@dataclass(frozen=True)
class Artifact:
    """A demo set or checkpoint as it travels between processes and machines."""

    data: bytes  # safetensors
    info: Mapping[str, Any] = field(default_factory=dict)  # JSON: what it is, how it was made, its learning curve

    @property
    def sha256(self) -> str:
        """Hash of the tensors; the identity of a checkpoint in every record."""
        return hashlib.sha256(self.data).hexdigest()


class Cache:
    """Artefacts by content key in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the tensors of an artefact lie."""
        return self.folder / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file() and self._side(key).is_file()

    def load(self, key: str) -> Artifact:
        """Read an artefact. Raises `DamagedError` where it is damaged: the file, and what to do."""
        path, side_path = self.path(key), self._side(key)
        try:
            side = json.loads(side_path.read_text(encoding="utf-8"))
            artifact = Artifact(path.read_bytes(), side["info"])
            intact = side["schema"] == SCHEMA and side["sha256"] == artifact.sha256
            if not isinstance(side["info"], dict) or side["info_sha256"] != _info_hash(side["info"]):
                raise ValueError("its contents are not those that were written")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(
                f"{side_path}: unreadable ({error}); delete it to have it made again", key, side_path
            ) from None
        if not intact:
            raise DamagedError(
                f"{path}: damaged (its SHA-256 is not that in {key}.json); delete it to have it made again", key, path
            )
        return artifact

    def infos(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """What is known of all artefacts of a kind; the tensors are not read, unreadable side files are passed over."""
        for path in sorted(self.folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                side = json.loads(path.read_text(encoding="utf-8"))
                if side["schema"] == SCHEMA and side["info"]["kind"] == kind:
                    yield side["info"]

    def set_aside(self, key: str) -> None:
        """Rename a damaged artefact, so that it is no longer there and can still be looked at.

        Raises:
            StorageError: It cannot be renamed.
        """
        for path in (self._side(key), self.path(key)):
            try:
                with suppress(FileNotFoundError):
                    path.replace(path.with_name(f"{path.name}.damaged"))
            except OSError as error:
                raise StorageError(f"{path}: damaged, and cannot be renamed ({error.strerror})") from None

    def save(self, key: str, artifact: Artifact) -> None:
        """Write an artefact; the side file comes last and makes it valid."""
        write_atomically(self.path(key), artifact.data)
        info = dict(artifact.info)
        side = {
            "schema": SCHEMA, "key": key, "sha256": artifact.sha256, "info": info, "info_sha256": _info_hash(info),
        }  # fmt: skip
        write_atomically(self._side(key), json.dumps(side, indent=1, sort_keys=True).encode())
        self.snapshot_path(key).unlink(missing_ok=True)

    def snapshot_path(self, key: str) -> Path:
        """Where the state of an unfinished training lies."""
        return self.folder / f"{key}.partial"

    def save_snapshot(self, key: str, data: bytes) -> None:
        """Keep the state of an unfinished training, its hash before it."""
        write_atomically(self.snapshot_path(key), hashlib.sha256(data).digest() + data)

    def load_snapshot(self, key: str) -> bytes | None:
        """The last snapshot of an unfinished training, if there is one and it is whole."""
        path = self.snapshot_path(key)
        if not path.is_file():
            return None
        content = path.read_bytes()
        digest, data = content[:32], content[32:]
        return data if hashlib.sha256(data).digest() == digest else None

    def _side(self, key: str) -> Path:
        return self.folder / f"{key}.json"


class DamagedError(UserError):
    """An artefact in the cache is not what was written."""

    def __init__(self, message: str, key: str, path: Path) -> None:
        super().__init__(message)
        self.key, self.path = key, path


class StorageError(UserError):
    """A file cannot be written: no space, no permission, not a folder."""


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace ``path`` by ``data`` (or its pieces) so that a crash leaves the old file or the new one, never a part.

    Raises:
        StorageError: It could not be written; the old file is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # a temporary file is private, a result is not
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror}); nothing recorded is lost") from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _info_hash(info: object) -> str:
    return hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()


def pack_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors by name -> safetensors, independent of the order of the names."""
    from safetensors.torch import save

    data: bytes = save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})
    return data


def unpack_tensors(data: bytes, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Safetensors -> tensors by name. Raises `UserError` where ``data`` is damaged."""
    from safetensors.torch import load

    try:
        return {name: tensor.to(device) for name, tensor in load(data).items()}
    except _UNREADABLE as error:
        raise UserError(f"checkpoint: not readable as safetensors ({error})") from None


def pack_demos(demos: DemoSet) -> bytes:
    """Demo set -> safetensors."""
    arrays = {name: getattr(demos, name) for name in DemoSet.__dataclass_fields__}
    kept = {name: np.ascontiguousarray(a) for name, a in arrays.items() if len(a) or name not in _OPTIONAL}
    data: bytes = save_numpy(kept)
    return data


def unpack_demos(data: bytes) -> DemoSet:
    """Safetensors -> demo set. Raises `UserError` where arrays are missing or do not fit together."""
    try:
        arrays = load_numpy(data)
    except _UNREADABLE as error:
        raise UserError(f"demo set: not readable as safetensors ({error})") from None
    if missing := set(DemoSet.__dataclass_fields__) - _OPTIONAL - set(arrays):
        raise UserError(f"demo set: array '{min(missing)}' is missing")
    for name, (dimensions, kind) in _DEMO_ARRAYS.items():
        if name in _OPTIONAL - set(arrays):
            continue
        if arrays[name].ndim != dimensions or arrays[name].dtype.kind != kind:
            raise UserError(f"demo set: array '{name}' is {arrays[name].dtype} {list(arrays[name].shape)}")
    demos = DemoSet(**{name: arrays[name] for name in DemoSet.__dataclass_fields__ if name in arrays})
    if not len(demos.episode_ends):
        raise UserError("demo set: no episodes")
    lengths = {len(demos.point_cloud), len(demos.agent_pos), len(demos.action), int(demos.episode_ends[-1])}
    lengths |= {len(demos.image)} if "image" in arrays else set()
    known = len(demos.solved) in (0, len(demos.episode_ends))
    if not known or len(lengths) != 1 or (np.diff(demos.episode_ends, prepend=0) <= 0).any():
        raise UserError(f"demo set: lengths do not agree ({sorted(lengths)})")
    return demos
