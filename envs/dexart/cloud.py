"""The cloud of DexArt: what the camera sees, and points of the hand where its joints say that it is."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np

from envs.dexart.robot import IMAGINED_LINKS, JOINTS, add_robot
from envs.pointcloud import sample

PER_LINK = 8
IMAGINED = PER_LINK * len(IMAGINED_LINKS)  # 96


def padded(points: np.ndarray, n: int) -> np.ndarray:
    """Bring points ``[M, 3]`` to ``[n, 3]``: the farthest ones of more, the first one repeated of fewer, or zeros."""
    if len(points) >= n:
        return sample(points, n)
    fill = points[0] if len(points) else np.zeros(3, points.dtype)
    return np.concatenate([points, np.broadcast_to(fill, (n - len(points), 3))])


class ImaginedHand:
    """Points on the hand's last links by forward kinematics, seen or not."""

    def __init__(self) -> None:
        self._model, self._links, self._points = _hand()
        self._data = mujoco.MjData(self._model)

    def __call__(self, joints: np.ndarray) -> np.ndarray:
        """Points ``[96, 3]`` float32 in the frame of the robot's base, for joint positions ``[22]``."""
        self._data.qpos[:] = joints
        mujoco.mj_kinematics(self._model, self._data)
        rotation = self._data.xmat[self._links].reshape(-1, 3, 3)
        world = self._points @ rotation.transpose(0, 2, 1) + self._data.xpos[self._links][:, None]
        return world.reshape(-1, 3).astype(np.float32)


@cache
def _hand() -> tuple[mujoco.MjModel, np.ndarray, np.ndarray]:
    """The robot alone, with its base at the origin; links [12] and points in their frames [12, 8, 3]."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_robot(spec, (0.0, 0.0, 0.0))
    model = spec.compile()
    assert model.nq == JOINTS
    rng = np.random.default_rng(0)
    links = np.array([model.body(name).id for name in IMAGINED_LINKS])
    points = np.stack([_surface(model, int(model.body_geomadr[link]), rng) for link in links])
    return model, links, points


def _surface(model: mujoco.MjModel, geom: int, rng: np.random.Generator) -> np.ndarray:
    """Points ``[8, 3]`` on a sphere or box, in the frame of its body."""
    size = model.geom_size[geom]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
        points = rng.normal(size=(PER_LINK, 3))
        points *= size[0] / np.linalg.norm(points, axis=1, keepdims=True)
    else:
        points = rng.uniform(-1.0, 1.0, (PER_LINK, 3))
        row, face = np.arange(PER_LINK), np.abs(points).argmax(axis=1)
        points[row, face] = np.sign(points[row, face])
        points *= size
    return points + model.geom_pos[geom]
