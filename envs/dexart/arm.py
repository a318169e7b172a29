"""Kinematics of the arm, compiled: what the experts plan with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.dexart.robot import ARM_JOINTS, PALM, numbers, rows

REGULARISATION = 0.02
MAX_CHANGE = 0.3  # rad per iteration
CLOSE = 1e-4  # m and rad added: near enough to stop


class Pose(NamedTuple):
    """A rigid pose."""

    place: np.ndarray  # [3] metres
    turn: np.ndarray  # [3, 3] columns are the axes of the moved frame

    def raised(self, height: float) -> Pose:
        """The same, higher up by ``height`` metres."""
        return Pose(self.place + np.array([0.0, 0.0, height]), self.turn)


class Arm:
    """The six joints between the base and the palm.

    Args:
        base: position of the base in the world, metres.
    """

    def __init__(self, base: tuple[float, float, float]) -> None:
        chain = [row for row in rows() if row["joint"] and not row["joint"].startswith("joint_")]
        assert len(chain) == ARM_JOINTS  # every axis is the z axis of its link
        first = next(row for row in rows() if row["name"] == "link_base")
        palm = next(row for row in rows() if row["name"] == PALM)
        frames = [first, *chain, palm]
        self._offsets = np.array([numbers(row["pos"]) for row in frames])
        self._offsets[0] += base
        self._turns = np.array([_rotation(numbers(row["quat"])) for row in frames])
        limits = np.array([numbers(row["range"]) for row in chain])
        self.low, self.high = limits[:, 0] + 0.02, limits[:, 1] - 0.02

    def forward(self, joints: np.ndarray) -> Pose:
        """The palm's pose in the world for joint positions ``[6]``."""
        place, turn, _, _ = _forward(joints, self._offsets, self._turns)
        return Pose(place, turn)

    def solve(self, target: Pose, joints: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
        """Inverse kinematics by damped least squares.

        Args:
            target: palm pose in the world.
            joints: where to start ``[6]``.
            steps: iterations at most.

        Returns:
            joints ``[6]`` within their limits, and the error that is left (metres and radians added).
        """
        return _solve(target.place, target.turn, joints, self._offsets, self._turns, self.low, self.high, steps)


def _rotation(quat: np.ndarray) -> np.ndarray:
    """Rotation matrix ``[3, 3]`` of a quaternion (w, x, y, z)."""
    w, x, y, z = quat / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@njit(cache=True, error_model="numpy")
def _forward(
    joints: np.ndarray, offsets: np.ndarray, turns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Palm place and turn, joint axes [6, 3] and joint places [6, 3], world."""
    n = len(joints)
    place, turn = offsets[0].copy(), turns[0].copy()
    axes, places, spin = np.empty((n, 3)), np.empty((n, 3)), np.eye(3)
    for k in range(n):
        place = place + turn @ offsets[k + 1]
        turn = turn @ turns[k + 1]
        axes[k], places[k] = turn[:, 2], place
        c, s = math.cos(joints[k]), math.sin(joints[k])
        spin[0, 0], spin[0, 1], spin[1, 0], spin[1, 1] = c, -s, s, c
        turn = turn @ spin
    return place + turn @ offsets[n + 1], turn @ turns[n + 1], axes, places


@njit(cache=True, error_model="numpy")
def _solve(
    place: np.ndarray,
    turn: np.ndarray,
    joints: np.ndarray,
    offsets: np.ndarray,
    turns: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, float]:
    joints, error, jacobian = joints.copy(), np.empty(6), np.empty((6, 6))
    for step in range(steps + 1):
        at, facing, axes, places = _forward(joints, offsets, turns)
        error[:3] = place - at
        between = turn @ facing.T
        x, y, z = between[2, 1] - between[1, 2], between[0, 2] - between[2, 0], between[1, 0] - between[0, 1]
        sine = math.sqrt(x * x + y * y + z * z) / 2
        cosine = (between[0, 0] + between[1, 1] + between[2, 2] - 1) / 2
        # Near half a turn the axis fades out of x, y, z; what is left of it still points the right way.
        scale = math.atan2(sine, cosine) / max(2 * sine, 1e-9)
        error[3], error[4], error[5] = x * scale, y * scale, z * scale
        if step == steps or np.abs(error).sum() < CLOSE:
            break
        for k in range(6):
            arm = at - places[k]
            a = axes[k]
            jacobian[0, k] = a[1] * arm[2] - a[2] * arm[1]
            jacobian[1, k] = a[2] * arm[0] - a[0] * arm[2]
            jacobian[2, k] = a[0] * arm[1] - a[1] * arm[0]
            jacobian[3:, k] = a
        square = jacobian @ jacobian.T + REGULARISATION**2 * np.eye(6)
        change = jacobian.T @ np.linalg.solve(square, error)
        change *= min(1.0, MAX_CHANGE / max(np.abs(change).max(), 1e-9))
        joints = np.minimum(np.maximum(joints + change, low), high)
    return joints, np.abs(error).sum()
