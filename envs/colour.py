"""A colour camera without OpenGL, for any MuJoCo scene: the rays of `envs.raycast`, shaded.

Each ray takes the colour of the geom or site that it hits (``rgba`` of its material or its own; a textured material
counts by the mean of its texture), times MuJoCo's diffuse light: ambient and diffuse headlight, and the lights of the
scene, each by its direction alone (Lambert's law). Normals are those of the depth image, towards the camera. There are
no textures, shadows, reflections, highlights or transparency; what is wholly transparent is not there at all.
Four rays for a pixel, two by two, keep small parts from flickering. Pictures and times: `docs/image-observations.md`.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
from numba import njit

from envs.camera import Camera
from envs.raycast import depth_image
from envs.scene import Scene

RAYS = 2  # for each pixel, in each direction
SKY = np.array([0.5, 0.6, 0.7])  # where a scene has no sky of its own


class ColourCamera:
    """A camera that returns pictures.

    Args:
        model: the scene; its colours and lights are read once.
        scene: the geometry of the same model.
        camera: where to look from, with the pixels of the picture.
    """

    def __init__(self, model: mujoco.MjModel, scene: Scene, camera: Camera) -> None:
        self.scene = scene
        self.camera = replace(camera, width=RAYS * camera.width, height=RAYS * camera.height)
        self._rays = np.ascontiguousarray(self.camera.rays())
        self._sky = _sky(model)
        self._colours = _colours(model)
        self._ambient = np.array(model.vis.headlight.ambient, np.float64)
        lights = [np.array(model.vis.headlight.diffuse)] if model.vis.headlight.active else []
        self._lights = np.concatenate([np.reshape(lights, (-1, 3)), model.light_diffuse[model.light_active != 0]])
        self._active = np.flatnonzero(model.light_active)
        self._headlight = len(lights)

    def picture(self, data: mujoco.MjData) -> np.ndarray:
        """The picture ``[height, width, 3]`` uint8, red green blue; kinematics must be up to date."""
        depth, hit = depth_image(self.scene, data, self.camera)
        towards = np.concatenate([
            np.reshape(self.camera.rotation[:, 2], (1, 3))[: self._headlight], -data.light_xdir[self._active]
        ])  # fmt: skip
        return _shade(depth, hit, self._rays, self._colours, self._sky, self._ambient, self._lights, towards)


def _colours(model: mujoco.MjModel) -> np.ndarray:
    """Red, green and blue ``[G + S, 3]`` in 0..1 of every geom, then of every site: by id, as in `Scene`."""
    colours = np.concatenate([model.geom_rgba[:, :3], model.site_rgba[:, :3]]).astype(np.float64)
    for row, material in enumerate(np.concatenate([model.geom_matid, model.site_matid])):
        if material >= 0:
            colours[row] = model.mat_rgba[material, :3]
            texture = model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
            if texture >= 0:
                colours[row] *= _mean_colour(model, texture)
    return colours


def _sky(model: mujoco.MjModel) -> np.ndarray:
    """What a ray sees that hits nothing ``[3]``."""
    found = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    return _mean_colour(model, found[0]) if len(found) else SKY


def _mean_colour(model: mujoco.MjModel, texture: int) -> np.ndarray:
    channels = int(model.tex_nchannel[texture])
    start = int(model.tex_adr[texture])
    size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
    texels = model.tex_data[start : start + size].reshape(-1, channels)
    return np.resize(texels.mean(axis=0)[:3] / 255.0, 3)  # a grey one has one channel


@njit(cache=True, error_model="numpy")
def _shade(
    depth: np.ndarray,
    hit: np.ndarray,
    rays: np.ndarray,
    colours: np.ndarray,
    sky: np.ndarray,
    ambient: np.ndarray,
    lights: np.ndarray,
    towards: np.ndarray,
) -> np.ndarray:
    """Light the hits and average `RAYS` by `RAYS` of them."""
    height, width = hit.shape
    total = np.zeros((height // RAYS, width // RAYS, 3))
    for i in range(height):
        for j in range(width):
            geom = hit[i, j]
            if geom < 0:
                for k in range(3):
                    total[i // RAYS, j // RAYS, k] += sky[k]
                continue
            x, y, z = _normal(depth, hit, rays, i, j)
            for k in range(3):
                light = ambient[k]
                for m in range(len(lights)):
                    light += lights[m, k] * max(0.0, x * towards[m, 0] + y * towards[m, 1] + z * towards[m, 2])
                total[i // RAYS, j // RAYS, k] += min(1.0, light * colours[geom, k])
    picture = np.empty(total.shape, np.uint8)
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            for k in range(3):
                picture[i, j, k] = np.uint8(255.0 * total[i, j, k] / (RAYS * RAYS) + 0.5)
    return picture


@njit(cache=True, error_model="numpy")
def _normal(depth: np.ndarray, hit: np.ndarray, rays: np.ndarray, i: int, j: int) -> tuple[float, float, float]:
    """Unit normal in the world at a hit, on the side of the camera: across the nearest neighbours on the same geom."""
    a, b = _slope(depth, hit, rays, i, j, 0, 1), _slope(depth, hit, rays, i, j, 1, 0)
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    dx, dy, dz = rays[i, j, 0], rays[i, j, 1], rays[i, j, 2]
    size = (x * x + y * y + z * z) ** 0.5
    if size < 1e-15:  # a hit without neighbours faces the camera
        size = -((dx * dx + dy * dy + dz * dz) ** 0.5)
        return dx / size, dy / size, dz / size
    if x * dx + y * dy + z * dz > 0.0:
        size = -size
    return x / size, y / size, z / size


@njit(cache=True, error_model="numpy")
def _slope(
    depth: np.ndarray, hit: np.ndarray, rays: np.ndarray, i: int, j: int, down: int, right: int
) -> tuple[float, float, float]:
    """From a hit to that neighbour along an axis which is on the same geom and nearer in depth; zeros if none is."""
    height, width = hit.shape
    best, place = np.inf, 0
    for side in (-1, 1):
        row, column = i + side * down, j + side * right
        if 0 <= row < height and 0 <= column < width and hit[row, column] == hit[i, j]:
            gap = abs(depth[row, column] - depth[i, j])
            if gap < best:
                best, place = gap, side
    if place == 0:
        return 0.0, 0.0, 0.0
    row, column = i + place * down, j + place * right
    near, far = depth[i, j], depth[row, column]
    return (
        place * (far * rays[row, column, 0] - near * rays[i, j, 0]),
        place * (far * rays[row, column, 1] - near * rays[i, j, 1]),
        place * (far * rays[row, column, 2] - near * rays[i, j, 2]),
    )
