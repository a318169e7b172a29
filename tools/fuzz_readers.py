"""Fuzz whatever reads files that others may have written: records, manifest, checkpoints, demo sets, cache.

    python tools/fuzz_readers.py --inputs 1000000

Valid files are changed in ways that Hypothesis draws. A reader must return something that was written, or refuse it
with `UserError`; anything else ends the program with the smallest change that shows it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bench.artifacts import Artifact, Cache, pack_demos, pack_tensors, unpack_demos, unpack_tensors
from bench.interfaces import DemoSet, UserError
from bench.records import FILES
from bench.rows import encode
from bench.spec import RunSpec, canonical_json
from bench.store import MANIFEST, RunFolder, read_manifest, read_rows

KEY = "0123456789abcdef0123"
CELL = {
    "key": KEY, "suite": "fake", "task": "fake/walk", "difficulty": None, "method": "base", "profile": "smoke",
    "training_seed": 0,
}  # fmt: skip
EPISODE = {
    **CELL, "schema": "episode/1", "variant": "base@nfe=2", "seed": 7, "state_hash": "0" * 16, "success_ever": True,
    "success_end": False, "steps": 12, "steps_to_success": 4, "return": 1.5, "error": None, "checkpoint": "ab" * 32,
    "nfe": 2, "executed_steps": 3, "engine": "fake 1.0", "assets": "fake/1", "versions": {"python": "3.11"},
}  # fmt: skip
CURVE = {
    **CELL, "schema": "curve/1", "step": 10, "epoch": 1, "episodes": 2, "successes": 1, "losses": {"loss": 0.25},
}  # fmt: skip
TOKENS = [
    b"null", b"NaN", b"1e999", b"-1", b"0.5", b"true", b'""', b"[]", b"{}", b'"x"', b"\\ud800", b"\xff\xfe", b"\n",
    b"\0", b"9" * 400, b"[" * 3000, b'{"a":' * 3000, b"18446744073709551615", b',"check":"00000000"}', b'"BOOL"',
]  # fmt: skip

Change = tuple[str, int, int, bytes]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "delete", "double", "replace", "insert", "move"]), st.integers(0, 2**16),
        st.integers(1, 64), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def change(data: bytes, changes: list[Change]) -> bytes:
    """Apply changes one after the other, places taken modulo the length."""
    for kind, place, length, token in changes:
        at = place % (len(data) + 1)
        head, part, tail = data[:at], data[at : at + length], data[at + length :]
        match kind:
            case "flip":
                part = bytes([part[0] ^ 1 << length % 8]) + part[1:] if part else part
                data = head + part + tail
            case "cut":
                data = head
            case "delete":
                data = head + tail
            case "double":
                data = head + part + part + tail
            case "replace":
                data = head + token + tail
            case "insert":
                data = head + token + part + tail
            case "move":
                data = tail + head + part
    return data


class Readers:
    """Each takes changed bytes; raises `UserError` where they are refused and `AssertionError` where they should be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder / "run", Cache(folder / "cache")
        with RunFolder(self.folder, RunSpec(("base",), ("fake/walk",), (0,), "smoke", 2), KEY) as run:
            run.write_manifest({
                "command": "bench run", "created": "now", "wall_seconds": 1.5, "device": "cpu", "versions": {"a": "1"},
                "git": {"dirty": False}, "hardware": {"cores": 2}, "packages": {"a": "1"}, "keys": {"train": KEY},
            })  # fmt: skip
        manifest = (self.folder / MANIFEST).read_bytes()
        self._manifest = read_manifest(self.folder)
        self._episodes = [{**EPISODE, "episode": i} for i in range(3)]
        episodes = b"".join(encode(row, FILES["episodes"]) for row in self._episodes)
        plain = b"".join(canonical_json(row).encode() + b"\n" for row in self._episodes)
        curves = encode(CURVE, FILES["curves"]) * 2
        tensors = pack_tensors({"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)})
        demos = pack_demos(
            DemoSet(
                np.zeros((4, 2, 3), np.float32), np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32),
                np.array([2, 4]), np.array([1, 3]),
            )
        )  # fmt: skip
        self._artifact = Artifact(tensors, {"kind": "train", "curve": [{"step": 1}]})
        self.cache.save(KEY, self._artifact)
        side = self.cache.path(KEY).with_suffix(".json")
        self.all: dict[str, tuple[bytes, Callable[[bytes], None]]] = {
            "records": (episodes, partial(self._records, "episodes", self._episodes)),
            "records without checks": (plain, partial(self._records, "episodes", None)),
            "learning curves": (curves, partial(self._records, "curves", [CURVE])),
            "manifest": (manifest, self._read_manifest),
            "checkpoint": (tensors, self._checkpoint),
            "demo set": (demos, self._demos),
            "artefact": (tensors, partial(self._load, self.cache.path(KEY))),
            "artefact's side file": (side.read_bytes(), partial(self._load, side)),
            "snapshot": (tensors, self._snapshot),
        }

    def _records(self, name: str, written: list[dict] | None, data: bytes) -> None:
        path = self.folder / f"{name}.jsonl"
        path.write_bytes(data)
        rows = read_rows(path)
        assert written is None or all(row in written for row in rows), "a changed row was accepted"

    def _read_manifest(self, data: bytes) -> None:
        path = self.folder / MANIFEST
        whole = path.read_bytes()
        path.write_bytes(data)
        try:
            assert read_manifest(self.folder) == self._manifest or b'"check"' not in data, "a change was accepted"
        finally:
            path.write_bytes(whole)

    def _checkpoint(self, data: bytes) -> None:
        assert all(isinstance(t, torch.Tensor) for t in unpack_tensors(data).values())

    def _demos(self, data: bytes) -> None:
        demos = unpack_demos(data)
        assert len(demos.action) == len(demos.point_cloud) == len(demos.agent_pos) == demos.episode_ends[-1]
        assert len(demos.solved) in (0, len(demos.episode_ends))

    def _load(self, path: Path, data: bytes) -> None:
        whole = path.read_bytes()
        path.write_bytes(data)
        try:
            assert self.cache.load(KEY) == self._artifact, "a change was accepted"
        finally:
            path.write_bytes(whole)

    def _snapshot(self, data: bytes) -> None:
        self.cache.save_snapshot(KEY, self._artifact.data)
        self.cache.snapshot_path(KEY).write_bytes(data)
        assert self.cache.load_snapshot(KEY) is None, "a change was accepted"


def fuzz(inputs: int, first_seed: int, folder: Path) -> dict[str, Counter[str]]:
    """Feed at least so many inputs to the readers; returns how many each took and refused."""
    readers = Readers(folder)
    counts: dict[str, Counter[str]] = {name: Counter() for name in readers.all}

    def feed(changes: list[Change]) -> None:
        for name, (data, read) in readers.all.items():
            changed = change(data, changes)
            if changed == data:
                continue
            try:
                read(changed)
            except UserError as error:
                if len(str(error).splitlines()) != 1:
                    raise RuntimeError(f"{name}: refused in more than one line") from error
                counts[name]["refused"] += 1
            else:
                counts[name]["taken"] += 1

    calm = settings(
        max_examples=500, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    start, rounds = time.monotonic(), 0
    while (done := sum(c.total() for c in counts.values())) < inputs:
        seed(first_seed + rounds)(calm(given(CHANGES)(feed)))()
        rounds += 1
        if rounds % 20 == 0:
            print(f"{done} inputs, {time.monotonic() - start:.0f} s", flush=True)
    return counts


def main() -> None:
    """Fuzz and print what happened, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        counts = fuzz(args.inputs, args.seed, Path(name))
    total = sum(c.total() for c in counts.values())
    print(
        json.dumps({"inputs": total, "seed": args.seed, "readers": {k: dict(v) for k, v in counts.items()}}, indent=1)
    )


if __name__ == "__main__":
    main()
