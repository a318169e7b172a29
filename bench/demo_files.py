"""Demo sets as Zarr stores in the layout of 3D Diffusion Policy, read and written.

    data/point_cloud [T, N, 3] or [T, N, 6]    data/state [T, P]    data/action [T, A]    meta/episode_ends [E]
    data/img [T, 84, 84, 3] uint8, optional

All episodes one after the other; ``episode_ends`` holds the first frame after each. ``meta/solved`` [E] is ours and
optional: see `bench.interfaces.DemoSet`. Stores of Zarr's formats 2 and 3 are read, format 2 is written. A store comes
from strangers: only arrays of numbers are read, by codecs that run no code from the file.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.interfaces import IMAGE_SIZE, DemoSet, UserError

ARRAYS = {"point_cloud": "data/point_cloud", "agent_pos": "data/state", "action": "data/action",
          "episode_ends": "meta/episode_ends"}  # fmt: skip
SOLVED, IMAGES = "meta/solved", "data/img"
_CODECS = {"blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma", "shuffle", "delta", "crc32", "crc32c", "bytes",
           "transpose", "sharding_indexed"}  # fmt: skip
_MAX_BYTES, _MAX_CHUNKS = 16_000_000_000, 1_000_000
"""Of an array, or one of its chunks; a file of a few bytes can claim any size, and its memory would be taken."""
_CHUNK = 100  # frames, as the published scripts write them


def read_zarr(path: Path) -> tuple[DemoSet, list[str]]:
    """Read and check a store.

    Returns:
        the demo set, and what was changed on the way: lines for people.

    Raises:
        UserError: Zarr is not installed, or the store is not one, or its arrays are missing, of a wrong shape, do not
            agree with each other, or hold values that are not finite.
    """
    zarr = _zarr()
    if not path.exists():
        raise UserError(f"{path}: there is no Zarr store")
    try:
        # Not the consolidated metadata: what is checked must be what is used.
        root = zarr.open_group(str(path), mode="r", use_consolidated=False)
        there = {name: member for name, member in root.members(max_depth=None) if hasattr(member, "dtype")}
    except Exception as error:  # whatever the library raises for files that are no store
        raise UserError(f"{path}: no Zarr store can be read there ({_line(error)})") from None
    arrays = {field: _read(path, name, there) for field, name in ARRAYS.items()}
    if SOLVED in there:
        arrays["solved"] = _read(path, SOLVED, there)
    notes = []
    used = {*ARRAYS.values(), SOLVED}
    if IMAGES in there and there[IMAGES].shape[1:] == (IMAGE_SIZE, IMAGE_SIZE, 3) and there[IMAGES].dtype == np.uint8:
        arrays["image"], used = _read(path, IMAGES, there), used | {IMAGES}
    if (extra := sorted(set(there) - used)) != []:
        notes.append(f"not used: {', '.join(extra)}")
    cloud = arrays["point_cloud"]
    if cloud.ndim == 3 and cloud.shape[2] == 6:
        arrays["point_cloud"] = cloud[:, :, :3]
        notes.append("colours of the points left out")
    for field in ("episode_ends", "solved"):
        if field in arrays:
            arrays[field] = arrays[field].astype(np.int64)
    for field in ("point_cloud", "agent_pos", "action"):
        arrays[field] = np.ascontiguousarray(arrays[field], dtype=np.float32)
    demos = DemoSet(**arrays)
    check(demos, str(path))
    return demos, notes


def write_zarr(demos: DemoSet, path: Path) -> None:
    """Write a store that users of DP3 can load, whole or not at all.

    Raises:
        UserError: Zarr is not installed, something is at ``path`` already, or it cannot be written there.
    """
    zarr = _zarr()
    import numcodecs

    if path.exists():
        raise UserError(f"{path}: exists already; remove it or choose another place")
    compressor = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
    arrays = {name: getattr(demos, field) for field, name in ARRAYS.items()}
    if len(demos.solved):
        arrays[SOLVED] = demos.solved
    if len(demos.image):
        arrays[IMAGES] = demos.image
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    try:
        root = zarr.open_group(str(beside / "store"), mode="w", zarr_format=2)
        for name, array in arrays.items():
            chunks = (min(_CHUNK, len(array)), *array.shape[1:])
            root.create_array(name, data=np.ascontiguousarray(array), chunks=chunks, compressors=compressor)
        (beside / "store").rename(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    finally:
        shutil.rmtree(beside)


def check(demos: DemoSet, where: str, names: Mapping[str, str] = ARRAYS) -> None:
    """Refuse arrays that are no demo set. Raises `UserError` naming the array, and the frame where there is one.

    ``names`` are those of the arrays in the file.
    """
    shapes = {"point_cloud": "[T, N, 3]", "agent_pos": "[T, P]", "action": "[T, A]", "episode_ends": "[E]"}
    for field, shape in shapes.items():
        array = getattr(demos, field)
        if array.ndim != shape.count(",") + 1 or (field == "point_cloud" and array.shape[2] != 3):
            raise UserError(f"{where}: {names[field]} has shape {list(array.shape)}, expected {shape}")
    lengths = {names[field]: len(getattr(demos, field)) for field in ("point_cloud", "agent_pos", "action")}
    if len(demos.image):
        lengths[IMAGES] = len(demos.image)
    if len(set(lengths.values())) != 1:
        raise UserError(f"{where}: numbers of frames differ: {', '.join(f'{k} {v}' for k, v in lengths.items())}")
    ends, frames = demos.episode_ends, len(demos.action)
    if not len(ends) or ends[-1] != frames or (np.diff(ends, prepend=0) <= 0).any():
        raise UserError(
            f"{where}: {names['episode_ends']} must rise to the number of frames, {frames}, and does not: "
            f"{np.array2string(ends, threshold=6)}"
        )
    solved = demos.solved
    if len(solved) and (solved.shape != ends.shape or (solved < [0, *ends[:-1]]).any() or (solved >= ends).any()):
        raise UserError(f"{where}: {SOLVED} must hold one frame of each episode")
    for field in ("point_cloud", "agent_pos", "action"):
        bad = ~np.isfinite(getattr(demos, field)).reshape(frames, -1).all(axis=1)
        if bad.any():
            frame = int(bad.argmax())
            episode = int(np.searchsorted(ends, frame, side="right"))
            raise UserError(f"{where}: {names[field]} is not finite in frame {frame} (episode {episode})")


def _read(path: Path, name: str, there: Mapping[str, Any]) -> np.ndarray:
    if name not in there:
        raise UserError(f"{path}: array '{name}' is missing; there are: {', '.join(sorted(there)) or 'none'}")
    array = there[name]
    kinds = "iu" if name.startswith("meta/") else "fiu"
    if getattr(array.dtype, "kind", "O") not in kinds:
        raise UserError(
            f"{path}: array '{name}' is of type {array.dtype}, expected {'whole ' * (kinds == 'iu')}numbers"
        )
    claimed = array.dtype.itemsize * max(math.prod(array.shape), math.prod(array.chunks))
    chunks = math.prod(-(-size // max(1, chunk)) for size, chunk in zip(array.shape, array.chunks, strict=True))
    if claimed > _MAX_BYTES or chunks > _MAX_CHUNKS:
        raise UserError(
            f"{path}: array '{name}' claims {claimed} bytes in {chunks} chunks, at most {_MAX_BYTES} in {_MAX_CHUNKS} "
            "are read"
        )
    metadata = array.metadata.to_dict()
    codecs = set(_codec_names([metadata.get(key) for key in ("compressor", "filters", "codecs")]))
    if odd := sorted(codecs - _CODECS):
        raise UserError(f"{path}: array '{name}' uses the codec '{odd[0]}', which is not read from files of others")
    try:
        return np.asarray(array[...])
    except Exception as error:
        raise UserError(f"{path}: array '{name}' is damaged ({_line(error)})") from None


def _codec_names(part: Any) -> Iterator[str]:
    """The codecs that a piece of metadata names, nested ones included."""
    if isinstance(part, Mapping):
        if name := part.get("id") or part.get("name"):
            yield str(name)
        for key in ("configuration", "codecs", "index_codecs"):
            yield from _codec_names(part.get(key))
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _codec_names(item)
    elif part is not None and not isinstance(part, str | int | float):
        yield type(part).__name__  # an object instead of its description: not known, and so refused


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        raise UserError("Zarr stores need the package zarr: pip install 'visuomotor-bench[zarr]'") from None
    return zarr


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
