"""What DexArt counts as contact, progress and success, and its dense reward."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from envs.dexart.objects import HANDLE, HINGE, ROOT, Shape
from envs.dexart.robot import ARM_LINKS, FINGERS, JOINTS, PALM
from envs.dexart.scenes import PHYSICS_STEP

HORIZON = 250  # control steps; the clock in the state vector and the reward count to it
TOUCH = 1e-2  # N s in the last physics step
FAR, TOUCHLESS, HOLDING = 1, 2, 3  # the states of the reward
PARTS = 5  # thumb, index, middle, ring finger, palm


@dataclass(frozen=True)
class Rule:
    """The numbers of a task."""

    reach: float  # m; the palm is near the handle within this distance of its reference point
    fingers: int  # that must touch the handle
    palm: bool  # whether the palm must touch it too
    upstream: float  # progress (faucet: angle) that DexArt asks for
    dp3: float  # the eased one of the 3D Diffusion Policy benchmark
    upstream_lift: float = 0.0  # m, bucket only
    dp3_lift: float = 0.0
    effort: float = 0.01  # weight of the penalty on speed and tracking error


RULES = {
    "laptop": Rule(0.2, 2, True, 0.95, 0.8),
    "faucet": Rule(0.2, 2, True, 1.5, 1.2),
    "toilet": Rule(0.1, 2, False, 0.95, 0.95, effort=0.005),
    "bucket": Rule(0.2, 3, False, 0.7, 0.7, upstream_lift=0.25, dp3_lift=0.15, effort=0.1),
}


@dataclass(frozen=True)
class Situation:
    """What the rules see in one control step."""

    progress: float  # of the joint, 1 at the goal; faucet: its angle in radians
    lift: float  # m that the root has risen since the start
    distance: float  # m from the palm to the handle's reference point
    height: float  # m of the palm, world
    touch: np.ndarray  # [5] bool: thumb, index, middle, ring finger, palm against the handle
    root_touch: float  # share of these parts that touch the rest of the object
    arm_touch: bool  # whether the arm touches the object
    contact: bool  # enough of these parts touch the handle
    state: int  # FAR, TOUCHLESS or HOLDING
    upstream: bool  # DexArt's success
    dp3: bool  # success of the 3D Diffusion Policy benchmark


class Referee:
    """Judges the states of one scene."""

    def __init__(self, task: str, model: mujoco.MjModel, shape: Shape) -> None:
        self.task, self.rule = task, RULES[task]
        self._model, self._shape = model, shape
        self._hinge = int(model.joint(HINGE).qposadr[0])
        self._handle, self._root, self._palm = (model.body(name).id for name in (HANDLE, ROOT, PALM))
        part = np.full(model.nbody, -1)
        for index, links in enumerate((*FINGERS, (PALM,))):
            part[[model.body(link).id for link in links]] = index
        part[[model.body(link).id for link in ARM_LINKS]] = PARTS
        self._part = part[model.geom_bodyid]
        # A faucet is judged by the origin of its handle link, the others by the place where one takes hold of them.
        self._site = None if task == "faucet" else model.site("grip").id

    def judge(self, data: mujoco.MjData, height: float) -> Situation:
        """The situation after a control step, of an object whose root started at ``height``."""
        rule = self.rule
        touch, root_touch, arm_touch = self._touches(data)
        reference = data.xpos[self._handle] if self._site is None else data.site_xpos[self._site]
        distance = float(np.linalg.norm(data.xpos[self._palm] - reference))
        lift = float(data.xpos[self._root, 2]) - height
        progress = self._progress(float(data.qpos[self._hinge]))
        holding = bool(touch[:4].sum() >= rule.fingers and (touch[4] or not rule.palm))
        if self.task == "bucket":
            state = FAR if distance > rule.reach else HOLDING if holding and progress >= 0.5 else TOUCHLESS
            upstream = progress > rule.upstream and lift > rule.upstream_lift
            dp3 = progress > rule.dp3 and lift > rule.dp3_lift
        else:
            state = FAR if distance > rule.reach else HOLDING if holding else TOUCHLESS
            upstream = state == HOLDING and progress > rule.upstream
            dp3 = state == HOLDING and progress > rule.dp3
        seen = (progress, lift, distance, float(data.xpos[self._palm, 2]), touch, root_touch, arm_touch, holding)
        return Situation(*seen, state, bool(upstream), bool(dp3))

    def _progress(self, angle: float) -> float:
        if self.task == "faucet":
            return abs(angle)
        return 1.0 - abs(angle - self._shape.half) / (self._shape.half - self._shape.start)

    def _touches(self, data: mujoco.MjData) -> tuple[np.ndarray, float, bool]:
        impulse = np.zeros((2, PARTS))  # against the handle, against the rest
        arm_touch = False
        force = np.zeros(6)
        body = self._model.geom_bodyid
        for index, (first, second) in enumerate(data.contact.geom[: data.ncon]):
            for robot, thing in ((first, second), (second, first)):
                if self._part[robot] < 0 or body[thing] not in (self._handle, self._root):
                    continue
                if self._part[robot] == PARTS:
                    arm_touch = True
                    continue
                mujoco.mj_contactForce(self._model, data, index, force)
                impulse[int(body[thing] == self._root), self._part[robot]] += np.abs(force[:3]).sum() * PHYSICS_STEP
        return impulse[0] >= TOUCH, float((impulse[1] >= TOUCH).mean()), arm_touch


def reward(
    task: str, now: Situation, before: Situation, step: int, data: mujoco.MjData, palm: int, slip: float
) -> float:
    """DexArt's dense reward.

    Args:
        task: name of the task.
        now: the situation after the step.
        before: the one before it.
        step: number of control steps so far.
        data: for speeds and the orientation of the palm.
        palm: body id of the palm.
        slip: m by which the wrist missed the motion that it was told to make.
    """
    rule, grasp = RULES[task], 0.2 * now.contact - 0.1 * now.arm_touch
    if now.state == FAR:
        value = -0.1 * min(now.distance, 0.5) + 0.5 * min(now.progress, 0.0)
    elif task == "bucket":
        value = 0.2 * float(data.xmat[palm, 6]) - 0.2 * now.root_touch + grasp
        value += (0.5 + 0.2 * float(now.touch.mean())) * now.progress
        if now.state == HOLDING:
            value += (10.0 * now.lift / 0.3 if now.lift < 0.3 else 0.0) + 100.0 * (now.height - before.height)
        else:
            value -= 0.01 * float(np.linalg.norm(data.cvel[palm, 3:]) + np.linalg.norm(data.cvel[palm, :3]))
    else:
        value = grasp + (now.progress if now.state == HOLDING else 0.0)
    if now.upstream:
        value += (HORIZON - step) * 1.2 * now.progress
    effort = 0.01 * float(np.sum(np.clip(data.qvel[:JOINTS], -1.0, 1.0) ** 2)) + 1e3 * slip**2
    return value - rule.effort * effort
