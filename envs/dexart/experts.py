"""The four experts: lids are lifted, a lever is turned, a bail is carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.dexart.arm import Pose
from envs.dexart.expert import Expert, Wishes
from envs.dexart.grasps import BailGrasp, LeverGrasp, LidGrasp, posture
from envs.dexart.rules import RULES

if TYPE_CHECKING:
    from envs.dexart.task import DexArt


def expert(task: DexArt) -> Expert:
    """The expert of a task, for the episode that it is in."""
    kinds = {"laptop": LidExpert, "toilet": LidExpert, "faucet": LeverExpert, "bucket": BailExpert}
    return kinds[task.name](task)


class LidExpert(Expert):
    """Laptop and toilet: lift the lid with the fingers, press the palm on its edge, follow its arc."""

    HOME = (0.0, -0.5, -0.5, 3.14, 1.0, -1.57)
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
            return grasp.pose(max(self.angle(), start), back, tilt).raised(up)

        yield from self.rise(0.15, hand)
        if not palm:  # from the higher stand a straight way may end at the limit of a joint
            arc = [grasp.pose(angle, 0.0, tilt) for angle in np.linspace(start, shape.half, 8)]
            before = [way(0.17, 0.2), way(0.17, 0.1), way(0.17, 0.0), way(self.BACK, 0.0)]
            yield from self.go(self.plan([before + arc], hand, free=4)[1], hand)
        yield from self.fly(way(0.17, 0.2), hand)
        yield from self.fly(way(0.17, 0.0), hand, 0.03)
        yield from self.fly(way(self.BACK, 0.0), hand, 0.02)
        while True:
            angle = self.angle()
            lifted = np.clip((angle - start) / 0.4, 0.0, 1.0)
            slow = 0.6 if angle > shape.half - 0.2 else 1.0  # the goal is narrow: do not fly past it
            goal = min(angle + slow * lead, shape.half + self.OVER)
            self.goal = self.track(self.toward(grasp.pose(goal, self.BACK * (1 - lifted) - self.PRESS * lifted, tilt)), self.joints())
            yield self.goal, hand


class LeverExpert(Expert):
    """Faucet: palm over the lever, fingers hooked behind it and closed round it, then turn with it."""

    HOME = (0.0, 0.0, -1.5, 0.0, 1.5, -1.6)
    RATE, LEAD, PRESS, TILTS = 0.03, 0.2, 0.01, (1.5, 1.25, 1.0)
    OPEN = posture(1.3, 0.3, 0.2, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp, shape = self.grasp(LeverGrasp), self.task.shape
        end = min(2 * shape.half, 1.6)

        def way(tilt: float, back: float, up: float) -> Pose:
            return grasp.pose(self.angle(), back, tilt).raised(up)

        yield from self.rise(0.28, self.OPEN)
        routes = []
        for tilt in self.TILTS:
            before = [way(tilt, 0.05, 0.2), way(tilt, 0.05, 0.1), way(tilt, 0.05, 0.0), way(tilt, 0.0, 0.0)]
            routes.append(before + [grasp.pose(angle, 0.0, tilt) for angle in np.linspace(0.0, end, 8)])
        number, first = self.plan(routes, self.OPEN, free=3)
        tilt = self.TILTS[number]
        yield from self.go(first, self.OPEN)
        self.goal = first
        yield from self.follow(lambda s: way(tilt, 0.05, 0.2 * (1 - s)), 8, self.OPEN)
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
    """Bucket: palm behind the bail, fingers under it and closed round it, upright with it, then straight up."""

    HOME = (0.0, 0.98, -0.72, 0.0, -1.67, 1.59)
    TILTS, LIFT, SPEED, TURN = (0.35, 0.2, 0.5), 0.36, 0.02, 0.1
    OPEN = posture(1.57, 0.1, 0.1, (0.263, 0.0, 0.0, 0.0))
    CLOSED = posture(1.45, 1.7, 1.6, (0.263, 0.0, 0.0, 0.0))

    def script(self) -> Wishes:
        """See `Expert.script`."""
        grasp, half = self.grasp(BailGrasp), self.task.shape.half
        routes = []
        for tilt in self.TILTS:
            before = [grasp.pose(0.0, back, tilt) for back in (0.17, 0.1, 0.0)]
            upright = grasp.pose(half, 0.0, tilt)
            routes.append(before + [upright.raised(up) for up in np.linspace(0.0, self.LIFT, 4)])
        number, first = self.plan(routes, self.OPEN, free=2)
        tilt = self.TILTS[number]
        yield from self.go(first, self.OPEN)
        self.goal = first
        yield from self.follow(lambda s: grasp.pose(0.0, 0.17 * (1 - s), tilt), 6, self.OPEN, 0.02)
        for _ in range(7):
            yield self.goal, self.CLOSED
        angle = up = 0.0
        while True:
            angle = min(angle + self.TURN, half)
            up = min(up + self.SPEED, self.LIFT) if angle == half else 0.0
            self.goal = self.track(grasp.pose(angle, 0.0, tilt).raised(up), self.goal)
            yield self.goal, self.CLOSED
