"""Dense rewards for the Adroit tasks, and the episodes that `tools/train_adroit_expert.py` learns from.

The package's own dense rewards of door and hammer grow with the distance of hand and object, so they are of no use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import mujoco
import numpy as np
from adroit_pen import begin_midway
from adroit_planner import rest

import envs
from bench.interfaces import Outcome
from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit, axis
from envs.experts.adroit import Policy

LENGTH = {"hammer": 60, "door": 70, "pen": 40}  # actions of a training episode; the value of going on is added
SCALE = {"hammer": 0.05, "door": 0.1, "pen": 0.1}  # brings discounted sums to the order of ten


def door_reward(data: mujoco.MjData, outcome: Outcome) -> float:
    """Reach the handle, turn the latch, open the door and hold it open."""
    reach = np.linalg.norm(data.site("S_grasp").xpos - data.site("S_handle").xpos)
    door, latch = data.qpos[-2], np.clip(data.qpos[-1], 0.0, 1.8)
    latch = 1.8 if door > 0.3 else latch
    margin = np.clip((door - 1.4) / 0.1, 0.0, 1.0)
    return float(
        -2.0 * min(reach, 1.0) + 0.5 * latch + 3.0 * np.clip(door, -0.1, 1.5) + 2.0 * outcome.success + 2.0 * margin
    )


def hammer_reward(data: mujoco.MjData, outcome: Outcome) -> float:
    """Grasp and lift the hammer, drive the nail with its head; a nail pushed by the hand counts for little."""
    hammer, palm, head = data.body("Object").xpos, data.site("S_grasp").xpos, data.site("tool").xpos
    nail, goal = data.site("S_target").xpos, data.site("nail_goal").xpos
    to_nail, left = np.linalg.norm(head - nail), np.linalg.norm(nail - goal)
    lift = np.clip((min(hammer[2], head[2]) - 0.03) / 0.06, 0.0, 1.0)
    gate = np.clip((0.08 - to_nail) / 0.04, 0.0, 1.0)
    return float(
        -12.0 * np.clip(np.linalg.norm(palm - hammer) - 0.03, 0.0, 0.5)
        - 4.0 * min(0.3 * to_nail + 0.7 * np.linalg.norm(head - goal), 1.0)
        + 3.0 * lift + (4.0 + 4.0 * gate) * np.clip(1.0 - left / 0.1, 0.0, 1.0) + (4.0 + 4.0 * gate) * outcome.success
    )  # fmt: skip


def pen_reward(data: mujoco.MjData, outcome: Outcome) -> float:
    """Turn the pen to the goal and hold it there, near its place in the hand; never less than nothing while it is held.

    With a reward that is negative on the way, dropping the pen, which ends the episode, would be worth it.
    """
    cosine = float(axis(data, "object") @ axis(data, "target"))
    away = float(np.linalg.norm(data.body("Object").xpos - data.site("eps_ball").xpos))
    near = np.clip((0.1 - away) / 0.03, 0.0, 1.0)
    at_goal = 3.0 * np.exp((cosine - 1.0) / 0.1) + 2.0 * (cosine > 0.955)
    return float(0.5 * (cosine + 1.0) - 2.0 * max(away - 0.03, 0.0) + near * at_goal - 5.0 * outcome.done)


REWARDS: dict[str, Callable[[mujoco.MjData, Outcome], float]] = {
    "door": door_reward, "hammer": hammer_reward, "pen": pen_reward
}  # fmt: skip


class Episode(NamedTuple):
    """One training or evaluation episode of T actions."""

    states: np.ndarray  # [T+1, O + V] float32: the state vector, then all velocities (for the critic alone)
    actions: np.ndarray  # [T, A] float32, not clipped
    rewards: np.ndarray  # [T] float32
    done: bool  # ended by itself
    ends: tuple[bool, bool]  # success in the last step by either rule


class Job(NamedTuple):
    """What a worker needs for an episode."""

    name: str  # door, hammer or pen
    policy: Policy
    std: np.ndarray | None  # [A] of the exploration noise; None: the mean action, to the task's own horizon
    base_seed: int
    index: int  # of the episode
    midway: float = 0.0  # how likely it starts amid a planned episode


@cache
def task_of(name: str) -> Adroit:
    """The simulator of this process for a task."""
    return Adroit(envs.specs()[f"adroit/{name}"])


def play(job: Job) -> Episode:
    """Run one episode; the result depends on the job alone."""
    task = task_of(job.name)
    seed = episode_seed(job.base_seed, task.spec.id, Purpose.TRAIN, job.index)
    rng = np.random.default_rng([seed, 1])
    task.reset(seed)
    if job.midway and rng.random() < job.midway:
        begin_midway(task, rng)
    states, actions, rewards = [features(task)], [], []
    length = task.spec.max_steps if job.std is None else LENGTH[job.name]
    for _ in range(length):
        action = job.policy.act(task.state_vector())
        if job.std is not None:
            action = action + job.std * rng.standard_normal(len(action), np.float32)
        outcome = task.step(action)
        actions.append(action)
        rewards.append(SCALE[job.name] * REWARDS[job.name](task._env.data, outcome))
        states.append(features(task))
        if outcome.done:
            break
    kept = (outcome.success and not outcome.done, bool(outcome.success_alt) and not outcome.done)
    return Episode(np.array(states), np.array(actions), np.array(rewards, np.float32), outcome.done, kept)


def features(task: Adroit) -> np.ndarray:
    """The state vector, then all velocities ``[O + V]``, float32."""
    return np.concatenate([task.state_vector(), np.clip(task._env.data.qvel, -20.0, 20.0)]).astype(np.float32)


def quiet(name: str) -> Policy:
    """A policy that holds all joints at zero or near it; for the pen amid their ranges: the hand is half shut."""
    task = task_of(name)
    task.reset(0)
    action = np.zeros(task.spec.action_dim) if name == "pen" else rest(task)
    return Policy.constant(len(task.state_vector()), action.astype(np.float32))
