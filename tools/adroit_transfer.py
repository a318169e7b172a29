"""An episode planned for one layout, moved to another by kinematics.

Door and hammer differ between episodes only in where the door stands and how high the nail is; the hand starts alike.
So the palm is led along the same path beside the object: at every step the joints of arm and wrist are changed until
the palm is displaced as the object is (damped least squares), and the actions with them. Nothing is simulated for that,
and episodes made so are alike, which makes them easy to imitate.
"""

from __future__ import annotations

import mujoco
import numpy as np

RAMPS = {"door": (0, 12), "hammer": (8, 16)}  # actions between which it sets in; the hammer itself is not displaced
FINGERS = 22  # joints that are left as they are
SHARE = 2.5  # joint angle per control of the arm's actuators (gain 500, bias 200); 1 for the two of the wrist
DAMPING, TURN = 1e-4, 0.05  # of the least squares; metres that a radian of the palm counts


def transfer(name: str, env: object, actions: np.ndarray, joints: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Actions for an object that is elsewhere.

    Args:
        name: ``door`` or ``hammer``.
        env: The package's environment; its model is read.
        actions: ``[T, A]`` of the planned episode.
        joints: ``[T, Q]`` of it, before each action.
        shift: ``[3]`` from the object of the planned episode to that of this one, metres.

    Returns:
        ``[T, A]``, float32, in [-1, 1].
    """
    if not np.any(shift):
        return actions.astype(np.float32)
    model = env.model  # type: ignore[attr-defined]
    moved = model.nu - FINGERS
    per_control = np.r_[np.full(moved - 2, SHARE), 1.0, 1.0] * env.act_rng[:moved]  # type: ignore[attr-defined]
    data, site = mujoco.MjData(model), model.site("S_grasp").id
    first, last = RAMPS[name]
    changed = actions.astype(np.float64)
    for step in range(first, len(actions)):
        part = min((step + 1 - first) / (last - first), 1.0)
        planned = joints[min(step + 1, len(actions) - 1)]
        data.qpos[:] = planned
        _displace(model, data, site, moved, part * part * (3 - 2 * part) * shift)
        changed[step, :moved] += (data.qpos[:moved] - planned[:moved]) / per_control
    return np.clip(changed, -1, 1).astype(np.float32)


def _displace(model: mujoco.MjModel, data: mujoco.MjData, site: int, moved: int, shift: np.ndarray) -> None:
    """Change the first joints so that a site moves by ``shift`` and turns as little as it can."""
    jacobian, weight = np.zeros((6, model.nv)), np.array([[1.0]] * 3 + [[TURN]] * 3)
    low, high = model.jnt_range[:moved].T
    mujoco.mj_kinematics(model, data)
    goal, upright = data.site_xpos[site] + shift, data.site_xmat[site].reshape(3, 3).copy()
    for _ in range(3):
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        used = jacobian[:, :moved] * weight
        turn = upright @ data.site_xmat[site].reshape(3, 3).T
        axis = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        wanted = np.r_[goal - data.site_xpos[site], TURN * axis]
        change = used.T @ np.linalg.solve(used @ used.T + DAMPING * np.eye(6), wanted)
        data.qpos[:moved] = np.clip(data.qpos[:moved] + change, low, high)
        mujoco.mj_kinematics(model, data)
