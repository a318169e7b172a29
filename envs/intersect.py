"""Where a ray meets a MuJoCo primitive: analytic, in the frame of the geom, compiled.

A ray is ``o + t d``; the functions return the smallest ``t >= 0`` on the surface, or infinity. Sizes are those of
``mjModel.geom_size``: half sizes (box, ellipsoid), radius and half length (cylinder, capsule), half width and half
height (plane, 0: unbounded). Conventions are those of MuJoCo's ``mj_ray``: a plane is seen from above only, a body from
inside too.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numba import njit

PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
SPHERE = int(mujoco.mjtGeom.mjGEOM_SPHERE)
CAPSULE = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
ELLIPSOID = int(mujoco.mjtGeom.mjGEOM_ELLIPSOID)
CYLINDER = int(mujoco.mjtGeom.mjGEOM_CYLINDER)
BOX = int(mujoco.mjtGeom.mjGEOM_BOX)
MESH = int(mujoco.mjtGeom.mjGEOM_MESH)
SUPPORTED = frozenset({PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH})


@njit(cache=True, error_model="numpy")
def intersect(kind: int, size: np.ndarray, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """The first intersection with a primitive of type ``kind`` (any of `SUPPORTED` but `MESH`)."""
    if kind == BOX:
        return _box(size[0], size[1], size[2], ox, oy, oz, dx, dy, dz)
    if kind == CYLINDER:
        return _cylinder(size[0], size[1], ox, oy, oz, dx, dy, dz)
    if kind == PLANE:
        return _plane(size[0], size[1], ox, oy, oz, dx, dy, dz)
    if kind == CAPSULE:
        return _capsule(size[0], size[1], ox, oy, oz, dx, dy, dz)
    if kind == SPHERE:
        return _sphere(size[0], ox, oy, oz, dx, dy, dz)
    a, b, c = size[0], size[1], size[2]  # an ellipsoid is a unit sphere in stretched coordinates, with the same t
    return _sphere(1.0, ox / a, oy / b, oz / c, dx / a, dy / b, dz / c)


@njit(cache=True, error_model="numpy")
def _roots(a: float, b: float, c: float) -> tuple[float, float]:
    """The real roots of ``a t² + 2 b t + c``, ascending (a >= 0), or two infinities."""
    square = b * b - a * c
    if square < 0.0 or a < 1e-30:
        return np.inf, np.inf
    root = math.sqrt(square)
    return (-b - root) / a, (-b + root) / a


@njit(cache=True, error_model="numpy")
def _nearest(t0: float, t1: float) -> float:
    return t0 if t0 >= 0.0 else (t1 if t1 >= 0.0 else np.inf)


@njit(cache=True, error_model="numpy")
def _sphere(radius: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    t0, t1 = _roots(
        dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz, ox * ox + oy * oy + oz * oz - radius * radius
    )
    return _nearest(t0, t1)


@njit(cache=True, error_model="numpy")
def _plane(width: float, height: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    if dz > -1e-15:
        return np.inf
    t = -oz / dz
    inside = (width <= 0.0 or abs(ox + t * dx) <= width) and (height <= 0.0 or abs(oy + t * dy) <= height)
    return t if t >= 0.0 and inside else np.inf


@njit(cache=True, error_model="numpy")
def _cylinder(radius: float, half: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    best = np.inf
    t0, t1 = _roots(dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - radius * radius)
    for t in (t0, t1):
        if 0.0 <= t < best and abs(oz + t * dz) <= half:
            best = t
    for z in (-half, half):
        t = (z - oz) / dz if dz != 0.0 else np.inf
        if 0.0 <= t < best and (ox + t * dx) ** 2 + (oy + t * dy) ** 2 <= radius * radius:
            best = t
    return best


@njit(cache=True, error_model="numpy")
def _capsule(radius: float, half: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    best = np.inf
    t0, t1 = _roots(dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - radius * radius)
    for t in (t0, t1):
        if 0.0 <= t < best and abs(oz + t * dz) <= half:
            best = t
    for end in (-1.0, 1.0):
        z = oz - end * half
        t0, t1 = _roots(
            dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + z * dz, ox * ox + oy * oy + z * z - radius * radius
        )
        for t in (t0, t1):
            if 0.0 <= t < best and (oz + t * dz) * end >= half:
                best = t
    return best


@njit(cache=True, error_model="numpy")
def _box(a: float, b: float, c: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    enter, leave = -np.inf, np.inf
    for o, d, half in ((ox, dx, a), (oy, dy, b), (oz, dz, c)):
        if d != 0.0:
            t0, t1 = (-half - o) / d, (half - o) / d
            enter, leave = max(enter, min(t0, t1)), min(leave, max(t0, t1))
        elif abs(o) > half:
            return np.inf
    return _nearest(enter, leave) if enter <= leave else np.inf
