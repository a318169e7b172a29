"""A pinhole camera, and the region in front of it that matters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera."""

    position: np.ndarray  # [3] metres, world
    rotation: np.ndarray  # [3, 3] columns right, up, backward in the world, as `mjData.cam_xmat`
    fovy: float  # vertical field of view, degrees
    width: int  # pixels
    height: int  # pixels

    @classmethod
    def of(cls, model: mujoco.MjModel, data: mujoco.MjData, name: str, width: int, height: int) -> Camera:
        """The camera ``name`` of a model, where it stands in ``data`` (after `mj_forward`)."""
        index = model.camera(name).id
        pose = data.cam_xpos[index].copy(), data.cam_xmat[index].reshape(3, 3).copy()
        return cls(*pose, fovy=float(model.cam_fovy[index]), width=width, height=height)

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.height / math.tan(math.radians(self.fovy) / 2)

    @property
    def axes(self) -> np.ndarray:
        """Columns right, down, forward in the world ``[3, 3]``."""
        return self.rotation * np.array([1.0, -1.0, -1.0])

    def rays(self) -> np.ndarray:
        """World directions through the pixel centres ``[height, width, 3]``, scaled to depth 1."""
        u = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        v = (np.arange(self.height) + 0.5 - self.height / 2) / self.focal
        pixels = np.stack([*np.meshgrid(u, v), np.ones((self.height, self.width))], axis=-1)
        return pixels @ self.axes.T


class Region(NamedTuple):
    """A convex region of interest in front of a camera: what lies beyond it need not be seen."""

    leave: np.ndarray  # [height, width] depth at which a ray leaves the region, 0 if it never enters
    faces: np.ndarray  # [K, 4] float64, (a, b, c, d) in the world: a x + b y + c z > d in the region and at the camera

    @classmethod
    def of(cls, camera: Camera, faces: np.ndarray, margin: float = 1e-4) -> Region:
        """The intersection of half-spaces ``a x + b y + c z > d`` [K, 4] (unit normals), widened by ``margin``."""
        faces = faces - [0.0, 0.0, 0.0, margin]
        height = faces[:, :3] @ camera.position - faces[:, 3]
        rate = camera.rays() @ faces[:, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = -height / rate
        enter = np.where(rate > 0, crossing, -np.inf).max(-1)
        leave = np.where(rate < 0, crossing, np.inf).min(-1)
        missed = ((rate == 0) & (height <= 0)).any(-1) | (leave < np.maximum(enter, 0.0))
        return cls(np.where(missed, 0.0, leave), faces[height > 0])
