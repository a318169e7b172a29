"""The cloud of a MetaWorld task with stock functions: MuJoCo's own rays and plain farthest-point sampling.

These rays meet no sites, so the markers of goals are not in it.
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numba import njit

from bench.interfaces import Observation, TaskSpec
from envs.metaworld import CROP, FRAME, MetaWorld
from envs.raycast import Camera

VISIBLE = np.array([1, 1, 1, 0, 0, 0], np.uint8)


def multi_ray(model: mujoco.MjModel, data: mujoco.MjData, camera: Camera) -> np.ndarray:
    """World points ``[M, 3]`` of all pixels that see something, by one call of ``mj_multiRay``."""
    rays = _unit_rays(camera)
    distance, geom = np.zeros(len(rays)), np.zeros(len(rays), np.int32)
    mujoco.mj_multiRay(
        model, data, camera.position, rays.ravel(), VISIBLE, 1, -1, geom, distance, len(rays), mujoco.mjMAXVAL
    )
    return (camera.position + distance[:, None] * rays)[geom >= 0]


def ray_by_ray(model: mujoco.MjModel, data: mujoco.MjData, camera: Camera) -> np.ndarray:
    """World points ``[M, 3]`` of all pixels that see something, by a call of ``mj_ray`` for each."""
    points, geom = [], np.zeros(1, np.int32)
    for ray in _unit_rays(camera):
        distance = mujoco.mj_ray(model, data, camera.position, ray, VISIBLE, 1, -1, geom)
        if distance >= 0:
            points.append(camera.position + distance * ray)
    return np.array(points).reshape(-1, 3)


def farthest_points(points: np.ndarray, n: int) -> np.ndarray:
    """Indices ``[n]`` of a farthest-point sampling of ``[M, 3]`` in NumPy: distances to all points every time."""
    chosen = np.zeros(n, np.int64)
    distance = np.full(len(points), np.inf, np.float32)
    for k in range(1, n):
        offset = points - points[chosen[k - 1]]
        distance = np.minimum(distance, np.einsum("ij,ij->i", offset, offset))
        chosen[k] = np.argmax(distance)
    return chosen


@njit(cache=True)
def farthest_points_compiled(points: np.ndarray, n: int) -> np.ndarray:
    """The same as a compiled loop, as libraries have it."""
    chosen = np.zeros(n, np.int64)
    distance = np.full(len(points), np.float32(np.inf))
    for k in range(1, n):
        x, y, z = points[chosen[k - 1]]
        best = np.float32(-1.0)
        for i in range(len(points)):
            dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
            distance[i] = min(distance[i], dx * dx + dy * dy + dz * dz)
            if distance[i] > best:
                best, chosen[k] = distance[i], i
    return chosen


CASTERS: dict[str, Callable[[mujoco.MjModel, mujoco.MjData, Camera], np.ndarray]] = {
    "mj_multiRay": multi_ray,
    "mj_ray loop": ray_by_ray,
}
SAMPLERS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "NumPy": farthest_points,
    "compiled": farthest_points_compiled,
}


class PlainMetaWorld(MetaWorld):
    """A MetaWorld task that is observed by stock functions."""

    def __init__(self, spec: TaskSpec, caster: str = "mj_multiRay", sampler: str = "NumPy") -> None:
        super().__init__(spec)
        self._cast, self._choose = CASTERS[caster], SAMPLERS[sampler]

    def cropped(self) -> np.ndarray:
        """Points ``[M, 3]`` in the crop box."""
        points = self._cast(self._env.model, self._env.data, self._cloud.camera)
        return CROP(FRAME.of_world(points).astype(np.float32))

    def observe(self) -> Observation:
        """All rays, crop, plain sampling to N points."""
        points, n = self.cropped(), self.spec.n_points
        if len(points) >= n:
            points = points[self._choose(points, n)]
        padding = np.zeros((n - len(points), 3), np.float32)
        return Observation(np.concatenate([points, padding]), self._agent_pos())


def _unit_rays(camera: Camera) -> np.ndarray:
    rays = camera.rays().reshape(-1, 3)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)
