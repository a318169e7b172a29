"""The planned episodes that training starts from.

Hammer and door: one episode, found by `tools/adroit_planner.py`, is moved to other layouts by kinematics. It solves
about half of them, which is enough to start from; that they are all alike is what makes them easy to clone. Pen: the
planned episode that fits the goal best (`adroit_pen`).

    python tools/adroit_start.py door|hammer [--first 0] [--tries 20] [--out FILE]     plans another one, from nothing
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from adroit_episodes import LENGTH, Job, features, task_of
from adroit_pen import library, nearest
from adroit_planner import SEARCH, plan_episode
from adroit_transfer import transfer
from safetensors.numpy import load_file, save_file

from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit

HOLD = 14  # solved steps after which a planned episode ends


def demonstrate(job: Job) -> tuple[np.ndarray, np.ndarray] | None:
    """States ``[T, O + V]`` and actions ``[T, A]`` of the episode planned for a layout or goal; None if it fails."""
    task = task_of(job.name)
    seed = episode_seed(job.base_seed, task.spec.id, Purpose.TRAIN, job.index)
    task.reset(seed)
    if job.name == "pen":
        moved = library().actions[nearest(task)]
    else:
        start = _start(job.name)
        moved = transfer(job.name, task._env, start["actions"], start["joints"], layout(task) - start["layout"])
    states, actions = [], []
    for step in range(LENGTH[job.name]):
        states.append(features(task))
        actions.append(moved[min(step, len(moved) - 1)])
        outcome = task.step(actions[-1])
    return (np.array(states), np.array(actions)) if outcome.success and outcome.success_alt else None


def layout(task: Adroit) -> np.ndarray:
    """Where the door or the board with the nail is ``[3]``, metres."""
    return task._env.model.body({"door": "frame", "hammer": "nail_board"}[task.name]).pos.copy()


@cache
def _start(name: str) -> dict[str, np.ndarray]:
    """Actions ``[T, A]``, joints before each of them ``[T, Q]``, and layout ``[3]``."""
    return load_file(Path(__file__).with_name("adroit_start") / f"{name}.safetensors")


def searched(name: str, index: int) -> dict[str, np.ndarray] | None:
    """An episode that is planned from nothing for the layout of a training seed; None if that fails."""
    task = task_of(name)
    seed = episode_seed(0, task.spec.id, Purpose.TRAIN, index)
    found = plan_episode(task, seed, SEARCH[name], stop_after=HOLD, length=LENGTH[name])
    if found.solved_steps < HOLD:
        return None
    task.reset(seed)
    place, joints = layout(task), []
    for action in found.actions:
        joints.append(task._env.data.qpos.astype(np.float32))
        task.step(action)
    actions = np.array(found.actions, np.float32)
    return {"actions": actions, "joints": np.array(joints), "layout": place.astype(np.float32)}


def main() -> None:
    """Plan until an episode is solved, and save it."""
    parser = argparse.ArgumentParser(description="Plan an episode to start a training from.")
    parser.add_argument("name", choices=["door", "hammer"])
    parser.add_argument("--first", type=int, default=0, help="number of the first training seed")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--out", type=Path)
    o = parser.parse_args()
    for index in range(o.first, o.first + o.tries):
        if (found := searched(o.name, index)) is not None:
            save_file(found, o.out or Path(__file__).with_name("adroit_start") / f"{o.name}.safetensors")
            print(f"training seed {index}: solved after {len(found['actions'])} actions")
            return
    raise SystemExit(f"none of {o.tries} layouts was solved")


if __name__ == "__main__":
    main()
