"""Latency at batch 1 on one thread: against plain layers, against `dp3`, and against the limit of the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch

from bench.clocks import CLOCKS, record_inputs, timed_call
from bench.interfaces import Method, Observations, Scan, Task
from bench.seeding import torch_generator
from benchmarks.hardware_limit import limit_seconds, matmul_side, needed_work, rate, stream_side
from benchmarks.inputs import BASE_SEED, TASK, demonstrations, policies
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish
from benchmarks.paired import Side, Times, interleave, speedup
from benchmarks.reference.training import use_plain_layers
from envs import registry
from methods.networks import N_OBS_STEPS, SIZES

TEACHER = "dp3"
PLAIN = ", plain layers"
BARS = {"t_sample": 8.0, "t_policy": 6.0}  # one-step students over the teacher


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=6, calls=20)
    parser.add_argument("--task", default=TASK, help="task whose observations are shown")
    parser.add_argument("--variants", type=names, default=[TEACHER, "dp3@nfe=1", "manicm", "sdm"], help="comma list")
    parser.add_argument("--profile", default="lite", help="sizes of the networks")
    parser.add_argument("--inputs", type=at_least(1), default=64, help="recorded observations, shown in turn")
    args = begin(parser, argv)
    task = registry.make(args.task)
    demos, sizes = demonstrations(task, 1), SIZES[args.profile]
    inputs = record_inputs(task, BASE_SEED, N_OBS_STEPS, args.inputs)
    made = policies(args.variants, task.spec, args.profile, demos)
    plain = policies(args.variants, task.spec, args.profile, demos)
    work = {name: needed_work(m, task.spec, sizes, _first(task, inputs)) for name, m in plain.items()}
    for method in plain.values():
        use_plain_layers(method, task.spec, sizes)
    weights = {work[name]["sample"].bytes // made[name].spec.nfe for name in args.variants}
    sides: dict[str, Side] = {"matmul": matmul_side(), "stream": stream_side(max(weights))}
    for name in args.variants:
        sides[name] = _caller(made[name], task, inputs)
        sides[name + PLAIN] = _caller(plain[name], task, inputs)
    times = interleave(sides, args.blocks, args.calls, warmup=5)
    args.gflops_per_second, args.gbytes_per_second = rate(times["matmul"]) / 1e9, rate(times["stream"]) / 1e9
    rows = []
    for name in args.variants:
        limits = {
            part: 1e3 * limit_seconds(w, 1e9 * args.gflops_per_second, 1e9 * args.gbytes_per_second)
            for part, w in work[name].items()
        }
        limit = {"t_encode": limits["encode"], "t_sample": limits["sample"], "t_policy": sum(limits.values())}
        teacher = times.get(TEACHER) if made[name].spec.nfe == 1 else None
        rows += [_row(clock, name, times, limit.get(clock), teacher) for clock in CLOCKS]
    print(f"limit: {args.gflops_per_second:.1f} Gflop/s in matrix products, {args.gbytes_per_second:.1f} GB/s")
    task.close()
    return publish("inference", rows, args)


def _row(clock: str, name: str, times: dict[str, Times], limit: float | None, teacher: Times | None) -> dict[str, Any]:
    i = CLOCKS.index(clock)
    ours = times[name][..., i]
    plain = speedup(times[name + PLAIN][..., i], ours)
    row = {
        "policy": name, "clock": clock, "ms": 1e3 * float(np.median(ours)), "limit ms": limit,
        "of limit": 1e3 * float(np.median(ours)) / limit if limit else None,
        "plain / ours": plain.value, "plain low": plain.low, "plain high": plain.high,
    }  # fmt: skip
    if teacher is not None:
        over = speedup(teacher[..., i], ours)
        bar = f">= {BARS[clock]}" if clock in BARS else None
        row |= {"dp3 / ours": over.value, "dp3 low": over.low, "dp3 high": over.high, "bar": bar}
    return row


def _caller(method: Method, task: Task, inputs: Sequence[Sequence[Scan]]) -> Side:
    """Policy calls with the clocks of the latency protocol, in seconds."""
    turn, generator = cycle(inputs), torch_generator(np.random.SeedSequence(0))

    def call() -> np.ndarray:
        with torch.inference_mode():
            return 1e-3 * np.array(timed_call(method, task, next(turn), generator))

    return call


def _first(task: Task, inputs: Sequence[Sequence[Scan]]) -> Observations:
    seen = [task.preprocess(scan) for scan in inputs[0]]
    clouds, states = np.stack([o.point_cloud for o in seen]), np.stack([o.agent_pos for o in seen])
    return Observations(torch.from_numpy(clouds)[None], torch.from_numpy(states)[None])


if __name__ == "__main__":
    main()
