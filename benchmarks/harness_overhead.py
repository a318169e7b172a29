"""Overhead of the harness: wall time of `bench run` against the sum of its parts.

Parts are the units of work (their seconds are in ``timings.jsonl``) and the latency stage. Its time is not recorded, so
the command is given twice more: once with the latency rows deleted, once with nothing left to do. Their difference is
the latency stage; the last alone is what start, checks and report cost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.interfaces import UserError
from bench.store import read_rows
from benchmarks.inputs import TASK
from benchmarks.output import Row, argument_parser, at_least, begin, publish

BAR = 0.05


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__)
    parser.add_argument("--methods", default="dp3,sdm", help="as of bench run")
    parser.add_argument("--tasks", default=TASK, help="as of bench run")
    parser.add_argument("--profile", default="smoke", help="as of bench run")
    parser.add_argument("--episodes", type=at_least(1), default=4, help="as of bench run")
    parser.add_argument("--workers", type=int, choices=(0, 1), nargs="+", default=[0, 1], help="0: without Ray")
    args = begin(parser, argv)
    return publish("harness_overhead", [_measure(args, workers) for workers in args.workers], args)


def _measure(args: argparse.Namespace, workers: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "results", "run")
        command = [
            sys.executable, "-m", "bench", "run", "--methods", args.methods, "--tasks", args.tasks,
            "--profile", args.profile, "--episodes", str(args.episodes), "--workers", str(workers),
            "--out", str(out), "--reports", str(Path(folder, "reports")),
        ]  # fmt: skip
        whole = _seconds(command)
        units = [row["seconds"] for row in read_rows(out / "timings.jsonl")]
        (out / "latency.jsonl").unlink()
        latency_again = _seconds(command)
        nothing = _seconds(command)
    return {"workers": workers, **account(whole, units, latency_again - nothing, nothing)}


def account(whole: float, units: Sequence[float], latency: float, nothing: float) -> Row:
    """Wall seconds of a run with at most one worker, split up; ``nothing`` is a run that finds all work done."""
    overhead = 1 - (sum(units) + latency) / whole
    return {
        "wall s": whole, "units": len(units), "units s": sum(units), "latency s": latency,
        "start and report s": nothing,
        "per unit ms": 1e3 * (whole - sum(units) - latency - nothing) / len(units),
        "overhead": overhead, "bar": f"<= {BAR}",
    }  # fmt: skip


def _seconds(command: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"bench run ended with exit code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
