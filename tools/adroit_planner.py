"""Sampling model-predictive control for the Adroit tasks: where the planned episodes come from.

These are the pen's, in `envs/experts`, and those that the training of door and hammer starts from (`adroit_start`).
Predictive sampling (Howell et al., 2022) over spline knots of the actions: sample action sequences around a plan,
simulate them, take the best, execute its first actions, shift, repeat. Actions are those of the task: 50 per second,
each held for ten physics steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mujoco
import numpy as np
from mujoco import rollout
from scipy.interpolate import CubicSpline

from bench.interfaces import Outcome
from envs.adroit import REPEAT, Adroit

FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS
SITES = {
    "door": ("S_grasp", "S_handle"),
    "hammer": ("S_grasp", "tool", "S_target", "nail_goal"),
    "pen": ("object_top", "object_bottom", "target_top", "target_bottom", "eps_ball"),
}


@dataclass(frozen=True)
class Settings:
    """How to plan."""

    horizon: int  # actions
    knots: int  # of the spline over the horizon
    samples: int  # sequences per plan
    replan: int  # actions executed per plan
    sigma: float  # of the knots, in units of actions
    sigma_arm: float  # the same for the joints before the fingers
    synergy: float = 0.0  # extra noise along "close all fingers"
    first: int = 4  # rounds of improvement of the first plan
    substeps: int = 10  # physics steps per action in the plans; the task makes 10
    noslip: int = 0  # iterations of MuJoCo's noslip solver in the plans; the task makes 20


SEARCH = {  # from nothing
    "door": Settings(20, 6, 40, 2, 0.25, 0.35),
    "hammer": Settings(22, 6, 64, 2, 0.25, 0.35, synergy=0.4, first=6),
    "pen": Settings(14, 5, 32, 2, 0.2, 0.25, first=3, substeps=5),
}


def door_cost(at: Callable[[str], np.ndarray], q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Reach the handle, turn the latch, open the door. All costs: per simulated action ``[N, H]``."""
    reach = np.linalg.norm(at("S_grasp") - at("S_handle"), axis=-1)
    door, latch = q[..., -2], np.where(q[..., -2] < 0.3, np.clip(q[..., -1], 0.0, 1.8), 1.8)
    opened = 3.0 * np.clip(door, -0.1, 1.5) + 2.0 * (door > 1.42)
    return 2.0 * reach - 0.5 * latch - opened + 1e-5 * (v**2).sum(-1)


def hammer_cost(at: Callable[[str], np.ndarray], q: np.ndarray, v: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Grasp and lift the hammer, drive the nail with its head; a nail pushed by the hand counts for nothing."""
    hammer, palm, head, nail, goal = (at(n) for n in ("Object", "S_grasp", "tool", "S_target", "nail_goal"))
    to_nail, left = np.linalg.norm(head - nail, axis=-1), np.linalg.norm(nail - goal, axis=-1)
    lift = np.clip(np.minimum(hammer[..., 2], head[..., 2]) - 0.03, 0.0, 0.06) / 0.06
    gate = np.clip((0.08 - to_nail) / 0.04, 0.0, 1.0)
    return (
        12.0 * np.maximum(np.linalg.norm(palm - hammer, axis=-1) - 0.03, 0.0)
        + 4.0 * (0.3 * to_nail + 0.7 * np.linalg.norm(head - goal, axis=-1))
        - 3.0 * lift - 6.0 * gate * np.clip(1.0 - left / 0.1, 0.0, 1.0) - 5.0 * gate * (left < 0.009)
        + 4.0 * np.maximum(np.linalg.norm(v[..., -6:-3], axis=-1) - 2.5, 0.0)
    )  # fmt: skip


def pen_cost(at: Callable[[str], np.ndarray], q: np.ndarray, v: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Turn the pen to the goal near its place in the hand, and do not drop it."""
    pen, goal = at("object_top") - at("object_bottom"), at("target_top") - at("target_bottom")
    cosine = (pen * goal).sum(-1) / np.linalg.norm(pen, axis=-1) / np.linalg.norm(goal, axis=-1)
    away = np.linalg.norm(at("Object") - at("eps_ball"), axis=-1)
    dropped = np.clip(0.13 - at("Object")[..., 2], 0.0, 1.0)
    solved = (away < 0.075) & (cosine > 0.96)
    return (
        1.0 - cosine + 3.0 * np.maximum(away - 0.02, 0.0) + 10.0 * dropped - 0.5 * solved
        + 0.002 * (v[..., -3:] ** 2).sum(-1)
    )  # fmt: skip


COSTS = {"door": door_cost, "hammer": hammer_cost, "pen": pen_cost}


class Planner:
    """Plans for one task; the model is that of the task with sensors that report where its sites are."""

    def __init__(self, task: Adroit, settings: Settings, rng: np.random.Generator) -> None:
        self.task, self.settings, self.rng = task, settings, rng
        env = task._env
        scene = mujoco.MjSpec.from_file(env.fullpath)
        kinds = [(site, mujoco.mjtObj.mjOBJ_SITE) for site in SITES[task.name]]
        kinds += [("Object", mujoco.mjtObj.mjOBJ_XBODY)] if task.name != "door" else []
        for name, kind in kinds:
            scene.add_sensor(name=f"at_{name}", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=kind, objname=name)
        self.model = scene.compile()
        self.model.actuator_gainprm[:], self.model.actuator_biasprm[:] = (
            env.model.actuator_gainprm, env.model.actuator_biasprm,
        )  # fmt: skip
        self.model.opt.noslip_iterations = settings.noslip
        self.model.opt.timestep *= REPEAT * env.frame_skip / settings.substeps
        self.places = {
            name: slice(a, a + 3) for name, _ in kinds for a in [int(self.model.sensor(f"at_{name}").adr[0])]
        }
        self.data = mujoco.MjData(self.model)
        fingers = np.arange(self.model.nu) >= self.model.nu - 22
        self.sigma = np.where(fingers, settings.sigma, settings.sigma_arm)
        self.close = np.array([_closing(self.model.actuator(i).name) for i in range(self.model.nu)])
        positions = np.linspace(0, settings.horizon - 1, settings.knots)
        spline = CubicSpline(positions, np.eye(settings.knots), bc_type="natural")
        self.spread = spline(np.arange(settings.horizon))  # [H, K]
        self.gather = np.linalg.pinv(self.spread)  # [K, H]

    def simulate(self, actions: np.ndarray) -> np.ndarray:
        """Cost of every step of action sequences ``[N, H, A]`` from where the task is -> ``[N, H]``."""
        env, model = self.task._env, self.model
        model.body_pos[:], model.body_quat[:] = env.model.body_pos, env.model.body_quat
        state = np.empty(mujoco.mj_stateSize(env.model, FULL))
        mujoco.mj_getState(env.model, env.data, state, FULL)
        n = len(actions)
        inner = self.settings.substeps
        control = np.repeat(env.act_mean + np.clip(actions, -1, 1) * env.act_rng, inner, axis=1)
        warm = np.repeat(env.data.qacc_warmstart[None], n, 0)
        states, sensed = rollout.rollout(
            model, self.data, np.repeat(state[None], n, 0), control, initial_warmstart=warm
        )
        states, sensed = states[:, inner - 1 :: inner], sensed[:, inner - 1 :: inner]
        q, v = states[..., 1 : 1 + model.nq], states[..., 1 + model.nq : 1 + model.nq + model.nv]
        return np.nan_to_num(COSTS[self.task.name](lambda name: sensed[..., self.places[name]], q, v), nan=1e6)

    def improve(self, knots: np.ndarray) -> np.ndarray:
        """One round: from knots ``[K, A]`` to better ones."""
        s, rng = self.settings, self.rng
        n, half = s.samples, s.samples // 2
        noise = rng.standard_normal((n, *knots.shape)) * self.sigma * np.exp(rng.normal(0, 0.5, (n, 1, 1)))
        noise[:half] *= rng.random((half, 1, knots.shape[1])) < 0.35
        if s.synergy:
            along = 0.5 * rng.standard_normal((n, s.knots, 1)) + rng.standard_normal((n, 1, 1))
            noise += s.synergy * along * self.close * (rng.random((n, 1, 1)) < 0.5)
        noise[0] = 0.0
        tried = np.clip(knots + noise, -1, 1)
        actions = np.clip(np.einsum("hk,nka->nha", self.spread, tried), -1, 1)
        cost = self.simulate(actions)
        return tried[np.argmin(cost.mean(1) + cost[:, -3:].mean(1))]


@dataclass
class Trajectory:
    """What was done, and what came of it."""

    actions: list[np.ndarray] = field(default_factory=list)  # [A]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def solved_steps(self) -> int:
        """In how many steps both rules of success held."""
        return sum(o.success and bool(o.success_alt) for o in self.outcomes)


def plan_episode(
    task: Adroit,
    seed: int,
    settings: Settings,
    stop_after: int | None = None,
    length: int | None = None,
) -> Trajectory:
    """Run one episode under the planner.

    Args:
        task: Where it is executed.
        seed: Of the episode and of the sampling.
        settings: How to plan.
        stop_after: End after so many solved steps.
        length: Longest episode; None: the task's.
    """
    task.reset(seed)
    planner, found = Planner(task, settings, np.random.default_rng(seed)), Trajectory()
    knots = np.tile(rest(task), (settings.knots, 1))
    length = length or task.spec.max_steps
    while len(found.actions) < length:
        start = len(found.actions)
        for _ in range(1 if start else settings.first):
            knots = planner.improve(knots)
        plan = np.clip(planner.spread @ knots, -1, 1)
        for action in plan[: min(settings.replan, length - start)]:
            found.actions.append(action)
            found.outcomes.append(task.step(action))
            if found.outcomes[-1].done:
                return found
        if stop_after is not None and found.solved_steps >= stop_after:
            return found
        knots = planner.gather @ np.concatenate([plan[settings.replan :], np.repeat(plan[-1:], settings.replan, 0)])
    return found


def rest(task: Adroit) -> np.ndarray:
    """The action that holds all joints at zero, or as near as their actuators reach ``[A]``."""
    env = task._env
    low, high = env.model.actuator_ctrlrange.T
    return (np.clip(0.0, low, high) - env.act_mean) / env.act_rng


def _closing(actuator: str) -> float:
    """Direction in which an actuator closes the hand."""
    finger, joint = actuator[2:4], actuator[-1]
    if finger == "TH":
        return {"0": -1.0, "1": -1.0, "3": 0.7}.get(joint, 0.0)
    return 1.0 if finger in ("FF", "MF", "RF", "LF") and joint in "012" else 0.0
