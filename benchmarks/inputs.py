"""What the benchmarks work on: real demonstrations, and policies that need no training to be timed."""

from __future__ import annotations

from collections.abc import Iterable

import methods
from bench.demos import collect_demos
from bench.interfaces import DemoSet, Method, Task, TaskSpec
from bench.seeding import Purpose, sequence, torch_generator
from bench.spec import Variant

BASE_SEED = 0
TASK = "metaworld/drawer-open"


def demonstrations(task: Task, count: int) -> DemoSet:
    """Demonstrations of the task's expert."""
    return collect_demos(task, count, BASE_SEED)[0]


def policies(variants: Iterable[str], task: TaskSpec, profile: str, demos: DemoSet) -> dict[str, Method]:
    """Policies by variant, with the same random weights and a normaliser fitted to ``demos``.

    What they do is useless and takes as long as with trained weights: no branch depends on a weight.
    """
    teacher = methods.make("dp3", task, profile)
    teacher.begin_training(demos, None, torch_generator(sequence(BASE_SEED, task.id, Purpose.TRAIN)))
    state = teacher.state()
    made = {}
    for text in variants:
        variant = Variant.parse(text)
        method = methods.make(variant.method, task, profile, dict(variant.options))
        names = method.state()  # students have the networks of their teacher, without the weights before averaging
        method.load_state({name: state[name] for name in names})
        made[text] = method
    return made
