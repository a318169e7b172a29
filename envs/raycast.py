"""An exact depth camera without OpenGL, for any MuJoCo scene.

All rays of a camera share their origin, so a frame costs far less than one ray after another: each geom is cast only
in the rectangle of the image that its bounding box covers. Primitives are intersected analytically at pixel centres
(`envs.intersect`), mesh triangles are rasterised into the depth buffer with homogeneous edge functions (Olano & Greer,
"Triangle scan conversion using 2D homogeneous coordinates", 1997), which need no clipping.

What is visible follows ``mj_ray`` (MuJoCo 3.3.0), which agrees with OpenGL depth except on silhouettes: geoms of the
visible groups, except those whose colour is fully transparent; triangles from both sides; planes from above only.
OpenGL draws sites too, which no ray of MuJoCo meets: a scene has them where its suite's published clouds do.
``mj_multiRay`` of the same version is no substitute: it drops parts of geoms in round cut-outs, 0.5 % of the pixels of
a MetaWorld frame (hammer), 7-17 % of an Adroit one. Figures and how to repeat them: `docs/point-clouds.md`.

Camera coordinates here: x right, y down, z forward (depth), metres.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numba import njit

from envs.camera import Camera, Region
from envs.intersect import MESH, PLANE, intersect
from envs.scene import Scene

NEAR = 1e-6  # metres; vertices closer to the camera plane are not projected


def depth_image(
    scene: Scene, data: mujoco.MjData, camera: Camera, region: Region | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cast all rays of a camera.

    Args:
        scene: the geometry of the model that ``data`` belongs to.
        data: read for the poses of the geoms, so kinematics must be up to date.
        camera: where to look from.
        region: where hits matter. Those beyond it are left out, and so is the work of looking for them.

    Returns:
        depth ``[height, width]`` float64 in metres along the optical axis, and the id of the geom that was hit
        ``[height, width]`` int32. Without a hit the id is -1 and the depth means nothing.
    """
    shape = (camera.height, camera.width)
    if region is None:
        region = Region(np.full(shape, np.inf), np.empty((0, 4)))
    depth = region.leave.copy()
    hit = np.full(shape, -1, np.int32)
    _cast(scene, *scene.poses(data), camera.position, camera.axes, camera.focal, region.faces, depth, hit)
    return depth, hit


@njit(cache=True, error_model="numpy")
def _cast(
    scene: Scene,
    xpos: np.ndarray,
    xmat: np.ndarray,
    eye: np.ndarray,
    axes: np.ndarray,
    focal: float,
    faces: np.ndarray,
    depth: np.ndarray,
    hit: np.ndarray,
) -> None:
    """Lower ``depth`` to the nearest hit of every pixel and note the geom in ``hit``."""
    turn = np.empty((3, 3))  # geom -> camera
    shift = np.empty(3)
    for row in range(len(scene.geom)):
        index = scene.geom[row]
        if _beyond(scene.kind[row], scene.box[row], xpos[index], xmat[index], faces):
            continue
        for i in range(3):
            shift[i] = 0.0
            for k in range(3):
                shift[i] += axes[k, i] * (xpos[index, k] - eye[k])
            for j in range(3):
                turn[i, j] = (
                    axes[0, i] * xmat[index, j] + axes[1, i] * xmat[index, 3 + j] + axes[2, i] * xmat[index, 6 + j]
                )
        window = _window(scene.kind[row], scene.box[row], turn, shift, focal, depth)
        if window[0] > window[1] or window[2] > window[3]:
            continue
        if scene.kind[row] == MESH:
            mesh = scene.mesh[row]
            vertices, triangles = scene.vertices[mesh[0] : mesh[1]], scene.faces[mesh[2] : mesh[3]]
            _rasterise(vertices, triangles, turn, shift, focal, window, index, depth, hit)
        else:
            _trace(scene.kind[row], scene.size[row], turn, shift, focal, window, index, depth, hit)


@njit(cache=True, error_model="numpy")
def _beyond(kind: int, box: np.ndarray, xpos: np.ndarray, xmat: np.ndarray, faces: np.ndarray) -> bool:
    """Whether the bounding box of a geom lies wholly behind a face of the region: rays leave the region before it."""
    for face in faces:
        centre, reach = -face[3], 0.0
        for i in range(3):
            centre += face[i] * xpos[i]
        for j in range(3):
            along = face[0] * xmat[j] + face[1] * xmat[3 + j] + face[2] * xmat[6 + j]
            centre += along * box[j]
            if kind != PLANE:
                reach += abs(along) * box[3 + j]
            elif j < 2 and abs(along) > 1e-9:
                reach = np.inf
        if centre + reach <= 0.0:
            return True
    return False


@njit(cache=True, error_model="numpy")
def _window(
    kind: int, box: np.ndarray, turn: np.ndarray, shift: np.ndarray, focal: float, depth: np.ndarray
) -> tuple[int, int, int, int]:
    """First and last row and column whose pixel centres may see the bounding box."""
    height, width = depth.shape
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    behind = 0
    for corner in range(8):
        x = box[0] + (box[3] if corner & 1 else -box[3])
        y = box[1] + (box[4] if corner & 2 else -box[4])
        z = box[2] + (box[5] if corner & 4 else -box[5])
        forward = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + shift[2]
        if forward <= NEAR:
            behind += 1
            continue
        u = focal * (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + shift[0]) / forward
        v = focal * (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + shift[1]) / forward
        left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    if kind == PLANE or 0 < behind < 8:  # a plane has no bounding box; a box around the camera plane covers anything
        return 0, height - 1, 0, width - 1
    if behind == 8:
        return 0, -1, 0, -1
    margin = 1e-3  # of a pixel: the box is rounded, a hit on its edge is not to be lost
    first_column = max(0.0, math.ceil(left + 0.5 * width - 0.5 - margin))
    last_column = min(width - 1.0, math.floor(right + 0.5 * width - 0.5 + margin))
    first_row = max(0.0, math.ceil(top + 0.5 * height - 0.5 - margin))
    last_row = min(height - 1.0, math.floor(bottom + 0.5 * height - 0.5 + margin))
    return int(first_row), int(last_row), int(first_column), int(last_column)


@njit(cache=True, error_model="numpy")
def _trace(
    kind: int,
    size: np.ndarray,
    turn: np.ndarray,
    shift: np.ndarray,
    focal: float,
    window: tuple[int, int, int, int],
    index: int,
    depth: np.ndarray,
    hit: np.ndarray,
) -> None:
    """Intersect the rays of a window with one primitive, in its own frame."""
    height, width = depth.shape
    ox = -(turn[0, 0] * shift[0] + turn[1, 0] * shift[1] + turn[2, 0] * shift[2])
    oy = -(turn[0, 1] * shift[0] + turn[1, 1] * shift[1] + turn[2, 1] * shift[2])
    oz = -(turn[0, 2] * shift[0] + turn[1, 2] * shift[1] + turn[2, 2] * shift[2])
    for i in range(window[0], window[1] + 1):
        v = (i + 0.5 - 0.5 * height) / focal
        for j in range(window[2], window[3] + 1):
            u = (j + 0.5 - 0.5 * width) / focal
            dx = turn[0, 0] * u + turn[1, 0] * v + turn[2, 0]
            dy = turn[0, 1] * u + turn[1, 1] * v + turn[2, 1]
            dz = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
            distance = intersect(kind, size, ox, oy, oz, dx, dy, dz)
            if distance < depth[i, j]:
                depth[i, j] = distance
                hit[i, j] = index


@njit(cache=True, error_model="numpy")
def _rasterise(
    vertices: np.ndarray,
    faces: np.ndarray,
    turn: np.ndarray,
    shift: np.ndarray,
    focal: float,
    window: tuple[int, int, int, int],
    index: int,
    depth: np.ndarray,
    hit: np.ndarray,
) -> None:
    """Draw the triangles of one mesh into the depth buffer.

    Most triangles of a robot's meshes cover no pixel centre. They are told by integers alone: ``column[k]`` is the
    first pixel centre at or right of a vertex, so equal columns (or rows) of the three vertices mean that none lies
    between them.
    """
    height, width = depth.shape
    n = len(vertices)
    place = np.empty((n, 3))
    column, row = np.empty(n, np.int32), np.empty(n, np.int32)
    t00, t01, t02, t10, t11, t12 = turn[0, 0], turn[0, 1], turn[0, 2], turn[1, 0], turn[1, 1], turn[1, 2]
    t20, t21, t22, s0, s1, s2 = turn[2, 0], turn[2, 1], turn[2, 2], shift[0], shift[1], shift[2]
    straddles = False
    for k in range(n):
        a, b, c = float(vertices[k, 0]), float(vertices[k, 1]), float(vertices[k, 2])
        x, y, z = t00 * a + t01 * b + t02 * c + s0, t10 * a + t11 * b + t12 * c + s1, t20 * a + t21 * b + t22 * c + s2
        place[k, 0], place[k, 1], place[k, 2] = x, y, z
        straddles |= z <= NEAR
        scale = focal / max(z, NEAR)
        column[k] = math.ceil(min(max(x * scale + 0.5 * width - 0.5, -1.0), width + 1.0))
        row[k] = math.ceil(min(max(y * scale + 0.5 * height - 0.5, -1.0), height + 1.0))
    for k in range(len(faces)):
        p, q, r = faces[k, 0], faces[k, 1], faces[k, 2]
        left, right = min(column[p], column[q], column[r]), max(column[p], column[q], column[r])
        top, bottom = min(row[p], row[q], row[r]), max(row[p], row[q], row[r])
        if straddles:
            behind = (place[p, 2] <= NEAR) + (place[q, 2] <= NEAR) + (place[r, 2] <= NEAR)
            if behind == 3:
                continue
            if behind > 0:  # its projection is unbounded: try every pixel
                left, right, top, bottom = 0, width, 0, height
        if left == right or top == bottom:
            continue
        left, right = max(left, window[2]), min(right, window[3] + 1)
        top, bottom = max(top, window[0]), min(bottom, window[1] + 1)
        if left >= right or top >= bottom:
            continue
        px, py, pz = place[p, 0], place[p, 1], place[p, 2]
        qx, qy, qz = place[q, 0], place[q, 1], place[q, 2]
        rx, ry, rz = place[r, 0], place[r, 1], place[r, 2]
        # A ray d is inside where d·(q×r), d·(r×p), d·(p×q) agree in sign; it meets the plane at det / their sum.
        ax, ay, az = qy * rz - qz * ry, qz * rx - qx * rz, qx * ry - qy * rx
        bx, by, bz = ry * pz - rz * py, rz * px - rx * pz, rx * py - ry * px
        cx, cy, cz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        det = px * ax + py * ay + pz * az
        for i in range(top, bottom):
            v = (i + 0.5 - 0.5 * height) / focal
            for j in range(left, right):
                u = (j + 0.5 - 0.5 * width) / focal
                ea, eb, ec = ax * u + ay * v + az, bx * u + by * v + bz, cx * u + cy * v + cz
                if (ea >= 0 and eb >= 0 and ec >= 0) or (ea <= 0 and eb <= 0 and ec <= 0):
                    distance = det / (ea + eb + ec)
                    if 0 < distance < depth[i, j]:
                        depth[i, j] = distance
                        hit[i, j] = index
