"""The experts of the Adroit tasks: a library of planned episodes, of which one is moved to the layout at hand.

An episode starts with the nearest planned ones being moved to its layout (`envs.experts.adroit_transfer`) and tried in
a second simulator, nearest first; the first that solves it is executed. `tools/plan_adroit_library.py` makes the
libraries; `docs/adroit.md` says how, at what cost, and what came of it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np
from safetensors.numpy import load
from scipy.interpolate import CubicSpline

from bench.interfaces import UserError
from envs.experts.adroit_transfer import transfer

if TYPE_CHECKING:
    from envs.adroit import Adroit

CANDIDATES = 12  # planned episodes that are tried: about half a second
VARIATIONS = 8  # random changes that are tried where none of those solves the layout: as long again
SIGMAS, KNOTS = (0.04, 0.08, 0.12), 12  # of the random changes, and of their splines over time
HOLD_AFTER = (4, 8)  # actions after the first success
STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class Library(NamedTuple):
    """Planned episodes of one task: M episodes of T actions."""

    actions: np.ndarray  # [M, T, A] float32
    joints: np.ndarray  # [M, T, Q] float32, before each action
    layouts: np.ndarray  # [M, 3] float32, what `layout` gave


class Trial(NamedTuple):
    """What came of an action sequence in the second simulator."""

    actions: np.ndarray  # [T, A] float32
    joints: np.ndarray  # [T, Q] float32
    first: int | None  # the first step after which both rules of success held, from 0
    successes: int  # in how many they did
    solved: bool  # they held in the last step, and in enough steps for a demonstration


@cache
def library(name: str) -> Library:
    """The library of ``door``, ``hammer`` or ``pen``. Raises `UserError` if there is none."""
    file = files("envs.experts").joinpath(f"adroit_{name}.safetensors")
    if not file.is_file():
        raise UserError(f"adroit/{name} has no expert yet: python tools/plan_adroit_library.py {name}")
    return Library(**load(file.read_bytes()))


def layout(task: Adroit) -> np.ndarray:
    """What differs between episodes [3]: place of door or nail in metres, direction of the pen that is the goal."""
    model, data = task._env.model, task._env.data
    if task.name == "pen":
        axis = data.site("target_top").xpos - data.site("target_bottom").xpos
        return axis / np.linalg.norm(axis)
    return model.body({"door": "frame", "hammer": "nail_board"}[task.name]).pos.copy()


def attempt(task: Adroit, scratch: Adroit, actions: np.ndarray) -> Trial:
    """Execute actions in ``scratch`` from where ``task`` is, the last one until the episode ends.

    An episode that is not solved when the actions are over is given up.
    """
    model, data = task._env.model, task._env.data
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    scratch.reset(0)
    scratch._env.model.body_pos[:], scratch._env.model.body_quat[:] = model.body_pos, model.body_quat
    mujoco.mj_setState(scratch._env.model, scratch._env.data, state, STATE)
    mujoco.mj_kinematics(scratch._env.model, scratch._env.data)  # where the goal is
    joints, first, successes, good = [], None, 0, False
    for step in range(task.spec.max_steps):
        if step < len(actions):
            joints.append(scratch._env.data.qpos.astype(np.float32))
        elif not good:
            break
        outcome = scratch.step(actions[min(step, len(actions) - 1)])
        good = outcome.success and bool(outcome.success_alt)
        successes += good
        first = step if good and first is None else first
        if outcome.done:
            good = False
            break
    return Trial(actions, np.array(joints), first, successes, good and successes >= task.spec.min_success_steps)


def choose(task: Adroit, scratch: Adroit, episodes: Library) -> Trial:
    """The nearest planned episode that solves the layout at hand, or the most successful one if none does."""
    trials = []
    for index in nearest(task, episodes)[:CANDIDATES]:
        actions = moved(task, episodes, index)
        trials.append(attempt(task, scratch, actions))
        for later in HOLD_AFTER:
            if not trials[-1].solved and trials[-1].first is not None:  # solved it, and undid it: rather stand still
                held = actions.copy()
                held[trials[-1].first + later :] = held[min(trials[-1].first + later, len(held) - 1)]
                trials.append(attempt(task, scratch, held))
        if trials[-1].solved:
            break
    return max(trials, key=lambda trial: (trial.solved, trial.successes))


def vary(task: Adroit, scratch: Adroit, episodes: Library, tries: int) -> Trial | None:
    """A random, smooth change of one of the four nearest planned episodes that solves the layout, if one does."""
    rng, near = np.random.default_rng(0), nearest(task, episodes)[:4]
    for number in range(tries):
        actions = moved(task, episodes, near[number % len(near)])
        length, joints = actions.shape
        basis = CubicSpline(np.linspace(0, length - 1, KNOTS), np.eye(KNOTS), bc_type="natural")(np.arange(length))
        change = rng.standard_normal((KNOTS, joints)) * (rng.random(joints) < 0.4)
        varied = np.clip(actions + SIGMAS[number % len(SIGMAS)] * basis @ change, -1, 1).astype(np.float32)
        trial = attempt(task, scratch, varied)
        if trial.solved:
            return trial
    return None


def nearest(task: Adroit, episodes: Library) -> np.ndarray:
    """Numbers of the planned episodes, the one with the most similar layout first."""
    return np.argsort(np.linalg.norm(episodes.layouts - layout(task), axis=1), kind="stable")


def moved(task: Adroit, episodes: Library, index: int) -> np.ndarray:
    """The actions of a planned episode, moved to the layout at hand ``[T, A]``."""
    shift = layout(task) - episodes.layouts[index]
    return transfer(task.name, task._env, episodes.actions[index], episodes.joints[index], shift)


class LibraryExpert:
    """Executes what `choose`, or else `vary`, found for the episode that has been started."""

    def __init__(self, task: Adroit, scratch: Adroit) -> None:
        trial = choose(task, scratch, library(task.name))
        if not trial.solved:
            trial = vary(task, scratch, library(task.name), VARIATIONS) or trial
        self._actions, self._step = trial.actions, 0

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``."""
        action = self._actions[min(self._step, len(self._actions) - 1)]
        self._step += 1
        return action
