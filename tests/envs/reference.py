"""What the depth camera is compared with: MuJoCo's own ray, one after another."""

from __future__ import annotations

import mujoco
import numpy as np

from envs.camera import Camera

VISIBLE = np.array([1, 1, 1, 0, 0, 0], np.uint8)


def ray_by_ray(
    model: mujoco.MjModel, data: mujoco.MjData, camera: Camera, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (infinite without a hit) and geom id (-1 without) of some pixels, by ``mj_ray``."""
    depth, hit, geom = np.full(len(pixels), np.inf), np.full(len(pixels), -1), np.zeros(1, np.int32)
    for row, ray in enumerate(camera.rays().reshape(-1, 3)[pixels]):
        norm = np.linalg.norm(ray)
        distance = mujoco.mj_ray(model, data, camera.position, ray / norm, VISIBLE, 1, -1, geom)
        if distance >= 0:
            depth[row], hit[row] = distance / norm, geom[0]
    return depth, hit


def image(depth: np.ndarray, hit: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same pixels of a depth image, in the same form."""
    hit = hit.ravel()[pixels]
    return np.where(hit >= 0, depth.ravel()[pixels], np.inf), hit
