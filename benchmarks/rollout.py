"""Episodes per core-minute: the evaluator of the harness against a reference runner, with the same policies.

The reference renders every step by stock functions, samples points plainly, and runs one episode after another.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.interfaces import Method, Task
from bench.rollout import LOCKSTEP, rollout
from bench.seeding import Purpose, episode_seed, torch_generator
from benchmarks.inputs import BASE_SEED, TASK, demonstrations, policies
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish, ratio_fields
from benchmarks.paired import interleave, speedup, timed
from benchmarks.reference.point_cloud import CASTERS, SAMPLERS, PlainMetaWorld
from benchmarks.reference.rollout import run_episodes
from benchmarks.reference.training import use_plain_layers
from envs import registry
from methods.networks import SIZES

BARS = {10: 5.0, 1: 8.0}  # by network evaluations


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=2, calls=1)
    parser.add_argument("--task", default=TASK, help="a MetaWorld task")
    parser.add_argument("--variants", type=names, default=["dp3", "sdm"], help="comma list of policies")
    parser.add_argument("--profile", default="lite", help="sizes of the networks")
    parser.add_argument("--episodes", type=at_least(1), default=LOCKSTEP, help="episodes in a call of ours")
    parser.add_argument("--reference-episodes", type=at_least(1), default=1, help="episodes in a call of the reference")
    parser.add_argument("--steps", type=at_least(1), help="control steps of an episode (default: those of the task)")
    parser.add_argument("--caster", choices=CASTERS, default="mj_multiRay", help="how the reference renders")
    parser.add_argument("--sampler", choices=SAMPLERS, default="NumPy", help="how the reference samples points")
    parser.add_argument("--plain-policy", action="store_true", help="the reference calls networks of plain layers")
    args = begin(parser, argv)
    simulators: list[Task] = [registry.make(args.task) for _ in range(min(args.episodes, LOCKSTEP))]
    demos = demonstrations(simulators[0], 1)
    spec = simulators[0].spec
    if args.steps:
        spec = replace(spec, max_steps=args.steps)
    for task in simulators:
        task.spec = spec
    plain = PlainMetaWorld(spec, args.caster, args.sampler)
    made, twins = (policies(args.variants, spec, args.profile, demos) for _ in range(2))
    if args.plain_policy:
        for twin in twins.values():
            use_plain_layers(twin, spec, SIZES[args.profile])
    rows = [_measure(name, made[name], twins[name], simulators, plain, args) for name in args.variants]
    for task in (*simulators, plain):
        task.close()
    return publish("rollout", rows, args)


def _measure(
    name: str, ours: Method, reference: Method, simulators: Sequence[Task], plain: Task, args: argparse.Namespace
) -> Row:
    seeds = [episode_seed(BASE_SEED, args.task, Purpose.SELECTION, i) for i in range(args.episodes)]
    generator = torch_generator(np.random.SeedSequence(0))
    # Cycling through the seeds keeps the reference off a single layout.
    served = iter(seeds * (-(-(args.blocks * args.calls + 1) * args.reference_episodes // len(seeds))))
    sides = {
        "ours": timed(lambda: rollout(simulators, ours, seeds, base_seed=BASE_SEED, training_seed=0), len(seeds)),
        "reference": timed(
            lambda: run_episodes(plain, reference, [next(served) for _ in range(args.reference_episodes)], generator),
            args.reference_episodes,
        ),
    }
    times = interleave(sides, args.blocks, args.calls)
    per_minute = {side: 60 / float(np.median(seconds)) for side, seconds in times.items()}
    return {
        "policy": name, "nfe": ours.spec.nfe, "episodes/core-min": per_minute["ours"],
        "reference episodes/core-min": per_minute["reference"],
        **ratio_fields(speedup(times["reference"], times["ours"]), BARS.get(ours.spec.nfe)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
