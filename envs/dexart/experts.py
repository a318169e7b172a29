"""The four experts: lids are lifted, a lever is turned, a bail is carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.dexart.arm import Pose
from envs.dexart.expert import Expert, Wishes
from envs.dexart.grasps import BailGrasp, LeverGrasp, LidGrasp, posture
from envs.dexart.robot import PALM

if TYPE_CHECKING:
    from envs.dexart.task import DexArt


def expert(task: DexArt) -> Expert:
    """The expert of a task, for the episode that it is in."""
    kinds = {"laptop": LaptopExpert, "toilet": ToiletExpert, "faucet": LeverExpert, "bucket": BailExpert}
    return kinds[task.name](task)


class LidExpert(Expert):
    """Laptop and toilet: the fingers lift the lid, the palm presses on its edge and follows its arc."""

    OVER, PRESS, KNUCKLE, AWAY, BACK, HIGH = 0.06, 0.03, 1.3, 0.17, 0.09, 0.2  # rad, m, rad, m, m, m
    BEND, GAP, LEAD = 0.3, 0.03, 0.1  # rad; m from fingers to lid; rad that the hand is ahead of it

    def __init__(self, task: DexArt) -> None:
        self.hand = posture(self.KNUCKLE, self.BEND, 0.6 * self.BEND, (0.263, 0.0, 0.0, 0.0))
        self.tilt = np.pi / 2 - self.KNUCKLE  # bent fingers bring the lid's edge before the palm
        super().__init__(task)
        grasp = self.grasp(LidGrasp)
        self.lid = LidGrasp(grasp.shape, grasp.root, grasp.hinge, self.GAP)

    def before(self, back: float, up: float) -> Pose:
        """The palm in front of the lid's edge, ``up`` metres too high."""
        return self.lid.pose(max(self.angle(), self.task.shape.start), back, self.tilt).raised(up)

    def ahead(self, goal: float) -> Pose:
        """The palm where it lifts the lid to an angle: nearer to its edge, and then against it, as it rises."""
        lifted = np.clip((self.angle() - self.task.shape.start) / 0.4, 0.0, 1.0)
        return self.lid.pose(goal, self.BACK * (1 - lifted) - self.PRESS * lifted, self.tilt)

    def lead(self) -> float:
        """Rad that the hand goes ahead of the lid now: the goal is narrow, do not fly past it."""
        return self.LEAD * (0.6 if self.angle() > self.task.shape.half - 0.2 else 1.0)


class LaptopExpert(LidExpert):
    """One law of motion: every action follows from where hand and lid are, from no plan, no phase and no clock.

    What an expert knows and does not show cannot be learned from it.
    """

    def script(self) -> Wishes:
        """See `Expert.script`."""
        while True:
            yield self.to_pose(self.target()), self.hand

    def target(self) -> Pose:
        """Where the palm has to go now: above the place in front of the lid, down to it, in, and up with the lid.

        The height sinks as the hand gets into line with the lid, the distance to the lid as the hand gets down, and the
        lid is lifted as far as the hand is where it has to be.
        """
        start, half, palm = self.task.shape.start, self.task.shape.half, self.task.data.body(PALM)
        lined_up = self.before(self.BACK, 0.0)
        side, out = self.lid.root.turn[:, 1], -self.lid.root.turn[:, 0]
        offset = palm.xpos - lined_up.place
        high, far = float(offset[2]), float(offset @ out)
        twisted = self.turn_error(lined_up) / 5.0
        away = np.clip(3.0 * (abs(high) - 0.015), 0.0, self.AWAY - self.BACK)
        wrong = max(abs(float(offset @ side)), twisted, away - far)
        up = np.clip(3.0 * (wrong - 0.02), 0.0, self.HIGH)
        ready = np.clip(2.0 - max(wrong, abs(high), abs(far)) / 0.02, 0.0, 1.0)
        ready = max(ready, np.clip((self.angle() - start) / 0.1, 0.0, 1.0))
        if ready == 0.0:
            return self.before(self.BACK + away, up)
        return self.ahead(min(self.angle() + ready * self.lead(), half + self.OVER))


class ToiletExpert(LidExpert):
    """By a plan, and along its arm configurations: from the higher stand a straight way may end at a joint's limit."""

    BEND, GAP, LEAD, RATE = 0.15, 0.016, 0.25, 0.016

    def script(self) -> Wishes:
        """See `Expert.script`."""
        start, half, hand = self.task.shape.start, self.task.shape.half, self.hand
        before = [self.before(self.AWAY, up) for up in (0.2, 0.1, 0.0)] + [self.before(self.BACK, 0.0)]
        arc = [self.lid.pose(angle, 0.0, self.tilt) for angle in np.linspace(start, half, 8)]
        yield from self.rise(0.15, hand)
        _, first = self.plan([before + arc], hand, free=4)
        yield from self.go(first, hand)
        self.goal = first
        yield from self.follow(lambda s: self.before(self.AWAY, 0.2 * (1 - s)), 10, hand)
        yield from self.follow(lambda s: self.before(self.AWAY + (self.BACK - self.AWAY) * s, 0.0), 6, hand, 0.02)
        goal = start
        while True:
            slow = self.lead() / self.LEAD
            goal = min(goal + slow * self.RATE, self.angle() + self.lead(), half + self.OVER)
            self.goal = self.track(self.ahead(goal), self.goal)
            yield self.to_joints(self.goal), hand


class LeverExpert(Expert):
    """Faucet: palm over the lever, fingers hooked behind it and closed round it, then turn with it.

    First to a planned place above, the wrist always turned to the same side; then a law of motion.
    """

    HOME = (0.0, 0.0, -1.5, 0.0, 1.5, -1.6)
    LEAD, PRESS, TILTS, HIGH, BEHIND = 0.12, 0.03, (1.5, 1.25, 1.0), 0.2, 0.06  # rad, m, rad, m, m
    OPEN = posture(1.3, 0.3, 0.2, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp, shape = self.grasp(LeverGrasp), self.task.shape
        end = min(2 * shape.half, 1.6)
        yield from self.rise(0.28, self.OPEN)
        routes = []
        for tilt in self.TILTS:
            before = [grasp.pose(0.0, self.BEHIND, tilt).raised(up) for up in (0.2, 0.1, 0.0)]
            routes.append([*before, *(grasp.pose(angle, 0.0, tilt) for angle in np.linspace(0.0, end, 9))])
        number, first = self.plan(routes, self.OPEN, free=3)
        tilt = self.TILTS[number]
        yield from self.go(first, self.OPEN)
        while True:
            pose, angle = grasp.pose(self.angle(), 0.0, tilt), self.angle()
            offset = pose.turn.T @ (self.task.data.body(PALM).xpos - pose.place)
            wrong = max(np.linalg.norm(offset), self.turn_error(pose) / 5.0)
            if wrong > 0.045:
                high = self.task.data.body(PALM).xpos[2] - pose.place[2]
                behind = self.BEHIND * float(np.clip((high - 0.01) / 0.02, 0.0, 1.0))
                aside = max(abs(offset[1]), self.turn_error(pose) / 5.0)
                up = np.clip(3.0 * (aside - 0.03), 0.0, self.HIGH)
                yield self.to_pose(grasp.pose(angle, behind, tilt).raised(up)), self.OPEN
                continue
            ready = float(np.clip((0.045 - wrong) / 0.015, 0.0, 1.0))
            goal = grasp.pose(min(angle + ready * self.LEAD, end + 0.1), 0.0, tilt)
            yield self.to_pose(Pose(goal.place + self.PRESS * goal.turn[:, 0], goal.turn)), self.CLOSED


class BailExpert(Expert):
    """Bucket: palm behind the bail, fingers under it and closed round it, upright with it, then straight up.

    A law of motion like that of the lids: the fingers close where the palm has arrived, and the more they are closed,
    the further the hand pulls.
    """

    TILT, AWAY, TURN, LIFT = 0.35, 0.17, 0.15, 0.05  # rad, m; rad and m that the hand is ahead of the bail
    OPEN = posture(1.57, 0.1, 0.1, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        while True:
            grasp, angle = self.grasp(BailGrasp), self.angle()
            offset = self.task.data.body(PALM).xpos - grasp.pose(angle, 0.0, self.TILT).place
            wrong = max(abs(offset[1]), abs(offset[2]), self.turn_error(grasp.pose(angle, 0.0, self.TILT)) / 5.0)
            back = np.clip(3.0 * (wrong - 0.02), 0.0, self.AWAY)
            if max(wrong, abs(offset[0])) > 0.03:
                yield self.to_pose(grasp.pose(angle, back, self.TILT)), self.OPEN
                continue
            fingers = self.task.data.qpos[[8, 12, 16]]  # the middle joints of the three fingers
            held = float(np.clip((fingers.mean() - 0.3) / 0.5, 0.0, 1.0))
            goal = min(angle + held * self.TURN, self.task.shape.half)
            up = self.LIFT * held * float(np.clip(1.0 - (self.task.shape.half - angle) / 0.2, 0.0, 1.0))
            yield self.to_pose(grasp.pose(goal, 0.0, self.TILT).raised(up)), self.CLOSED
