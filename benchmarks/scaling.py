"""Throughput of two workers against one: the same `bench run` with one and with several workers, in turn.

Caches are fresh every time. The latency stage and the report, which are no work of workers, are left out: the command
is given again with the latency rows deleted, and that time is subtracted. What is left is the units of work and the
start and end of Ray.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.bench_run import BenchRun, add_run_arguments
from benchmarks.output import Row, argument_parser, at_least, begin, publish, ratio_fields
from benchmarks.paired import interleave, speedup

TASKS = ",".join(f"metaworld/{name}*" for name in ("button-press", "window", "handle", "faucet"))  # twelve
BAR_PER_WORKER = 0.9


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=2, calls=1)
    add_run_arguments(parser, TASKS)
    parser.add_argument("--workers", type=at_least(2), default=2, help="compared with one worker")
    args = begin(parser, argv)
    sides = {n: lambda n=n: _measure(args, n) for n in (1, args.workers)}
    times = interleave({str(n): side for n, side in sides.items()}, args.blocks, args.calls, warmup=0)
    rows = []
    for n in sides:
        wall, work = (times[str(n)][..., i] for i in range(2))
        row = {"workers": n, "wall s": float(np.median(wall)), "units s": float(np.median(work))}
        row["busy share"] = float(np.median(work / (n * wall)))
        rows.append(row)
    rows[-1] |= ratio_fields(speedup(*(times[str(n)][..., 0] for n in sides)), BAR_PER_WORKER * args.workers)
    return publish("scaling", rows, args)


def _measure(args: argparse.Namespace, workers: int) -> tuple[float, float]:
    """Wall seconds of all units, and the sum of their seconds."""
    with BenchRun(args, workers) as run:
        whole, units = run.seconds(), run.units()
        run.forget_latency()
        return whole - run.seconds(), sum(units)


if __name__ == "__main__":
    main()
