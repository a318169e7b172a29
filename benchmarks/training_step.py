"""Time of a training step: the teacher against plain layers, students against the teacher's step in plain layers.

Two references: everything in plain layers, and only the U-Net (Conv1d and so on) with the fast point encoder left in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from bench.interfaces import Batch, DemoSet, Method, MethodSpec, TaskSpec
from bench.seeding import torch_generator
from bench.windows import batches
from benchmarks.inputs import TASK, demonstrations
from benchmarks.output import Row, argument_parser, at_least, begin, publish, ratio_fields
from benchmarks.paired import interleave, speedup, timed
from benchmarks.reference.training import PlainTeacher
from envs import registry
from methods import dp3, manicm, sdm

REFERENCES = {"dp3, all plain": True, "dp3, plain U-Net": False}  # name: whether the encoder is plain, too
BARS = {"dp3": 3.0, "manicm": 5.0, "sdm": 5.0}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=4, calls=2)
    parser.add_argument("--task", default=TASK, help="task whose demonstrations are trained on")
    parser.add_argument("--demos", type=at_least(1), default=2, help="demonstrations")
    parser.add_argument("--profile", default="lite", help="sizes of the networks")
    parser.add_argument("--batch", type=at_least(1), default=128, help="windows in a batch")
    parser.add_argument("--draws", type=at_least(1), default=1, help="noise draws for each window")
    parser.add_argument("--steps", type=at_least(1), default=5, help="steps in a call (sdm: generator in one of five)")
    args = begin(parser, argv)
    task = registry.make(args.task)
    steps = _steps(task.spec, demonstrations(task, args.demos), args.profile, args.batch, args.draws)
    task.close()

    sides = {name: timed(_repeat(step, args.steps), per=args.steps) for name, step in steps.items()}
    times = interleave(sides, args.blocks, args.calls)
    median = {name: 1e3 * float(np.median(seconds)) for name, seconds in times.items()}
    rows = [
        {
            "step": name, "ms": median[name], "reference": reference, "reference ms": median[reference],
            **ratio_fields(speedup(times[reference], times[name]), BARS.get(name)),
        }
        for name in times if name not in REFERENCES
        for reference in REFERENCES
    ]  # fmt: skip
    return publish("training_step", rows, args)


def _steps(task: TaskSpec, demos: DemoSet, profile: str, batch: int, draws: int) -> dict[str, Callable[[], object]]:
    """One training step of every side, each with its own weights, batches and noise."""
    own = dp3.CONFIGS[profile]
    same = {"batch_size": batch, "noise_draws": draws}
    teachers = {
        "dp3": dp3.Dp3(task, profile, config=replace(own, **same, search_points=None)),  # looks at all points
        "dp3, as the profile looks for maxima": dp3.Dp3(task, profile, config=replace(own, **same)),
        "dp3, as the profile trains": dp3.Dp3(task, profile),
    }
    for method in teachers.values():
        method.begin_training(demos, None, _generator())
    start = teachers["dp3"].state()
    config = teachers["dp3"].config
    plain = {
        name: PlainTeacher(task, config, demos, start, plain_encoder=plain_encoder)
        for name, plain_encoder in REFERENCES.items()
    }
    students: dict[str, Method] = {
        "manicm": manicm.ManiCm(task, profile, config=replace(manicm.CONFIGS[profile], **same)),
        "sdm": sdm.Sdm(task, profile, config=replace(sdm.CONFIGS[profile], **same)),
    }
    for student in students.values():
        student.begin_training(demos, start, _generator())
    return {
        **{name: _stepper(trainer.fit_step, teachers["dp3"].spec, demos) for name, trainer in plain.items()},
        **{name: _stepper(m.fit_step, m.spec, demos) for name, m in {**teachers, **students}.items()},
    }


def _stepper(
    fit_step: Callable[[Batch, torch.Generator], object], spec: MethodSpec, demos: DemoSet
) -> Callable[[], object]:
    source: Iterator[Batch] = batches(demos, spec, np.random.SeedSequence(1))
    generator = _generator()
    return lambda: fit_step(next(source), generator)


def _repeat(work: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            work()

    return run


def _generator() -> torch.Generator:
    return torch_generator(np.random.SeedSequence(0))


if __name__ == "__main__":
    main()
