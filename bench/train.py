"""The one training loop: batches, evaluation points, snapshots."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.interfaces import DemoSet, Method
from bench.seeding import torch_generator
from bench.windows import batches

_GENERATOR, _PROGRESS = "bench.generator", "bench.progress"


def curve_steps(train_steps: int, points: int) -> list[int]:
    """Steps after which the learning curve is measured: evenly spaced, the last one at the end."""
    return sorted({max(1, round(train_steps * (i + 1) / points)) for i in range(points)})


def train(
    method: Method,
    demos: DemoSet,
    teacher: Mapping[str, Tensor] | None,
    rng: np.random.SeedSequence,
    *,
    points: int,
    after_success: int | None = None,
    evaluate: Callable[[], Mapping[str, Any]],
    snapshot: Mapping[str, Tensor] | None = None,
    on_step: Callable[[int, Callable[[], dict[str, Tensor]]], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Train ``method`` from the start or from a snapshot; either way the same weights come out, bit for bit.

    Args:
        method: Freshly built.
        demos: All of them are trained on.
        teacher: State of the trained teacher, for students.
        rng: Of everything random in the training.
        points: Number of points of the learning curve.
        after_success: See `bench.windows.batches`.
        evaluate: Measures the policy as it is; its mapping becomes part of the curve's row. Must not touch ``rng``.
        snapshot: What an earlier, interrupted call passed to ``on_step``.
        on_step: Called after each step with the number of steps done and a function that makes a snapshot.

    Returns:
        The learning curve: one row ``{step, epoch, losses, **evaluate()}`` per point.
    """
    order, start, stream = rng.spawn(3)
    method.begin_training(demos, teacher, torch_generator(start))
    generator = torch_generator(stream, next(method.network.parameters()).device)
    curve: list[dict[str, Any]] = []
    first = 0
    if snapshot is not None:
        snapshot = dict(snapshot)
        generator.set_state(snapshot.pop(_GENERATOR).cpu())
        progress = json.loads(bytes(snapshot.pop(_PROGRESS).cpu().tolist()))
        first, curve = progress["step"], progress["curve"]
        method.load_training_state(snapshot)

    def make_snapshot(step: int) -> dict[str, Tensor]:
        progress = torch.tensor(list(json.dumps({"step": step, "curve": curve}).encode()), dtype=torch.uint8)
        return {**method.training_state(), _GENERATOR: generator.get_state(), _PROGRESS: progress}

    due = set(curve_steps(method.spec.train_steps, points))
    for batch in batches(demos, method.spec, order, first, after_success):
        if batch.step >= method.spec.train_steps:
            break
        losses = method.fit_step(batch, generator)
        done = batch.step + 1
        if done in due:
            values = {name: float(value) for name, value in losses.items()}
            if not all(map(math.isfinite, values.values())):
                raise RuntimeError(f"training diverged: losses {values} at step {done}")
            curve.append({"step": done, "epoch": batch.epoch, "losses": values, **evaluate()})
        on_step(done, lambda done=done: make_snapshot(done))  # type: ignore[misc]
    return curve
