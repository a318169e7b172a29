"""Fuzz the readers by coverage: Atheris (libFuzzer) keeps inputs that reach new branches of `bench`, and changes these.

    pip install -e '.[fuzz]'
    python tools/fuzz_coverage.py --seconds 600

What must hold is what `fuzz_readers.py` demands. An input is the number of a reader and the content of its file; it is
changed blindly by libFuzzer, or by its structure with checks and lengths set anew. Folders of many files are left to
`fuzz_readers.py`. The first fault ends it: it is shown, its input is kept in ``--faults``, and the exit code is not 0.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

RESTART = 0.02
"""Chance that a change begins with the valid file, so that long chains of changes don't end all structure."""


def fuzz(folder: Path, options: list[str], chosen: Mapping[str, Any] | None = None) -> None:
    """Fuzz all readers, or those ``chosen``, until libFuzzer has had enough by its ``options``; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["bench"]):
        from fuzz_guard import Guard
        from fuzz_readers import limit_memory, settle
        from fuzz_targets import readers

    settle()
    (folder / "temporary").mkdir()
    tempfile.tempdir = str(folder / "temporary")
    found = [(name, reader) for name, reader in (chosen or readers(folder)).items() if isinstance(reader.valid, bytes)]
    corpus = folder / "corpus"
    corpus.mkdir()
    for place, (_, reader) in enumerate(found):
        reader.read(reader.valid)  # what is imported late is imported now
        (corpus / str(place)).write_bytes(bytes([place]) + reader.valid)
    guard = Guard(folder)
    limit_memory()

    def test(data: bytes) -> None:
        name, reader = found[data[0] % len(found)] if data else found[0]
        fault = guard.feed(reader.read, data[1:])[1]
        if fault:
            raise AssertionError(f"{name}: {fault}")

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        place = data[0] % len(found) if data else 0
        reader, content = found[place][1], bytes(data[1:])
        if rng.random() < RESTART:
            place = rng.randrange(len(found))
            reader, content = found[place][1], found[place][1].valid
        if rng.random() < 0.5:
            try:
                return (bytes([place]) + reader.change(rng, content))[:max_size]
            except Exception:  # it is no longer what the change knows
                pass
        return bytes([place]) + atheris.Mutate(content, max_size - 1)

    atheris.Setup([sys.argv[0], *options, str(corpus)], test, custom_mutator=change)
    atheris.Fuzz()


def main() -> int:
    """Fuzz in a process of its own, in a temporary folder; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--inputs", type=int, default=-1, help="at most; -1: by the clock alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=Path, default=Path(), help="folder for the input of a fault")
    args = parser.parse_args()
    options: dict[str, Any] = {
        "max_total_time": args.seconds, "runs": args.inputs, "seed": args.seed, "artifact_prefix": f"{args.faults}/",
        "max_len": 1 << 20, "timeout": 60, "rss_limit_mb": 0, "print_final_stats": 1,
    }  # fmt: skip
    os.environ["PYTHONWARNINGS"] = "ignore"  # libFuzzer ends its process without tidying up, which Python warns of
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="fuzz-") as folder:
        flags = [f"-{name}={value}" for name, value in options.items()]
        process = get_context("spawn").Process(target=fuzz, args=(Path(folder), flags))
        process.start()
        process.join()
    return process.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())
