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

    GAP = 0.03  # m; the lid rests on bent fingers, so that its edge meets the palm and not the knuckles

    def pose(self, angle: float, back: float, tilt: float) -> Pose:
        """See `Grasp.pose`."""
        inward = np.array([math.cos(angle), 0.0, -math.sin(angle)])  # along the lid, from its edge to the hinge
        below = np.array([-math.sin(angle), 0.0, -math.cos(angle)])
        x = inward * math.cos(tilt) - below * math.sin(tilt)
        z = inward * math.sin(tilt) + below * math.cos(tilt)
        edge = -self.shape.reach * inward
        place = edge - inward * (back + PALM_FACE) + below * (self.shape.thickness / 2 + self.GAP) - z * KNUCKLE
        turn = np.stack([x, np.cross(z, x), z], axis=1)
        return Pose(self.hinge + self.root.turn @ place, self.root.turn @ turn)
