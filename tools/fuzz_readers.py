"""Fuzz whatever reads files of others: records, artefacts, replays, submissions, demo sets, weights, TOML.

    python tools/fuzz_readers.py --inputs 1000000 --jobs 16 --log fuzz.jsonl

Valid files are changed (`fuzz_inputs`) and read. A reader must return something that holds, or refuse the file by
`UserError` in one line, within `SLOW_S` seconds. It must not write, rename or remove anything outside its folder, start
a process, connect, unpickle, or execute code. All else is a fault: counted, shown once per place with the seed that
makes it again, and the exit code is 1.

Inputs come in chunks of 10,000, each determined by ``--seed`` and its number. With ``--log`` every finished chunk is a
line of a file, and those that are there already are not done again.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import random
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
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

CHUNK = 10_000
SLOW_S, MEMORY = 60.0, 2 << 30
"""Seconds by the clock that an input may take, and bytes on top of what a process has from the start."""
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
WRITES = {
    "os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1,
}  # fmt: skip
"""Audit events of Python, beside ``open``, that change files, and how many paths each begins with."""
NEVER = ("exec", "pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system", "os.exec", "os.fork",
         "os.posix_spawn", "socket.connect")  # fmt: skip
"""Audit events that no reader has a reason for."""


class Guard:
    """Watches what this process asks the system for, by Python's audit events; armed while a file is read."""

    def __init__(self, folder: Path) -> None:
        self._inside, self.armed = os.path.realpath(folder), False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._check(event, path)
        elif event in WRITES:
            # Relative to an open folder (last argument) is what removes a tree, whose own path was looked at.
            relative = isinstance(arguments[-1], int) and arguments[-1] >= 0
            if event == "os.truncate" or not relative:
                for path in arguments[: WRITES[event]]:
                    self._check(event, path)
        elif event in ("marshal.loads", "exec") and "importlib" in sys._getframe(1).f_code.co_filename:
            pass  # a library imports a module when it first needs it, as `json` does the codec of what it reads
        elif event in NEVER:
            self.seen.append(re.sub(" at 0x[0-9a-f]+", "", f"{event} {arguments!r:.200}"))

    def _check(self, event: str, path: Any) -> None:
        if not isinstance(path, int):
            folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
            if not os.path.join(os.path.realpath(folder), name).startswith(self._inside + os.sep):
                self.seen.append(f"{event} {os.fsdecode(path)!r}")


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


class Fuzzer:
    """Feeds changed files to readers."""

    def __init__(self, folder: Path, found: Mapping[str, Reader] | None = None) -> None:
        (folder / "temporary").mkdir()
        tempfile.tempdir = str(folder / "temporary")
        self.readers = dict(found or readers(folder))
        for reader in self.readers.values():  # what is imported late is imported now
            reader.read(reader.valid)
        self._names, self._weights = list(self.readers), [reader.weight for reader in self.readers.values()]
        self._guard = Guard(folder)

    def chunk(self, seed: int, number: int, inputs: int = CHUNK, only: int | None = None) -> dict[str, Any]:
        """One chunk, or one input of it; what was taken and refused by reader, and the first input for each fault."""
        rng = random.Random(f"{seed}/{number}")
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        faults: dict[str, int] = {}
        for place in range(inputs):
            [name] = rng.choices(self._names, self._weights)
            reader = self.readers[name]
            while (changed := reader.change(rng, reader.valid)) == reader.valid:
                pass
            if only in (None, place):
                outcome, fault = self._feed(reader, changed)
                counts[name][outcome] += 1
                if fault:
                    faults.setdefault(f"{name}: {fault}", place)
        return {"seed": seed, "chunk": number, "inputs": inputs, "readers": counts, "faults": faults}

    def _feed(self, reader: Reader, changed: Any) -> tuple[str, str | None]:
        start, outcome, fault = time.monotonic(), "taken", None
        self._guard.seen.clear()
        self._guard.armed = True
        try:
            reader.read(changed)
        except UserError as error:
            outcome = "refused"
            if len(str(error).splitlines()) != 1:
                fault = f"refused in more than one line: {error!r:.300}"
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-3:]
            calls = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in at)
            outcome, fault = "fault", f"{type(error).__name__} at {calls}: {error!s:.300}"
        finally:
            self._guard.armed = False
        if self._guard.seen:
            fault = f"did what no reader may do: {self._guard.seen[0]}"
        elif time.monotonic() - start > SLOW_S:
            fault = f"took more than {SLOW_S:.0f} s"
        return outcome, fault


_fuzzer: Fuzzer


def _begin(folder: str) -> None:
    """What a process does first."""
    global _fuzzer
    faulthandler.enable()
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")  # about files that are strange
    logging.disable(logging.CRITICAL)
    _fuzzer = Fuzzer(Path(tempfile.mkdtemp(dir=folder)))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, -1))


def _chunk(seed: int, number: int, only: int | None = None) -> dict[str, Any]:
    return _fuzzer.chunk(seed, number, only=only)


def run(seed: int, chunks: Iterable[int], jobs: int) -> Iterator[dict[str, Any]]:
    """The results of chunks as they come, worked on by so many processes."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=memory, prefix="fuzz-") as folder,
        ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (folder,)) as pool,
    ):
        for done in as_completed([pool.submit(_chunk, seed, number) for number in chunks]):
            yield done.result()


def total(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over chunks, and where each fault was seen first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    faults: dict[str, str] = {}
    inputs = 0
    for result in results:
        inputs += result["inputs"]
        for name, count in result["readers"].items():
            counts[name].update(count)
        for fault, place in result["faults"].items():
            faults.setdefault(fault, f"--seed {result['seed']} --only {result['chunk']}:{place}")
    return {"inputs": inputs, "faults": faults, "readers": {k: dict(counts[k]) for k in sorted(counts)}}


def main() -> int:
    """Fuzz and print what happened, as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--log", type=Path, help="finished chunks, to go on from")
    parser.add_argument("--only", metavar="CHUNK:INPUT", help="one input again, which is shown")
    args = parser.parse_args()
    if args.only:
        chunk, place = map(int, args.only.split(":"))
        with tempfile.TemporaryDirectory() as folder:
            _begin(folder)
            print(json.dumps(_chunk(args.seed, chunk, place), indent=1))
        return 0
    lines = args.log.read_text().splitlines() if args.log and args.log.exists() else []
    done = [result for result in map(json.loads, lines) if result["seed"] == args.seed]
    wanted = set(range(-(-args.inputs // CHUNK))) - {result["chunk"] for result in done}
    start = time.monotonic()
    for count, result in enumerate(run(args.seed, sorted(wanted), args.jobs), 1):
        done.append(result)
        if args.log:
            with args.log.open("a") as file:
                file.write(json.dumps(result) + "\n")
        rate = count * CHUNK / (time.monotonic() - start)
        print(f"{len(done) * CHUNK:,} inputs, {rate:,.0f}/s, {len(total(done)['faults'])} faults", flush=True)
    summary = total(done)
    print(json.dumps(summary, indent=1))
    return 1 if summary["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
