"""`bench run` as a user starts it, with a stopwatch."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.interfaces import UserError
from bench.store import read_rows
from benchmarks.output import at_least


def add_run_arguments(parser: argparse.ArgumentParser, tasks: str) -> None:
    """The arguments that are passed on to `bench run`."""
    parser.add_argument("--methods", default="dp3,sdm", help="as of bench run")
    parser.add_argument("--tasks", default=tasks, help="as of bench run")
    parser.add_argument("--profile", default="smoke", help="as of bench run")
    parser.add_argument("--episodes", type=at_least(1), default=4, help="as of bench run")


class BenchRun:
    """A run in a temporary folder with a cache of its own. Use as a context manager."""

    def __init__(self, args: argparse.Namespace, workers: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._out = Path(self._folder.name, "results", "run")
        self._command = [
            sys.executable, "-m", "bench", "run", "--methods", args.methods, "--tasks", args.tasks,
            "--profile", args.profile, "--episodes", str(args.episodes), "--workers", str(workers),
            "--out", str(self._out), "--reports", str(Path(self._folder.name, "reports")),
        ]  # fmt: skip

    def __enter__(self) -> BenchRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._folder.cleanup()

    def seconds(self) -> float:
        """Give the command, which does what is missing. Raises `UserError` where it fails."""
        start = time.perf_counter()
        done = subprocess.run(self._command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"bench run ended with exit code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
        return time.perf_counter() - start

    def units(self) -> list[float]:
        """Seconds of the units of work done so far."""
        return [row["seconds"] for row in read_rows(self._out / "timings.jsonl")]

    def forget_latency(self) -> None:
        """Delete the latency rows, so that they are missing. Raises `UserError` where there are none to delete."""
        rows = self._out / "latency.jsonl"
        if not rows.exists():
            raise UserError(f"bench run wrote no latency rows: {' '.join(self._command)}")
        rows.unlink()
