"""Where the palm has to be to move a handle: the geometry behind the experts."""

from __future__ import annotations

import math

import numpy as np

from envs.dexart.arm import Pose
from envs.dexart.objects import Shape

KNUCKLE = 0.0164  # m; the fingers start this far along the palm's z axis
PALM_FACE = 0.012  # m; the palm's surface lies this far along its x axis
FINGER = 0.0098  # m; half the thickness of a finger


def posture(knuckle: float, middle: float, tip: float, thumb: tuple[float, float, float, float]) -> np.ndarray:
    """Hand joints ``[16]`` in radians: three fingers flexed alike, and the four joints of the thumb."""
    return np.array([0.0, knuckle, middle, tip] * 3 + list(thumb))


class Grasp:
    """Hand poses for a handle whose hinge stands still.

    Args:
        shape: of the object.
        root: its pose, ``place`` [3] and ``turn`` [3, 3].
        hinge: a point on the hinge axis, metres, world.
    """

    def __init__(self, shape: Shape, root: Pose, hinge: np.ndarray) -> None:
        self.shape, self.root, self.hinge = shape, root, hinge

    def pose(self, angle: float, back: float, tilt: float) -> Pose:
        """The palm's pose for a joint value.

        Args:
            angle: of the joint, radians.
            back: m between the palm's face and the handle's edge or bar; negative presses.
            tilt: of the palm about the handle's edge or bar, radians.
        """
        raise NotImplementedError


class LidGrasp(Grasp):
    """Fingers under a lid, along it towards the hinge, and the palm in front of its edge.

    ``tilt`` is the angle by which the fingers are flexed less than 90 degrees: the palm leans back by it.
    """

    def __init__(self, shape: Shape, root: Pose, hinge: np.ndarray, gap: float = 0.016) -> None:
        super().__init__(shape, root, hinge)
        self.gap = gap  # m from the axis of the fingers to the lid; the more they are bent, the more

    def pose(self, angle: float, back: float, tilt: float) -> Pose:
        """See `Grasp.pose`."""
        inward = np.array([math.cos(angle), 0.0, -math.sin(angle)])  # along the lid, from its edge to the hinge
        below = np.array([-math.sin(angle), 0.0, -math.cos(angle)])
        x = inward * math.cos(tilt) - below * math.sin(tilt)
        z = inward * math.sin(tilt) + below * math.cos(tilt)
        edge = -self.shape.reach * inward
        place = edge - inward * (back + PALM_FACE) + below * (self.shape.thickness / 2 + self.gap) - z * KNUCKLE
        turn = np.stack([x, np.cross(z, x), z], axis=1)
        return Pose(self.hinge + self.root.turn @ place, self.root.turn @ turn)


class LeverGrasp(Grasp):
    """Palm over a faucet's lever, fingers hooked behind it.

    ``tilt`` leans the palm from behind the lever (0) over it (90 degrees).
    """

    SEAT = (0.022, -0.012)  # m; where along x and z of the palm frame the bar's axis lies

    def pose(self, angle: float, back: float, tilt: float) -> Pose:
        """See `Grasp.pose`."""
        shape = self.shape
        direction = shape.lead + shape.turn * angle
        out = np.array([math.cos(direction), math.sin(direction), 0.0])
        push = shape.turn * np.array([-out[1], out[0], 0.0])
        return _around_bar(self, shape.reach * out, push, back, tilt)


class BailGrasp(Grasp):
    """Palm behind a bucket's bail on the robot's side, fingers pointing down and hooked under it."""

    SEAT = (0.026, -0.02)

    def pose(self, angle: float, back: float, tilt: float) -> Pose:
        """See `Grasp.pose`."""
        rise = self.shape.lead + angle
        grip = self.shape.reach * np.array([-math.cos(rise), 0.0, math.sin(rise)])
        return _around_bar(self, grip, np.array([1.0, 0.0, 0.0]), back, tilt)


def _around_bar(grasp: LeverGrasp | BailGrasp, grip: np.ndarray, push: np.ndarray, back: float, tilt: float) -> Pose:
    """The palm behind a horizontal bar through ``grip``, facing along ``push``, its upper end leaning forward."""
    down = np.array([0.0, 0.0, -1.0])
    x = push * math.cos(tilt) + down * math.sin(tilt)
    z = down * math.cos(tilt) - push * math.sin(tilt)
    place = grip - x * grasp.SEAT[0] - z * grasp.SEAT[1] - push * back
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    return Pose(grasp.hinge + grasp.root.turn @ place, grasp.root.turn @ turn)
