"""Overhead of the harness: wall time of `bench run` against the sum of its parts.

Parts are the units of work (their seconds are in ``timings.jsonl``) and the latency stage. Its time is not recorded, so
the command is given twice more: once with the latency rows deleted, once with nothing left to do. Their difference is
the latency stage; the last alone is what start, checks and report cost.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.bench_run import BenchRun, add_run_arguments
from benchmarks.inputs import TASK
from benchmarks.output import Row, argument_parser, begin, publish

BAR = 0.05


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__)
    add_run_arguments(parser, TASK)
    parser.add_argument("--workers", type=int, choices=(0, 1), nargs="+", default=[0, 1], help="0: without Ray")
    args = begin(parser, argv)
    return publish("harness_overhead", [_measure(args, workers) for workers in args.workers], args)


def _measure(args: argparse.Namespace, workers: int) -> Row:
    with BenchRun(args, workers) as run:
        whole, units = run.seconds(), run.units()
        run.forget_latency()
        latency_again, nothing = run.seconds(), run.seconds()
    return {"workers": workers, **account(whole, units, latency_again - nothing, nothing)}


def account(whole: float, units: Sequence[float], latency: float, nothing: float) -> Row:
    """Wall seconds of a run with at most one worker, split up; ``nothing`` is a run that finds all work done."""
    rest = whole - sum(units) - latency
    return {
        "wall s": whole, "units": len(units), "units s": sum(units), "latency s": latency,
        "start and report s": nothing, "per unit ms": 1e3 * (rest - nothing) / len(units),
        "overhead": rest / whole, "bar": f"<= {BAR}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
