"""Fuzz whatever reads files of others: records, artefacts, replays, submissions, demo sets, weights, TOML.

    python tools/fuzz_readers.py --inputs 1000000 --jobs 16 --log fuzz.jsonl

Valid files are changed (`fuzz_inputs`) and read. A reader must return something that holds, or refuse the file by
`UserError` in one line, within a minute. It must not write, rename or remove anything outside its folder, start
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
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from fuzz_guard import Guard
from fuzz_targets import Reader, readers

CHUNK = 10_000
MEMORY = 2 << 30
"""Bytes that a process may take on top of what it has from the start."""


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
                outcome, fault = self._guard.feed(reader.read, changed)
                counts[name][outcome] += 1
                if fault:
                    faults.setdefault(f"{name}: {fault}", place)
        return {"seed": seed, "chunk": number, "inputs": inputs, "readers": counts, "faults": faults}


def settle() -> None:
    """One thread, nothing cached, and silence about files that are strange."""
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def limit_memory() -> None:
    """From here on `MEMORY` more, which includes address space."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, -1))


_fuzzer: Fuzzer


def _begin(folder: str) -> None:
    """What a process does first."""
    global _fuzzer
    faulthandler.enable()
    settle()
    _fuzzer = Fuzzer(Path(tempfile.mkdtemp(dir=folder)))
    limit_memory()


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
