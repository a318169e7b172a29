"""The scripted experts of the MetaWorld tasks: those of the package, and our own where they get stuck.

Positions are in metres in the world, the gripper command is -1 (open) to 1 (closed). An own expert overrides the target
of the hand only; why is said with each.
"""

from __future__ import annotations

import numpy as np
from metaworld.policies import (
    ENV_POLICY_MAP,
    SawyerDoorOpenV3Policy,
    SawyerHandlePressSideV3Policy,
    SawyerHandlePressV3Policy,
    SawyerPegInsertionSideV3Policy,
    SawyerPushBackV3Policy,
    SawyerStickPullV3Policy,
)
from metaworld.policies.policy import Policy

Parsed = dict[str, np.ndarray]


def scripted_policy(name: str) -> Policy:
    """The expert of a task, for instance ``drawer-open``."""
    return OWN.get(name, ENV_POLICY_MAP[f"{name}-v3"])()


def _beside(position: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    return position + np.array([x, y, z])


class DoorOpen(SawyerDoorOpenV3Policy):
    """Come down behind the handle only once the hand is over that place.

    The packaged policy comes down as soon as it is within 12 cm, which may be on the wrong side of the
    handle, and wedges.
    """

    @staticmethod
    def _desired_pos(o_d: Parsed) -> np.ndarray:
        hand, grip = o_d["hand_pos"], _beside(o_d["door_pos"], -0.05, 0.0, 0.0)
        behind = _beside(grip, 0.06, 0.02, 0.0)
        if hand[2] > grip[2] + 0.04 and np.linalg.norm(hand[:2] - behind[:2]) > 0.05:
            return _beside(behind, 0.0, 0.0, 0.2)
        return behind if abs(hand[2] - grip[2]) > 0.04 else grip


class PegInsertSide(SawyerPegInsertionSideV3Policy):
    """Come down with open fingers, and lift what has been gripped.

    The packaged policy closes the fingers on the way down. And it lifts within 2.5 cm of the peg's height, but the hand
    cannot go lower than 5 cm, where a lying peg (2.5 cm) is just too far.
    """

    @staticmethod
    def _desired_pos(o_d: Parsed) -> np.ndarray:
        hand, peg = o_d["hand_pos"], o_d["peg_pos"]
        hole = np.array([-0.35, o_d["goal_pos"][1], 0.16])  # beyond the deepest hole
        if np.linalg.norm(hand[:2] - peg[:2]) > 0.04:
            return _beside(peg, 0.0, 0.0, 0.3)
        if abs(hand[2] - peg[2]) > 0.04 or o_d["gripper_distance_apart"] > 0.5:
            return peg
        aligned = np.linalg.norm(peg[1:] - hole[1:]) <= 0.03
        return hole if aligned else _beside(hole, 0.4, 0.0, 0.0)

    @staticmethod
    def _grab_effort(o_d: Parsed) -> float:
        hand, peg = o_d["hand_pos"], o_d["peg_pos"]
        over = np.linalg.norm(hand[:2] - peg[:2]) <= 0.04 and abs(hand[2] - peg[2]) <= 0.04
        return 0.6 if over else -1.0


def _press_to_goal(o_d: Parsed, handle: np.ndarray) -> np.ndarray:
    """Press until the handle is at the goal, and stay there.

    The packaged policies press to the stop, far below the goal: success flashes by in 3 to 8 steps.
    """
    if np.linalg.norm(o_d["hand_pos"][:2] - handle[:2]) > 0.02:
        return _beside(handle, 0.0, 0.0, 0.2)
    goal_height = o_d["unused_info"][-1]
    return np.array([*handle[:2], o_d["hand_pos"][2] + goal_height - handle[2]])


class HandlePress(SawyerHandlePressV3Policy):
    """`_press_to_goal`."""

    @staticmethod
    def _desired_pos(o_d: Parsed) -> np.ndarray:
        return _press_to_goal(o_d, _beside(o_d["handle_pos"], 0.0, -0.02, 0.0))


class HandlePressSide(SawyerHandlePressSideV3Policy):
    """`_press_to_goal`."""

    @staticmethod
    def _desired_pos(o_d: Parsed) -> np.ndarray:
        return _press_to_goal(o_d, o_d["handle_pos"])


class PushBack(SawyerPushBackV3Policy):
    """Come down with open fingers, and drag only what has been gripped.

    The packaged policy comes down half closed and lands on the puck, or leaves before the fingers have closed.
    """

    @staticmethod
    def _desired_pos(o_d: Parsed) -> np.ndarray:
        hand, puck = o_d["hand_pos"], o_d["puck_pos"]
        if np.linalg.norm(hand[:2] - puck[:2]) > 0.04:
            return _beside(puck, 0.0, 0.0, 0.3)
        gripped = abs(hand[2] - puck[2]) <= 0.055 and o_d["unused_1"] < 0.7
        return np.array([*o_d["goal_pos"][:2], hand[2]]) if gripped else puck

    @staticmethod
    def _grab_effort(o_d: Parsed) -> float:
        hand, puck = o_d["hand_pos"], o_d["puck_pos"]
        over = np.linalg.norm(hand[:2] - puck[:2]) <= 0.04 and abs(hand[2] - puck[2]) <= 0.05
        return 0.9 if over else -1.0


class StickPull(SawyerStickPullV3Policy):
    """Once the stick is in the handle, pull it to the goal without leaving the handle.

    The packaged policy heads for a point 5 cm beside the goal and so draws the stick out of a handle that is not there.
    Here the hand stays 4 cm before the handle, which leaves 1 cm of the stick in it, and 2 cm ahead of it in the pull.
    """

    def __init__(self) -> None:
        self._inserted = False

    def _desired_pos(self, o_d: Parsed) -> np.ndarray:
        stick, handle, goal = o_d["stick_pos"], o_d["obj_pos"], o_d["goal_pos"]
        self._inserted = abs(stick[0] - handle[0]) <= (0.1 if self._inserted else 0.04)
        if not self._inserted:
            return super()._desired_pos(o_d)
        return np.array([max(goal[0] - 0.05, handle[0] - 0.04), goal[1] - 0.02, handle[2] + 0.03])


OWN: dict[str, type[Policy]] = {
    "door-open": DoorOpen,
    "handle-press": HandlePress,
    "handle-press-side": HandlePressSide,
    "peg-insert-side": PegInsertSide,
    "push-back": PushBack,
    "stick-pull": StickPull,
}
