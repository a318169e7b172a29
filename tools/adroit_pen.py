"""The planned episodes of the pen, and starting amid one of them.

The pen always starts in the same place and its goal touches nothing, so a planned episode ends with the same pose of
the pen whatever the goal is. Such episodes are open loop and fragile: a network cloned from them comes by the goal and
does not stay. Training starts many of its episodes in states along them, from where the goal is not far.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from safetensors.numpy import load_file

import envs
from envs.adroit import Adroit, axis

HELD = 12  # last actions of a planned episode, in which the pen should be at its goal
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class Library(NamedTuple):
    """M episodes of T actions. All float32."""

    actions: np.ndarray  # [M, T, A]
    axes: np.ndarray  # [M, T, 3] direction of the pen after each action

    def fit(self, goal: np.ndarray) -> np.ndarray:
        """Least cosine between the pen and a goal ``[3]`` while it should be held there ``[M]``."""
        return (self.axes[:, -HELD:] @ goal).min(1)


@cache
def library() -> Library:
    """The episodes that `tools/plan_adroit_pen.py` made."""
    return Library(**load_file(Path(__file__).with_name("adroit_start") / "pen.safetensors"))


def nearest(task: Adroit) -> int:
    """Number of the planned episode that fits the goal of ``task`` best."""
    return int(library().fit(axis(task._env.data, "target")).argmax())


def begin_midway(task: Adroit, rng: np.random.Generator) -> None:
    """Put ``task``, just reset, into any state along the planned episode that fits its goal best."""
    states = _states()[nearest(task)]
    mujoco.mj_setState(task._env.model, task._env.data, states[rng.integers(len(states))], _STATE)
    mujoco.mj_forward(task._env.model, task._env.data)
    task._state = task._env._get_obs()


@cache
def _states() -> np.ndarray:
    """States before each action of the planned episodes ``[M, T, S]``."""
    task = Adroit(envs.specs()["adroit/pen"])
    model, data = task._env.model, task._env.data
    actions = library().actions
    states = np.empty((*actions.shape[:2], mujoco.mj_stateSize(model, _STATE)))
    for episode, plan in enumerate(actions):
        task.reset(0)
        for step, action in enumerate(plan):
            mujoco.mj_getState(model, data, states[episode, step], _STATE)
            task.step(action)
    task.close()
    return states
