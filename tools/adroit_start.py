"""The planned episodes that training starts from.

Hammer and door: one episode, found by `tools/adroit_planner.py`, is moved to other layouts by kinematics. It solves
about half of them, which is enough to start from; that they are all alike is what makes them easy to clone. Pen: every
episode is planned.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from adroit_episodes import LENGTH, Job, features, task_of
from adroit_planner import SEARCH, plan_episode
from adroit_transfer import transfer
from safetensors.numpy import load_file

from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit

SOLVED = 8  # steps in which a planned episode of the pen is solved, at least


def demonstrate(job: Job) -> tuple[np.ndarray, np.ndarray] | None:
    """States ``[T, O + V]`` and actions ``[T, A]`` of the planned episode, moved to a layout; None if it fails there."""
    task = task_of(job.name)
    seed = episode_seed(job.base_seed, task.spec.id, Purpose.TRAIN, job.index)
    if job.name == "pen":
        found = plan_episode(task, seed, SEARCH["pen"])
        planned = np.array(found.actions, np.float32)
        if found.outcomes[-1].done or found.solved_steps < SOLVED:
            return None
    task.reset(seed)
    if job.name != "pen":
        start = _start(job.name)
        planned = transfer(job.name, task._env, start["actions"], start["joints"], layout(task) - start["layout"])
    states, actions = [], []
    for step in range(LENGTH[job.name]):
        states.append(features(task))
        actions.append(planned[min(step, len(planned) - 1)])
        outcome = task.step(actions[-1])
    if not (outcome.success and outcome.success_alt) and job.name != "pen":
        return None
    return np.array(states), np.array(actions)


def layout(task: Adroit) -> np.ndarray:
    """Where the door or the board with the nail is ``[3]``, metres."""
    return task._env.model.body({"door": "frame", "hammer": "nail_board"}[task.name]).pos.copy()


@cache
def _start(name: str) -> dict[str, np.ndarray]:
    """Actions ``[T, A]``, joints before each of them ``[T, Q]``, and layout ``[3]``."""
    return load_file(Path(__file__).with_name("adroit_start") / f"{name}.safetensors")
