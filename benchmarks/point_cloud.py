"""Time of a point cloud (render, crop, sample to N points): ours against MuJoCo's rays and plain sampling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from bench.interfaces import Task
from bench.seeding import Purpose, episode_seed
from benchmarks.inputs import BASE_SEED, TASK
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish, ratio_fields
from benchmarks.paired import Side, interleave, speedup, timed
from benchmarks.reference import point_cloud as reference
from envs import registry
from envs.metaworld import CROP, MetaWorld
from envs.pointcloud import farthest_points

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=4, calls=12)
    parser.add_argument("--tasks", type=names, default=[TASK], help="comma list of MetaWorld tasks, or groups of them")
    parser.add_argument("--frames", type=at_least(1), default=4, help="frames per task, from one expert episode each")
    args = begin(parser, argv)
    rows: list[Row] = []
    for task in (t for t in registry.select(args.tasks) if t.startswith("metaworld/")):  # the reference has no other
        rows += _measure(task, args.frames, args.blocks, args.calls)
    return publish("point_cloud", rows, args)


def _measure(task_id: str, frames: int, blocks: int, calls: int) -> list[Row]:
    spec = registry.specs()[task_id]
    tasks = {"observe": [_advanced(MetaWorld(spec), i, frames) for i in range(frames)]}
    for caster in reference.CASTERS:
        for sampler in reference.SAMPLERS:
            plain = (reference.PlainMetaWorld(spec, caster, sampler) for _ in range(frames))
            tasks[f"{caster} + {sampler} FPS"] = [_advanced(task, i, frames) for i, task in enumerate(plain)]
    sides: dict[str, Side] = {name: _over(lambda t: t.observe(), some) for name, some in tasks.items()}
    pairs = [(ours, name) for ours in ("observe", "scan + preprocess") for name in tasks if name != "observe"]
    sides["scan + preprocess"] = _over(lambda t: t.preprocess(t.scan()), tasks["observe"])
    clouds = [cloud for task in tasks["observe"] if len(cloud := CROP(task.scan().points)) >= spec.n_points]
    if clouds:  # else every frame shows fewer points than are to be chosen
        sides["FPS"] = _over(lambda c: farthest_points(c, spec.n_points), clouds)
        for sampler, choose in reference.SAMPLERS.items():
            sides[f"{sampler} FPS"] = _over(lambda c, choose=choose: choose(c, spec.n_points), clouds)
            pairs.append(("FPS", f"{sampler} FPS"))
    times = interleave(sides, blocks, calls)
    for task in itertools.chain(*tasks.values()):
        task.close()
    return [
        {
            "task": task_id, "ours": a, "ms": 1e3 * float(np.median(times[a])), "reference": b,
            "reference ms": 1e3 * float(np.median(times[b])), **ratio_fields(speedup(times[b], times[a])),
        }
        for a, b in pairs
    ]  # fmt: skip


def _advanced(task: Task, index: int, frames: int) -> Task:
    """The task in an episode of its own, the later the higher ``index``."""
    task.reset(episode_seed(BASE_SEED, task.spec.id, Purpose.SELECTION, index))
    expert = task.expert()
    for _ in range(task.spec.max_steps * index // (2 * frames)):
        task.step(np.clip(expert.act(), -1, 1))
    return task


def _over(work: Callable[[T], object], items: Sequence[T]) -> Side:
    """A side whose calls go through ``items`` in turn."""
    turn = itertools.cycle(items)
    return timed(lambda: work(next(turn)))


if __name__ == "__main__":
    main()
