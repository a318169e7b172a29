"""What is fuzzed: all that reads files of others, each with a valid file, the ways to change it, and what must hold."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_inputs import (
    Change,
    change_archive,
    change_bytes,
    change_dataset,
    change_files,
    change_header,
    change_json,
    change_line,
    change_manifest,
)  # fmt: skip

from bench import registry
from bench.artifacts import Artifact, Cache, pack_demos, pack_tensors, unpack_demos, unpack_tensors
from bench.costs import Costs
from bench.demo_files import read_zarr, write_zarr
from bench.demo_minari import read_minari, write_minari
from bench.interfaces import IMAGE_SIZE, DemoSet, UserError
from bench.published import load_published
from bench.records import FILES
from bench.replay import pack as pack_replay
from bench.rows import encode
from bench.store import MANIFEST, read_manifest, read_replay, read_rows
from bench.submission import submit, validate
from bench.weights import import_weights
from tests.bench.report.synthetic import make_replay, make_run, save_run

KEY = "0123456789abcdef0123"
TASK = "metaworld/drawer-open"  # of imported weights
OTHERS = {
    "errors": {
        "schema": "error/1", "key": KEY, "unit": "train", "task": "fake/walk", "method": "base", "training_seed": 0,
        "error": "RuntimeError: <b>", "traceback": "Traceback\n  line", "attempts": 1,
    },
    "timings": {
        "schema": "timing/1", "key": KEY, "unit": "train", "task": "fake/walk", "method": "base", "training_seed": 0,
        "attempts": 1, "seconds": 0.5,
    },
}  # fmt: skip
"""Rows that a synthetic run lacks."""
TOML = b"""schema = "published/1"
[ports]
fake = "no copy"
[[sources]]
name = "a page"
engines = { fake = "1.0" }
success = { fake = "ever" }
training_seeds = 3
figures = [
  { trust = "derived", method = "DP3", suite = "x", group = "all", metric = "inference_time", value = 1, unit = "ms" },
]
"""


@dataclass(frozen=True)
class Reader:
    """Something that reads, what it can read, and how that is changed."""

    weight: int  # share of the inputs
    valid: Any
    change: Callable[[random.Random, Any], Any]
    read: Callable[[Any], None]  # raises `UserError` where it refuses, `AssertionError` where it should have


def readers(folder: Path) -> dict[str, Reader]:
    """All of them, by name; what they read lies in ``folder``."""
    run = make_run(["fake/walk"], {"base": 0.5}, episodes=2, control_hz=20)
    replays = [make_replay(run, "fake/walk", "base", success=success) for success in (True, False)]
    source = save_run(run, folder / "source", [r for r in replays if r])
    for name, row in OTHERS.items():
        (source / f"{name}.jsonl").write_bytes(encode(row, FILES[name]))
    archive = submit(source, folder / "source.zip").read_bytes()
    tensors = pack_tensors({"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)})
    network = pack_tensors(registry.methods().make("bc", registry.tasks().specs()[TASK], "smoke", {}).state())
    numbers = {"point_cloud": np.zeros((4, 2, 3), np.float32), "agent_pos": np.zeros((4, 3), np.float32),
               "action": np.zeros((4, 2), np.float32)}  # fmt: skip
    demos = DemoSet(**numbers, episode_ends=np.array([2, 4]), solved=np.array([1, 3]))
    artifact = Artifact(tensors, {"kind": "train", "curve": [{"step": 1}]})
    cache = Cache(folder / "cache")
    cache.save(KEY, artifact)
    side = cache.path(KEY).with_suffix(".json")
    manifest = (source / MANIFEST).read_bytes()
    read_costs = partial(_through_file, folder / "costs.json", lambda path: Costs(path) and None)
    found = {
        "manifest": Reader(6, manifest, change_bytes, partial(_manifest, folder, read_manifest(source))),
        "manifest, checked anew": Reader(6, manifest, change_manifest, partial(_manifest, folder, None)),
        "checkpoint": Reader(8, tensors, change_header, _checkpoint),
        "demo set": Reader(8, pack_demos(demos), change_header, _demos),
        "artefact": Reader(4, tensors, change_header, partial(_artifact, cache, cache.path(KEY), artifact)),
        "artefact's side file": Reader(4, side.read_bytes(), _either, partial(_artifact, cache, side, artifact)),
        "snapshot": Reader(2, cache_snapshot(cache, tensors), change_bytes, partial(_snapshot, cache, tensors)),
        "replay": Reader(
            8, pack_replay(next(r for r in replays if r)), change_header,
            partial(_through_file, folder / "x.safetensors", read_replay),
        ),
        "submission": Reader(2, archive, change_archive, partial(_through_file, folder / "x.zip", validate)),
        "imported weights": Reader(
            1, network, change_header, partial(_through_file, folder / "w.safetensors", _weights)
        ),
        "published figures": Reader(4, TOML, change_bytes, partial(_through_file, folder / "x.toml", load_published)),
        "costs": Reader(2, b'{"train:base":1.5,"demos":2}', _either, read_costs),
    }  # fmt: skip
    for name in FILES:
        data = (source / f"{name}.jsonl").read_bytes()
        path = folder / f"{name}.jsonl"
        rows = read_rows(source / f"{name}.jsonl")
        found[name] = Reader(3, data, change_bytes, partial(_records, path, rows))
        found[f"{name}, checked anew"] = Reader(3, data, change_line, partial(_records, path, None))
    images = np.zeros((4, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    stores = {
        "Zarr store": (write_zarr, demos, change_files, _zarr),
        "Zarr store with images": (write_zarr, replace(demos, image=images), change_files, _zarr),
        "Minari dataset": (write_minari, demos, change_dataset, _minari),
    }
    for i, (name, (write, held, change, read)) in enumerate(stores.items()):
        place = folder / f"valid-v{i}"
        try:
            write(held, place)
        except UserError as error:  # zarr or minari is not installed
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        files = {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
        found[name] = Reader(1, files, change, partial(_through_folder, folder / "x-v0", read))
    return found


def cache_snapshot(cache: Cache, data: bytes) -> bytes:
    """What lies on the disk for a snapshot."""
    cache.save_snapshot(KEY, data)
    return cache.snapshot_path(KEY).read_bytes()


def _either(rng: random.Random, data: bytes) -> bytes:
    change: Change = change_bytes if rng.random() < 0.5 else change_json
    return change(rng, data)


def _through_file(path: Path, read: Callable[[Path], object], data: bytes) -> None:
    path.write_bytes(data)
    read(path)


def _records(path: Path, written: list[dict[str, Any]] | None, data: bytes) -> None:
    path.write_bytes(data)
    rows = read_rows(path)
    if written is not None and data.count(b',"check":"') >= len(rows):  # lines without a check may say anything
        assert all(row in written for row in rows), "a changed row was accepted"
    for row in rows:  # what was read can be written
        encode(row, FILES[path.stem])


def _manifest(folder: Path, written: dict[str, Any] | None, data: bytes) -> None:
    (folder / MANIFEST).write_bytes(data)
    found = read_manifest(folder)
    assert written is None or found == written or b'"check": "' not in data, "a change was accepted"


def _checkpoint(data: bytes) -> None:
    assert all(isinstance(t, torch.Tensor) for t in unpack_tensors(data).values())


def _demos(data: bytes) -> None:
    _whole(unpack_demos(data))


def _weights(path: Path) -> None:
    for artifact in import_weights({(TASK, 0): path}, "bc", "smoke").artifacts.values():
        assert all(torch.isfinite(tensor).all() for tensor in unpack_tensors(artifact.data).values())


def _artifact(cache: Cache, path: Path, written: Artifact, data: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        assert cache.load(KEY) == written, "a change was accepted"
    finally:
        path.write_bytes(whole)


def _snapshot(cache: Cache, written: bytes, data: bytes) -> None:
    cache.snapshot_path(KEY).write_bytes(data)
    found = cache.load_snapshot(KEY)
    assert found is None or found == written, "a change was accepted"
    if found is None:
        raise UserError("a damaged snapshot is as none")


def _through_folder(path: Path, read: Callable[[Path], object], files: Mapping[str, bytes]) -> None:
    for old in [p for p in path.rglob("*") if p.is_file()] if path.exists() else []:
        old.unlink()
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    read(path)


def _zarr(path: Path) -> None:
    _whole(read_zarr(path)[0])


def _minari(path: Path) -> None:
    _whole(read_minari(path)[0])


def _whole(demos: DemoSet) -> None:
    assert len(demos.action) == len(demos.point_cloud) == len(demos.agent_pos) == demos.episode_ends[-1]
    assert len(demos.solved) in (0, len(demos.episode_ends))
    assert len(demos.image) in (0, len(demos.action))
