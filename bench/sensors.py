"""What a method sees of a task, by the kind of observation that its spec names: point clouds, or pictures.

A picture is raw reading and observation in one: what a camera driver hands over is what the policy takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from bench.interfaces import (
    ImageObservation,
    ImageObservations,
    ImageTask,
    Observation,
    ObservationKind,
    Observations,
    Scan,
    Task,
)

Seen = Observation | ImageObservation
Reading = Scan | ImageObservation


def scan(task: Task, kind: ObservationKind) -> Reading:
    """The raw reading of the sensor."""
    return cast(ImageTask, task).observe_image() if kind == "image" else task.scan()


def preprocess(task: Task, reading: Reading) -> Seen:
    """From a raw reading to an observation: what the policy's computer does before the policy."""
    return reading if isinstance(reading, ImageObservation) else task.preprocess(reading)


def observe(task: Task, kind: ObservationKind) -> Seen:
    """Look: ``preprocess(task, scan(task, kind))``, by the task's short cut where it has one."""
    return cast(ImageTask, task).observe_image() if kind == "image" else task.observe()


def batch(histories: Sequence[Sequence[Seen]], device: torch.device) -> Observations:
    """Histories of one kind, ``[B][To]``, oldest first, as one batch: `ImageObservations` where they are pictures."""
    seen, states = (
        torch.from_numpy(np.stack([[o[part] for o in history] for history in histories])).to(device) for part in (0, 1)
    )
    if isinstance(histories[0][0], ImageObservation):
        # a method is given the kind that its spec names; the contract is written for the usual one
        return cast(Observations, ImageObservations(seen, states))
    return Observations(seen, states)
