"""Scripted closed-loop experts: plan a grasp that the arm can follow all the way, then follow the handle.

An expert is a generator of (arm joints, hand joints): what it wants next, given what the simulator shows. `Servo` turns
that into actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import mujoco
import numpy as np

from envs.dexart.arm import Arm, Pose
from envs.dexart.grasps import BailGrasp, Grasp, LeverGrasp, LidGrasp, posture
from envs.dexart.objects import HANDLE, HINGE, ROOT
from envs.dexart.robot import ARM_JOINTS, JOINTS, PALM
from envs.dexart.rules import RULES
from envs.dexart.scenes import CONTROL_STEP, LAYOUTS
from envs.dexart.task import DexArt

GAIN = 0.5  # part of the way to the wanted joints that a control step asks for
STARTS = 48
START_LOW, START_HIGH = (-1.2, -0.9, -2.6, -3.3, -1.6, -3.3), (1.2, 1.2, -0.1, 3.3, 3.1, 3.3)  # rad
TOLERANCE = 0.02  # m and rad added
Wishes = Iterator[tuple[np.ndarray, np.ndarray]]

BUMP = 1.0  # rad that one place with a collision costs


class Expert:
    """What all experts share: planning, and turning wishes into actions."""

    def __init__(self, task: DexArt) -> None:
        self.task = task
        self.arm = Arm(LAYOUTS[task.name].base)
        self.goal = self.joints()
        self._wishes = self.script()

    def act(self) -> np.ndarray:
        """The next action ``[22]``."""
        joints, hand = next(self._wishes)
        task = self.task
        speed = (joints - self.joints()) * (GAIN / CONTROL_STEP)
        twist = task.wrist_jacobian() @ speed
        twist /= max(1.0, np.abs(twist).max(), np.abs(speed).max() / 2.0)
        limits = task.model.jnt_range[ARM_JOINTS:JOINTS]
        hand = (np.clip(hand, limits[:, 0], limits[:, 1]) - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
        return np.concatenate([twist, 2.0 * hand - 1.0])

    def script(self) -> Wishes:
        """Wanted arm and hand joints, step by step, without end."""
        raise NotImplementedError

    def joints(self) -> np.ndarray:
        """Arm joints ``[6]`` as they are."""
        return self.task.data.qpos[:ARM_JOINTS].copy()

    def angle(self) -> float:
        """The handle's joint as it is."""
        return float(self.task.data.joint(HINGE).qpos[0])

    def error(self, pose: Pose) -> float:
        """How far the palm is from a pose: metres and a fifth of the radians, whichever is more."""
        palm = self.task.data.body(PALM)
        cosine = ((pose.turn * palm.xmat.reshape(3, 3)).sum() - 1.0) / 2.0
        turn = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
        return max(float(np.linalg.norm(palm.xpos - pose.place)), turn / 5.0)

    def rise(self, height: float, hand: np.ndarray) -> Wishes:
        """Lift the hand straight up, away from what it starts beside."""
        start = self.arm.forward(self.joints())
        yield from self.follow(lambda s: Pose(start.place + [0.0, 0.0, s * height], start.turn), 6, hand)

    def go(self, joints: np.ndarray, hand: np.ndarray, tolerance: float = 0.08, patience: int = 110) -> Wishes:
        """Move the arm in joint space."""
        for _ in range(patience):
            if np.abs(joints - self.joints()).max() < tolerance:
                break
            yield joints, hand

    def follow(self, poses: Callable[[float], Pose], steps: int, hand: np.ndarray, tolerance: float = 0.04) -> Wishes:
        """Move the palm along ``poses(0..1)``, no faster than it can follow; ends near the last one."""
        for step in range(1, steps + 1):
            pose = poses(step / steps)
            self.goal = self.track(pose, self.goal)
            for _ in range(8):
                yield self.goal, hand
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
            number of the route and joints: of those that reach all poses, the one with the least motion that does not
            bump into things on its way.
        """
        rng = np.random.default_rng(0)
        starts = rng.uniform(START_LOW, START_HIGH, (STARTS, ARM_JOINTS))
        here = self.joints()
        ways: dict[tuple[float, ...], tuple[float, int, np.ndarray]] = {}
        for number, route in enumerate(routes):
            for start in starts:
                joints, error = self.arm.solve(route[0], start, 60)
                if error > TOLERANCE or (key := (number, *joints.round(1))) in ways:
                    continue
                way, cost = [joints], 2.0 * self._duration(here, joints)
                for pose in route[1:]:
                    joints, error = self.arm.solve(pose, way[-1], 8)
                    cost += float(np.abs(joints - way[-1]).sum()) + (1.0 + 10.0 * error) * (error > TOLERANCE)
                    way.append(joints)
                ways[key] = cost, number, np.stack(way)
        if not ways:
            return 0, here
        best = sorted(ways.values(), key=lambda way: way[0])[:12]
        total = [cost + BUMP * self._bumps(way, hand, free) for cost, _, way in best]
        self.plan_cost, self.plan_bumps = best[int(np.argmin(total))][1], min(total)-best[int(np.argmin(total))][0]
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
        model = self.task.model
        arm, root = model.body("link6").id, model.body("base_link").id
        for first, second in model.geom_bodyid[data.contact.geom[: data.ncon]]:
            low, high = min(first, second), max(first, second)
            robot, thing = (low, high) if self._is_robot(low) else (high, low)
            if self._is_robot(thing) or not self._is_robot(robot):
                continue
            if not arm_only or robot <= arm or robot < root:
                return True
        return False

    def _is_robot(self, body: int) -> bool:
        model = self.task.model
        return model.body("link_base").id <= body < model.body(ROOT).id


class LidExpert(Expert):
    """Laptop and toilet: lift the lid with the fingers, press the palm on its edge, follow its arc."""

    RATE, OVER, PRESS, KNUCKLE, BACK = 0.016, 0.06, 0.03, 1.3, 0.09

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp, shape = self.grasp(LidGrasp), self.task.shape
        palm = RULES[self.task.name].palm  # bent fingers bring the lid's edge before the palm
        tilt, bend, gap, lead = np.pi / 2 - self.KNUCKLE, *((0.3, 0.03, 0.15) if palm else (0.15, 0.016, 0.25))
        grasp = LidGrasp(grasp.shape, grasp.root, grasp.hinge, gap)
        hand = posture(self.KNUCKLE, bend, 0.6 * bend, (0.263, 0.0, 0.0, 0.0))
        start = shape.start

        def way(back: float, up: float) -> Pose:
            pose = grasp.pose(max(self.angle(), start), back, tilt)
            return Pose(pose.place + [0.0, 0.0, up], pose.turn)

        arc = [grasp.pose(angle, 0.0, tilt) for angle in np.linspace(start, shape.half, 8)]
        before = [way(0.17, 0.2), way(0.17, 0.1), way(0.17, 0.0), way(self.BACK, 0.0)]
        yield from self.rise(0.15, hand)
        _, first = self.plan([before + arc], hand, free=4)
        yield from self.go(first, hand)
        self.goal = first
        yield from self.follow(lambda s: way(0.17, 0.2 * (1 - s)), 10, hand)
        yield from self.follow(lambda s: way(0.17 + (self.BACK - 0.17) * s, 0.0), 6, hand, 0.02)
        goal, press = start, self.PRESS
        while True:
            angle, touches = self.angle(), self.task.situation.touch
            lifted = np.clip((angle - start) / 0.4, 0.0, 1.0)
            if palm and lifted == 1.0:
                press = np.clip(press + (-0.001 if touches[4] else 0.002), 0.0, 0.07)
            slow = 0.6 if angle > shape.half - 0.2 else 1.0  # the goal is narrow: do not fly past it
            goal = min(goal + slow * self.RATE, angle + slow * lead, shape.half + self.OVER)
            self.goal = self.track(grasp.pose(goal, self.BACK * (1 - lifted) - press * lifted, tilt), self.goal)
            yield self.goal, hand


class LeverExpert(Expert):
    """Faucet: palm behind the lever, fingers round it, then turn with it."""

    RATE, LEAD, PRESS, TILTS = 0.03, 0.2, 0.01, (1.5, 1.25, 1.0)
    OPEN = posture(1.3, 0.3, 0.2, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp, shape = self.grasp(LeverGrasp), self.task.shape
        end = min(2 * shape.half, 1.6)

        def way(tilt: float, back: float, up: float) -> Pose:
            pose = grasp.pose(self.angle(), back, tilt)
            return Pose(pose.place + [0.0, 0.0, up], pose.turn)

        yield from self.rise(0.15, self.OPEN)
        routes = []
        for tilt in self.TILTS:
            before = [way(tilt, 0.05, 0.16), way(tilt, 0.05, 0.08), way(tilt, 0.05, 0.0), way(tilt, 0.0, 0.0)]
            routes.append(before + [grasp.pose(angle, 0.0, tilt) for angle in np.linspace(0.0, end, 8)])
        number, first = self.plan(routes, self.OPEN, free=3)
        tilt = self.TILTS[number]
        yield from self.go(first, self.OPEN)
        self.goal = first
        yield from self.follow(lambda s: way(tilt, 0.05, 0.16 * (1 - s)), 8, self.OPEN)
        yield from self.follow(lambda s: way(tilt, 0.05 * (1 - s), 0.0), 4, self.OPEN, 0.02)
        goal, press = self.angle(), self.PRESS
        while True:
            angle, touches = self.angle(), self.task.situation.touch
            press = np.clip(press + (-0.001 if touches[4] else 0.002), 0.0, 0.05)
            goal = min(goal + self.RATE, angle + self.LEAD, end + 0.1)
            pose = grasp.pose(goal, 0.0, tilt)
            self.goal = self.track(Pose(pose.place + press * pose.turn[:, 0], pose.turn), self.goal)
            yield self.goal, self.CLOSED


class BailExpert(Expert):
    """Bucket: palm behind the bail, fingers round it, then straight up."""

    TILTS, LIFT, SPEED = (-0.4, -0.2, 0.0, 0.15), 0.40, 0.018
    OPEN = posture(1.57, 0.1, 0.1, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp = self.grasp(BailGrasp)

        def way(tilt: float, back: float, up: float) -> Pose:
            pose = grasp.pose(0.0, back, tilt)
            return Pose(pose.place + [0.0, 0.0, up], pose.turn)

        rising = np.linspace(0.0, self.LIFT, 5)
        routes = [[way(t, 0.17, 0.0), way(t, 0.1, 0.0), *(way(t, 0.0, up) for up in rising)] for t in self.TILTS]
        number, first = self.plan(routes, self.OPEN, free=2)
        tilt = self.TILTS[number]
        yield from self.go(first, self.OPEN)
        self.goal = first
        yield from self.follow(lambda s: way(tilt, 0.17 * (1 - s), 0.0), 6, self.OPEN, 0.02)
        for _ in range(8):
            yield self.goal, self.CLOSED
        up = 0.0
        while True:
            up = min(up + self.SPEED, self.LIFT)
            self.goal = self.track(way(tilt, 0.0, up), self.goal)
            yield self.goal, self.CLOSED


def expert(task: DexArt) -> Expert:
    """The expert of a task, for the episode that it is in."""
    return {"laptop": LidExpert, "toilet": LidExpert, "faucet": LeverExpert, "bucket": BailExpert}[task.name](task)
