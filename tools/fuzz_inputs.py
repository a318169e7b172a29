"""Valid files of every kind that is read, and ways to spoil them: blindly, or knowing how they are made.

A change takes a `random.Random` and what is valid, and returns something else. Changes that know the format set checks,
lengths and hashes anew, so that what is behind these is reached too.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from bench.submission.archive import INDEX

TOKENS = [
    b"null", b"NaN", b"1e999", b"-1", b"0.5", b"true", b'""', b"[]", b"{}", b'"x"', b"\\ud800", b"\xff\xfe", b"\n",
    b"\0", b"9" * 400, b"[" * 3000, b'{"a":' * 3000, b"18446744073709551615", b',"check":"00000000"}', b'"BOOL"',
    b"'''", b"= ", b"[[a]]", b"../", b"\xf0\x9f\xa4\x96",
]  # fmt: skip
RAW = [
    b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 5000, b"[" * 3000 + b"]" * 3000, b'"\\ud800"', b'"\\u0000"', b"01",
    b'{"a":1,"a":2}', b'"\xff"',
]  # fmt: skip
"""What no Python value becomes as JSON."""
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 5e-324, "", "x", "0" * 20, "f" * 64,
    "../../x", "/x", "a\nb", "<script>", "x" * 5000, [], {}, [None], [0], {"a": None}, [1e308, -1e308], [[[[]]]],
]  # fmt: skip
NAMES = [
    "../x", "/x", "..\\x", "C:\\x", "replays/../../x", "episodes.jsonl/", "x.pkl", "replays/x.safetensors", "a\0b", "",
    "episodes.JSONL", "~/x", "n" * 300, "\u202ex", "CON", "manifest.json", ".", "./episodes.jsonl",
]  # fmt: skip
"""For the entries of an archive; ``manifest.json`` is there already."""

Change = Callable[[random.Random, bytes], bytes]


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four places, without a thought of what they are."""
    for _ in range(rng.randint(1, 4)):
        at, length, token = rng.randint(0, len(data)), rng.randint(1, 64), _token(rng)
        head, part, tail = data[:at], data[at : at + length], data[at + length :]
        kind = rng.randrange(8)
        if kind <= 1:
            data = head + bytes([part[0] ^ 1 << rng.randrange(8)]) + part[1:] + tail if part else head
        elif kind == 2:
            data = head if rng.random() < 0.3 else head + tail
        elif kind == 3:
            data = head + part + part + tail
        elif kind == 4:
            data = head + token + data[at + len(token) :]
        elif kind == 5:
            data = head + token + tail
        elif kind == 6:
            data = head + token + part + tail
        else:
            data = tail + head + part
    return data


def change_json(rng: random.Random, data: bytes) -> bytes:
    """One or two values of a JSON text: another one, of another type, gone, doubled, deeper, or named otherwise."""
    tree = json.loads(data)
    raw = None
    for _ in range(rng.randint(1, 2)):
        holder, key = rng.choice(list(_places(tree)) or [([tree], 0)])
        value, kind = holder[key], rng.randrange(8)
        if kind <= 1:
            holder[key] = deepcopy(rng.choice(VALUES))  # the second change may be inside of it
        elif kind == 2:
            holder[key], raw = "@raw@", rng.choice(RAW)
        elif kind == 3:
            holder[key] = _nearby(rng, value)
        elif kind == 4:
            del holder[key]
        elif kind == 5:
            holder[key] = rng.choice([[value], {"a": value}, [value, value], str(value)])
        elif isinstance(holder, dict):
            holder[rng.choice(["x", "check", "schema", "", key + " ", key.upper(), "__class__"])] = value
            if kind == 6:
                holder.pop(key, None)
        else:
            holder.insert(key, value)
    text = json.dumps(tree, separators=(",", ":")).encode()
    return text if raw is None else text.replace(b'"@raw@"', raw)


def change_line(rng: random.Random, data: bytes) -> bytes:
    """One row of a records file, its check set anew: nothing but the schema is left to refuse it."""
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    row, check, _ = lines[at].rpartition(b',"check":')
    text = change_json(rng, row + b"}" if check else lines[at])
    lines[at] = text[:-1] + b',"check":"%08x"}\n' % zlib.crc32(text)
    return b"".join(lines)


def change_header(rng: random.Random, data: bytes) -> bytes:
    """The header of a safetensors file, its length set anew; or any bytes of it."""
    if rng.random() < 0.4:
        return change_bytes(rng, data)
    end = 8 + int.from_bytes(data[:8], "little")
    header = change_json(rng, data[8:end])
    length = len(header) if rng.random() < 0.9 else rng.choice([0, 1, 2**31, 2**63, 2**64 - 1, len(header) + 1])
    return length.to_bytes(8, "little") + header + data[end:]


def change_manifest(rng: random.Random, data: bytes) -> bytes:
    """A manifest, its check set anew as far as it is still an object."""
    from bench.store import _check

    changed = change_json(rng, data)
    try:
        tree = json.loads(changed)
        tree.pop("check", None)
        return json.dumps({**tree, "check": _check(tree)}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return changed


def change_archive(rng: random.Random, data: bytes) -> bytes:
    """A submission: its bytes, its index, what is in it with hashes set anew, or its names and kinds of entries."""
    kind = rng.randrange(8)
    if kind <= 1:
        return change_bytes(rng, data)
    contents, index = dict(_contents(data)), None
    name = rng.choice(sorted(contents))
    entry = zipfile.ZipInfo(name)
    if kind <= 4:
        change: Change = change_bytes if rng.random() < 0.3 else _change_of(name)
        contents[name] = change(rng, contents[name])
    elif kind == 5:
        index = change_json(rng, _index(contents))
    elif kind == 6:
        entry.filename = rng.choice(NAMES)
        contents[entry.filename] = contents.pop(name) if rng.random() < 0.5 else b"x"
    else:
        entry.external_attr = rng.choice([stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, 0]) << 16
        entry.extra = rng.choice([b"", b"\1\0\x08\0" + b"\xff" * 8, b"\x75\x70\1\0x"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(INDEX, index or _index(contents))
        for file, content in contents.items():
            info = entry if file == entry.filename else zipfile.ZipInfo(file)
            info.compress_type = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            archive.writestr(info, content, compresslevel=1)
    packed = out.getvalue()
    if kind == 7 and rng.random() < 0.5:  # sizes, flags and methods of entries lie in front of their names
        at = packed.find(name.encode()) - rng.randint(2, 46)
        packed = packed[: max(0, at)] + rng.randbytes(2) + packed[max(0, at) + 2 :]
    return packed


def change_files(rng: random.Random, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """One or two files of a folder: JSON as such, others blindly, or gone, swapped or new."""
    changed = dict(files)
    for _ in range(rng.randint(1, 2)):
        name, other = rng.choice(sorted(changed)), rng.choice(sorted(changed))
        kind = rng.randrange(8)
        if kind <= 3 and changed[name][:1] == b"{":
            try:
                changed[name] = change_json(rng, changed[name])
            except (ValueError, RecursionError):
                changed[name] = change_bytes(rng, changed[name])
        elif kind <= 5:
            changed[name] = change_bytes(rng, changed[name])
        elif kind == 6 and len(changed) > 1:
            del changed[name]
        else:
            changed[name], changed[other] = changed[other], changed[name]
    return changed


def change_dataset(rng: random.Random, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a Minari dataset; or what is in its HDF5 file, by names, shapes, types and links; or its spaces."""
    changed, kind = dict(files), rng.randrange(8)
    if kind <= 1:
        return change_files(rng, files)
    name = next(name for name in files if name.endswith((".json", ".hdf5")[kind > 2]))
    if kind == 2:
        about = json.loads(files[name])
        space = rng.choice(["observation_space", "action_space"])
        about[space] = change_json(rng, about[space].encode()).decode("utf-8", "replace")
        changed[name] = json.dumps(about).encode()
    else:
        changed[name] = _change_hdf5(rng, files[name])
    return changed


def _change_hdf5(rng: random.Random, data: bytes) -> bytes:
    """One or two of its groups and arrays: gone, renamed, linked to, or others in their place."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(rng.randint(1, 2)):
            names: list[str] = []
            file.visit(names.append)
            name, other, kind = rng.choice(names), rng.choice(names), rng.randrange(8)
            if kind == 7:
                file[name].attrs[rng.choice(["id", "seed", "total_steps", "x/y"])] = rng.choice([0, -1, 2**40, "x"])
                continue
            old = file[name]
            shape = getattr(old, "shape", (3,))
            del file[name]
            if kind == 1:
                file[rng.choice([name + "\n", name + "/x", "x", name.upper()])] = old
            elif kind == 2:
                links = [h5py.SoftLink("/" + other), h5py.SoftLink("/nowhere"), h5py.ExternalLink("x.hdf5", "/")]
                file[name] = rng.choice(links)
            elif kind == 3 and other in file:
                file[name] = file[other]  # two names of one thing, which may be a group that it is in
            elif kind >= 4:
                shape = rng.choice([shape, shape, shape, shape[1:], shape[:1], shape * 2, ()])
                shape = tuple(size + rng.choice([0] * 9 + [1, -size, 2**34]) for size in shape)
                kinds = ["f4", "f8", "i8", "u1", "S3", "c8", "f4,i4", "?", h5py.string_dtype(), h5py.ref_dtype]
                dtype = rng.choice(kinds)
                fill = rng.choice([0, 1, 1e308, float("nan"), -1]) if dtype in ("f4", "f8") else None
                file.create_dataset(name, shape, dtype, fillvalue=fill, maxshape=(None,) * len(shape) or None)
    return buffer.getvalue()


def _token(rng: random.Random) -> bytes:
    return rng.choice(TOKENS) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 8))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key or index) in a JSON value; the items of a long list by its first ones."""
    if isinstance(tree, dict):
        items: list[tuple[Any, Any]] = list(tree.items())
    else:
        items = list(enumerate(tree[:4])) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _nearby(rng: random.Random, value: Any) -> Any:
    """A value of the same type, so that more than the type has to be looked at."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 1000, -(2**40)])
    if isinstance(value, float):
        return value * rng.choice([-1.0, 0.0, 2.0, 1e-300, 1e300]) + rng.choice([0.0, 1e-9])
    if isinstance(value, str):
        at = rng.randint(0, len(value))
        return value[:at] + rng.choice(["", "a", "@", "/", "é", "\x7f", "0"]) + value[at + 1 :]
    if isinstance(value, list):
        return rng.choice([value[::-1], value[1:], value + value, sorted(map(str, value))])
    return value


def _change_of(name: str) -> Change:
    if name.endswith(".jsonl"):
        return change_line
    return change_manifest if name.endswith(".json") else change_header


@cache
def _contents(archive: bytes) -> tuple[tuple[str, bytes], ...]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return tuple((name, file.read(name)) for name in file.namelist() if name != INDEX)


def _index(contents: Mapping[str, bytes]) -> bytes:
    parts = {k: {"bytes": len(v), "sha256": hashlib.sha256(v).hexdigest()} for k, v in contents.items()}
    return json.dumps({"schema": "submission/1", "name": "run", "files": parts}).encode()
