"""Procedural laptops, faucets, toilets and buckets: fixed instances, made from numbers alone.

DexArt takes its objects from PartNet-Mobility, which may not be passed on. These are our own: primitive shapes whose
sizes come from a generator seeded with (task, split, instance). Only the counts of the two splits are those of DexArt.

An object stands at the origin of its root body and is turned towards -x, where the robot is. Its handle link moves by
one hinge from ``closed``; half of the joint's range is ``half`` (DexArt's annotations `left` and `middle`).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import mujoco
import numpy as np

from envs.dexart.robot import OBJECT_BIT, ROBOT_BIT

ROOT, HANDLE, HINGE, GRIP = "object", "handle", "hinge", "grip"
"""Names: root body, moving link, its joint, and the site at the place where one takes hold of it."""

COUNTS = {"laptop": (11, 6), "faucet": (11, 7), "toilet": (17, 11), "bucket": (11, 8)}
"""Instances for training and those never seen in it, as in DexArt."""

BODY_RGBA, HANDLE_RGBA = (0.35, 0.45, 0.75, 1.0), (0.85, 0.45, 0.25, 1.0)
PLANK, ROD = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER


@dataclass(frozen=True)
class Shape:
    """What the rules and the experts need to know about an instance. Metres, radians."""

    half: float  # joint value at half of the range; the joint starts at ``start``
    start: float
    reach: float  # from the hinge axis to the grip
    thickness: float  # of the plate or bar that one takes hold of
    lead: float = 0.0  # angle of the handle in the root frame at joint value 0, where that varies
    turn: int = 1  # sense of the hinge about the vertical (faucet)


def add_object(spec: mujoco.MjSpec, task: str, unseen: bool, instance: int) -> Shape:
    """Add instance number ``instance`` of a split to a scene."""
    rng = np.random.default_rng([zlib.crc32(task.encode()), int(unseen), instance])
    builders = {"laptop": _laptop, "faucet": _faucet, "toilet": _toilet, "bucket": _bucket}
    # A fixed object is a mocap body: it is placed in the state, so that all episodes share one compiled model.
    return builders[task](spec.worldbody.add_body(name=ROOT, mocap=task != "bucket"), rng)


def _laptop(root: mujoco.MjsBody, rng: np.random.Generator) -> Shape:
    width, depth = rng.uniform(0.26, 0.34), rng.uniform(0.19, 0.24)
    base, lid = rng.uniform(0.012, 0.020), rng.uniform(0.007, 0.012)
    _geom(root, PLANK, (depth / 2, width / 2, base / 2), (0, 0, base / 2), 500)
    handle = _hinged(root, (depth / 2, 0, base + lid / 2), (0, 1, 0), (0.0, half2 := rng.uniform(2.2, 2.6)), 1.0)
    _geom(handle, PLANK, (depth / 2, width / 2, lid / 2), (-depth / 2, 0, 0), 500, HANDLE_RGBA)
    handle.add_site(name=GRIP, pos=(-depth, 0, 0))
    return Shape(half=half2 / 2, start=0.2, reach=depth, thickness=lid)


def _toilet(root: mujoco.MjsBody, rng: np.random.Generator) -> Shape:
    width, depth = rng.uniform(0.26, 0.32), rng.uniform(0.26, 0.31)
    height, lid = rng.uniform(0.28, 0.34), rng.uniform(0.012, 0.020)
    tank, rise, foot = rng.uniform(0.10, 0.14), rng.uniform(0.20, 0.30), rng.uniform(0.55, 0.75)
    back = depth / 2
    _geom(root, PLANK, (depth * foot / 2, width * foot / 2, height / 2 - 0.04), (0, 0, height / 2 - 0.04), 50)
    _geom(root, PLANK, (depth / 2, width / 2, 0.04), (0, 0, height - 0.04), 50)  # bowl
    _geom(root, PLANK, (tank / 2, width / 2, (height + rise) / 2), (back + 0.05 + tank / 2, 0, (height + rise) / 2), 50)
    half2 = rng.uniform(2.0, 2.4)
    handle = _hinged(root, (back, 0, height + lid / 2 + 0.004), (0, 1, 0), (0.0, half2), 1.0)
    _geom(handle, PLANK, (0.4 * depth, width / 2, lid / 2), (-0.4 * depth, 0, 0), 50, HANDLE_RGBA)
    _geom(handle, ROD, (width * 0.4, lid / 2, 0), (-0.8 * depth + 0.05, 0, 0), 50, HANDLE_RGBA)  # its round front
    reach = 0.8 * depth - 0.05 + width * 0.4
    handle.add_site(name=GRIP, pos=(-reach, 0, 0))
    return Shape(half=half2 / 2, start=0.25, reach=reach, thickness=lid)


def _faucet(root: mujoco.MjsBody, rng: np.random.Generator) -> Shape:
    height, column, hub = rng.uniform(0.17, 0.22), rng.uniform(0.018, 0.026), rng.uniform(0.016, 0.024)
    length, bar = rng.uniform(0.145, 0.175), rng.uniform(0.011, 0.015)
    spout, drop = rng.uniform(0.12, 0.18), rng.uniform(0.05, 0.09)
    turn = 1 if rng.random() < 0.5 else -1
    _geom(root, ROD, (0.05, 0.012, 0), (0, 0, 0.012), 7800)
    _geom(root, ROD, (column, height / 2, 0), (0, 0, height / 2), 7800)
    level = height - drop
    _geom(root, PLANK, (spout / 2, 0.013, 0.013), (spout / 2, 0, level), 7800)
    _geom(root, ROD, (0.013, 0.025, 0), (spout, 0, level - 0.025), 7800)
    lead = math.pi - turn * 0.65  # it sweeps the side of the robot
    handle = _hinged(root, (0, 0, height + 0.002 + bar), (0, 0, turn), (0.0, half2 := rng.uniform(1.9, 2.4)), 1.0)
    _geom(handle, ROD, (hub, bar, 0), (0, 0, 0), 7800, HANDLE_RGBA)
    out = np.array([math.cos(lead), math.sin(lead), 0.0])
    lever = _geom(handle, PLANK, (length / 2, bar, bar), out * length / 2, 7800, HANDLE_RGBA)
    lever.quat = (math.cos(lead / 2), 0, 0, math.sin(lead / 2))
    handle.add_site(name=GRIP, pos=out * (length - 0.06))
    return Shape(half=half2 / 2, start=0.0, reach=length - 0.06, thickness=2 * bar, lead=lead, turn=turn)


def _bucket(root: mujoco.MjsBody, rng: np.random.Generator) -> Shape:
    radius, height = rng.uniform(0.10, 0.125), rng.uniform(0.18, 0.23)
    reach, bar, tilt = rng.uniform(0.15, 0.175), rng.uniform(0.011, 0.014), rng.uniform(0.90, 1.05)
    root.add_freejoint(name=ROOT)
    wall, sides = 0.001, 12  # half thickness
    chord = radius * math.tan(math.pi / sides)
    _geom(root, ROD, (radius, wall, 0), (0, 0, wall), 7800)
    for k in range(sides):
        angle = 2 * math.pi * k / sides
        place = (radius * math.cos(angle), radius * math.sin(angle), height / 2)
        _geom(root, PLANK, (wall, chord, height / 2), place, 7800).quat = (
            math.cos(angle / 2), 0, 0, math.sin(angle / 2)
        )  # fmt: skip
    # At joint value 0 the bail leans towards the robot, ``tilt`` above the horizontal; at half of the range it stands.
    half = math.pi / 2 - tilt
    handle = _hinged(root, (0, 0, height - 0.01), (0, 1, 0), (0.0, 2 * half), 0.0, damping=0.01)
    side = radius + wall + 0.012
    along = np.array([-math.cos(tilt), 0.0, math.sin(tilt)])
    for sign in (-1, 1):
        arm = _geom(handle, PLANK, (reach / 2, 0.006, 0.004), along * reach / 2 + [0, sign * side, 0], 100, HANDLE_RGBA)
        arm.quat = (math.cos(tilt / 2), 0, math.sin(tilt / 2), 0)
    rod = _geom(handle, ROD, (bar, side + 0.006, 0), along * reach, 100, HANDLE_RGBA)
    rod.quat = (math.sqrt(0.5), math.sqrt(0.5), 0, 0)
    handle.add_site(name=GRIP, pos=along * reach)
    return Shape(half=half, start=0.0, reach=reach, thickness=2 * bar, lead=tilt)


def _hinged(
    root: mujoco.MjsBody,
    place: tuple[float, float, float],
    axis: tuple[float, float, float],
    limits: tuple[float, float],
    friction: float,
    damping: float = 0.05,
) -> mujoco.MjsBody:
    """The handle link, on a hinge with dry friction [N m] that holds it where it is left."""
    handle = root.add_body(name=HANDLE, pos=place)
    handle.add_joint(
        name=HINGE,
        axis=axis,
        range=limits,
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        damping=damping,
        frictionloss=friction,
        solref_friction=(0.004, 1.0),
        solimp_friction=(0.9999, 0.9999, 0.001, 0.5, 2.0),  # or else a lid creeps down
        armature=0.001,
    )
    return handle


def _geom(
    body: mujoco.MjsBody,
    kind: mujoco.mjtGeom,
    size: tuple[float, float, float],
    place: tuple[float, float, float] | np.ndarray,
    density: float,
    rgba: tuple[float, float, float, float] = BODY_RGBA,
) -> mujoco.MjsGeom:
    return body.add_geom(
        type=kind,
        size=size,
        pos=place,
        density=density,
        contype=OBJECT_BIT,
        conaffinity=ROBOT_BIT,
        friction=(1.0, 0.01, 0.0001),
        condim=4,
        rgba=rgba,
    )
