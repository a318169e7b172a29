"""What the experts share: plan a grasp that the arm can follow all the way, and turn wishes into actions.

An expert is a generator of wishes (twist of the wrist, hand joints): what it wants next, given what it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from envs.dexart.arm import Arm, Pose
from envs.dexart.grasps import Grasp
from envs.dexart.objects import HINGE, ROOT
from envs.dexart.robot import ARM_JOINTS, JOINTS, PALM, WRIST
from envs.dexart.scenes import CONTROL_STEP, LAYOUTS

if TYPE_CHECKING:
    from envs.dexart.task import DexArt

GAIN = 0.5  # part of the way to the wanted joints that a control step asks for
STARTS, NEAR = 48, 12  # where a search for arm joints starts: in a box, and about `Expert.HOME`
START_LOW, START_HIGH = (-1.2, -0.9, -2.6, -3.3, -1.6, -3.3), (1.2, 1.2, -0.1, 3.3, 3.1, 3.3)  # rad
HOME_SPREAD = 0.5  # rad
DISTURBANCE, HELD, SPARED = 0.3, 6, 12  # m/s and rad/s; control steps; first steps, in which the wrist is singular
"""Experts are disturbed, with zero mean: states beside the straight way are shown too, and the speed of the hand does
not tell what it does next. Without it a clone goes on as fast as it went, and once it stands it stands."""
CALM = 0.1  # m; further away the palm turns more slowly, so that the wrist leaves its singularity first
TOLERANCE = 0.02  # m and rad added
Wishes = Iterator[tuple[np.ndarray, np.ndarray]]

BUMP = 1.0  # rad that one place with a collision costs
AWAY_FROM_HOME, LATER = 5.0, 3.0  # times that a radian there counts; rad that a later route costs


class Expert:
    """What all experts share: planning, and turning wishes into actions."""

    HOME: tuple[float, ...] | None = None  # rad; the arm takes hold in the way that is nearest to this one

    def __init__(self, task: DexArt) -> None:
        self.task = task
        self.arm = Arm(LAYOUTS[task.name].base)
        self.goal = self.joints()
        self._wishes = self.script()
        self._rng = np.random.default_rng([task.seed, 1])
        self._disturbance = np.zeros(ARM_JOINTS)

    def act(self) -> np.ndarray:
        """The next action ``[22]``."""
        twist, hand = next(self._wishes)
        if self.task.steps % HELD == 0 and self.task.steps >= SPARED:
            self._disturbance = self._rng.uniform(-DISTURBANCE, DISTURBANCE, ARM_JOINTS)
        # less of it near the handle, where it would spoil the grasp
        twist = twist + self._disturbance * np.clip(self.task.situation.distance / 0.2 - 1.0, 0.0, 1.0)
        twist = np.clip(twist, -1.0, 1.0)
        limits = self.task.model.jnt_range[ARM_JOINTS:JOINTS]
        hand = (np.clip(hand, limits[:, 0], limits[:, 1]) - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
        return np.concatenate([twist, 2.0 * hand - 1.0])

    def to_joints(self, joints: np.ndarray) -> np.ndarray:
        """Twist of the wrist ``[6]`` that brings the arm nearer to joint positions."""
        speed = (joints - self.joints()) * (GAIN / CONTROL_STEP)
        twist = self.task.wrist_jacobian() @ speed
        return twist / max(1.0, np.abs(twist).max(), np.abs(speed).max() / 2.0)

    def to_pose(self, pose: Pose) -> np.ndarray:
        """Twist of the wrist ``[6]`` that brings the palm straight nearer to a pose: a function of the two alone."""
        palm = self.task.data.body(PALM)
        error, spin = np.empty(4), np.empty(3)
        mujoco.mju_mat2Quat(error, (pose.turn @ palm.xmat.reshape(3, 3).T).ravel())
        mujoco.mju_quat2Vel(spin, error, CONTROL_STEP / GAIN)
        spin *= CALM / max(float(np.linalg.norm(pose.place - palm.xpos)), CALM)
        arm = self.task.data.body(WRIST).xpos - palm.xpos
        twist = np.concatenate([(pose.place - palm.xpos) * (GAIN / CONTROL_STEP) + np.cross(spin, arm), spin])
        return twist / max(1.0, np.abs(twist).max())

    def script(self) -> Wishes:
        """Wanted twist of the wrist and hand joints, step by step, without end."""
        raise NotImplementedError

    def joints(self) -> np.ndarray:
        """Arm joints ``[6]`` as they are."""
        return self.task.data.qpos[:ARM_JOINTS].copy()

    def angle(self) -> float:
        """The handle's joint as it is."""
        return float(self.task.data.joint(HINGE).qpos[0])

    def error(self, pose: Pose) -> float:
        """How far the palm is from a pose: metres and a fifth of the radians, whichever is more."""
        return max(float(np.linalg.norm(self.task.data.body(PALM).xpos - pose.place)), self.turn_error(pose) / 5.0)

    def turn_error(self, pose: Pose) -> float:
        """The angle in radians between the palm's frame and that of a pose."""
        cosine = ((pose.turn * self.task.data.body(PALM).xmat.reshape(3, 3)).sum() - 1.0) / 2.0
        return float(np.arccos(np.clip(cosine, -1.0, 1.0)))

    def rise(self, height: float, hand: np.ndarray) -> Wishes:
        """Lift the hand straight up, away from what it starts beside."""
        start = self.arm.forward(self.joints())
        yield from self.follow(lambda s: start.raised(s * height), 6, hand)

    def go(self, joints: np.ndarray, hand: np.ndarray, tolerance: float = 0.08, patience: int = 110) -> Wishes:
        """Move the arm in joint space."""
        for _ in range(patience):
            if np.abs(joints - self.joints()).max() < tolerance:
                break
            yield self.to_joints(joints), hand

    def follow(self, poses: Callable[[float], Pose], steps: int, hand: np.ndarray, tolerance: float = 0.04) -> Wishes:
        """Move the palm along ``poses(0..1)``, no faster than it can follow; ends near the last one."""
        for step in range(1, steps + 1):
            pose = poses(step / steps)
            self.goal = self.track(pose, self.goal)
            for _ in range(8):
                yield self.to_joints(self.goal), hand
                if self.error(pose) < tolerance:
                    break

    def grasp(self, kind: type[Grasp]) -> Grasp:
        """The grasp of this episode's object."""
        data = self.task.data
        root = data.body(ROOT)
        return kind(
            self.task.shape, Pose(root.xpos.copy(), root.xmat.reshape(3, 3).copy()), data.joint(HINGE).xanchor.copy()
        )

    def track(self, pose: Pose, joints: np.ndarray, steps: int = 3) -> np.ndarray:
        """Arm joints for a palm pose, on the branch of ``joints``."""
        return self.arm.solve(pose, joints, steps)[0]

    def plan(self, routes: list[list[Pose]], hand: np.ndarray, free: int) -> tuple[int, np.ndarray]:
        """Choose a route and the arm joints ``[6]`` at its first pose.

        Args:
            routes: alternatives, each a list of palm poses of the same length.
            hand: posture on the way to the first pose.
            free: number of poses that must be reached without touching anything.

        Returns:
            number of the route and joints: of those that reach all poses and do not bump into things on their way,
            the one nearest to `HOME`, or with the least motion where there is no home. The latter is now this one, now
            another, by a hair: a choice that no policy can learn.
        """
        here, rng = self.joints(), np.random.default_rng(0)
        starts = list(rng.uniform(START_LOW, START_HIGH, (STARTS, ARM_JOINTS)))
        if self.HOME is not None:
            starts = [np.array(self.HOME), *rng.normal(self.HOME, HOME_SPREAD, (NEAR, ARM_JOINTS)), *starts]
        ways: dict[tuple[float, ...], tuple[float, int, np.ndarray]] = {}
        for number, route in enumerate(routes):
            for start in starts:
                joints, error = self.arm.solve(route[0], start, 60)
                if error > TOLERANCE or (key := (number, *joints.round(1))) in ways:
                    continue
                way, cost = [joints], 0.0
                for pose in route[1:]:
                    joints, error = self.arm.solve(pose, way[-1], 8)
                    cost += float(np.abs(joints - way[-1]).sum()) + (1.0 + 10.0 * error) * (error > TOLERANCE)
                    way.append(joints)
                if self.HOME is None:
                    cost += 2.0 * self._duration(here, way[0])
                else:
                    cost += AWAY_FROM_HOME * float(np.abs(way[0] - self.HOME).sum()) + LATER * number
                ways[key] = cost, number, np.stack(way)
        if not ways:
            return 0, here
        best = sorted(ways.values(), key=lambda way: way[0])[:12]
        total = [cost + BUMP * self._bumps(way, hand, free) for cost, _, way in best]
        _, number, way = best[int(np.argmin(total))]
        return number, way[0]

    def _duration(self, start: np.ndarray, end: np.ndarray) -> float:
        """Seconds that a straight way in joint space takes: the palm turns by 1 rad/s at most, and moves by 1 m/s."""
        poses = [self.arm.forward(joints) for joints in np.linspace(start, end, 9)]
        seconds = 0.0
        for one, two in pairwise(poses):
            cosine = ((one.turn * two.turn).sum() - 1.0) / 2.0
            turn = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
            seconds += max(turn, float(np.linalg.norm(two.place - one.place)))
        return seconds

    def _bumps(self, way: np.ndarray, hand: np.ndarray, free: int) -> int:
        """At how many points of a way [K, 6] the arm touches anything, or the hand anything before it may."""
        task, data = self.task, mujoco.MjData(self.task.model)
        data.qpos[:], data.mocap_pos[:], data.mocap_quat[:] = task.data.qpos, task.data.mocap_pos, task.data.mocap_quat
        data.qpos[ARM_JOINTS:JOINTS] = hand
        approach = np.linspace(self.joints(), way[0], 10)[1:]
        count = 0
        for row, joints in enumerate([*approach, *way[1:]]):
            data.qpos[:ARM_JOINTS] = joints
            mujoco.mj_fwdPosition(task.model, data)
            count += self._touches(data, arm_only=row >= len(approach) + free - 1)
        return count

    def _touches(self, data: mujoco.MjData, arm_only: bool) -> bool:
        """Whether the robot touches something else; the robot's bodies lie between the world and the object."""
        model = self.task.model
        last, root = model.body(WRIST).id if arm_only else model.body(ROOT).id - 1, model.body(ROOT).id
        low, high = np.sort(model.geom_bodyid[data.contact.geom[: data.ncon]], axis=1).T
        with_ground, with_object = (low == 0) & (high <= last), (high >= root) & (low > 0) & (low <= last)
        return bool((with_ground | with_object).any())
