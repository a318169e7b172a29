"""The four scenes: where robot, camera and object stand, and the compiled models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from envs.camera import Camera
from envs.dexart.objects import Shape, add_object
from envs.dexart.robot import OBJECT_BIT, ROBOT_BIT, add_robot
from envs.pointcloud import CloudCamera, Crop, Frame
from envs.scene import Scene

PHYSICS_STEP = 0.004  # s
FRAME_SKIP = 10
CONTROL_STEP = PHYSICS_STEP * FRAME_SKIP  # 25 Hz
IMAGE, FOV = 84, 69.4
NEAR = 0.05  # metres in front of the camera


@dataclass(frozen=True)
class Layout:
    """Where things stand in a task. Metres, world; radians."""

    base_height: float  # of the robot, whose base stands at x = -0.5
    place: tuple[float, float, float]  # of the object's root: the low corner of a box ...
    spread: float  # ... with this edge, in which it is placed uniformly
    yaw: float  # the root is turned by at most this much about the vertical
    crop: tuple[float, float, float, float, float, float]  # x, x, y, y, z, z in the frame of the robot's base
    eye: tuple[float, float, float] = (0.0, 1.0, 0.5)
    gaze: tuple[float, float, float] = (0.0, -1.0, 0.0)

    @property
    def base(self) -> tuple[float, float, float]:
        """Position of the robot's base."""
        return (-0.5, 0.0, self.base_height)


LAYOUTS = {
    "laptop": Layout(0.0, (0.05, -0.05, 0.0), 0.1, np.pi / 3, (0.1, 1.0, -1.0, 2.0, 0.0048, 0.6)),
    "faucet": Layout(
        *(0.0, (0.0, -0.05, 0.0), 0.1, np.pi / 2, (0.1, 2.0, -1.0, 1.0, 0.0048, 0.4)),
        eye=(-0.3, 0.6, 0.4),
        gaze=(0.16, -0.7, -0.35),
    ),
    "toilet": Layout(0.4, (0.0, -0.1, 0.0), 0.2, np.pi / 4, (0.1, 2.0, -2.0, 2.0, -0.3, 0.8)),
    "bucket": Layout(0.3, (0.16, -0.025, 0.0), 0.05, 0.0, (0.1, 2.0, -2.0, 2.0, -0.29, 0.4)),
}
"""Base heights, crops, cameras and spreads are DexArt's; the low corners are ours (its annotations are not public)."""


@dataclass(frozen=True)
class Compiled:
    """A scene with one object instance, shared by all episodes on it: whatever differs between them is in the state."""

    model: mujoco.MjModel
    shape: Shape
    cloud: CloudCamera


@lru_cache(maxsize=32)
def compiled(task: str, unseen: bool, instance: int) -> Compiled:
    """The scene of a task with an instance of one split."""
    layout = LAYOUTS[task]
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_STEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    _add_ground(spec, layout)
    add_robot(spec, layout.base)
    shape = add_object(spec, task, unseen, instance)
    model = spec.compile()
    frame = Frame(np.eye(3), np.array(layout.base))
    low, high = layout.crop[0::2], layout.crop[1::2]
    camera = _camera(layout)
    back = camera.rotation[:, 2]  # points with camera-frame z < -NEAR stay
    floor = (*(-back), float(-back @ (camera.position - layout.base) + NEAR))
    crop = Crop(low, high, floor=floor)  # type: ignore[arg-type]
    return Compiled(model, shape, CloudCamera(Scene.of(model), camera, frame, crop))


def _add_ground(spec: mujoco.MjSpec, layout: Layout) -> None:
    common = {"contype": OBJECT_BIT, "conaffinity": ROBOT_BIT | OBJECT_BIT, "rgba": (0.62, 0.55, 0.45, 1.0)}
    spec.worldbody.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.9, 0.9, 0.025), pos=(0.1, 0, -0.025), **common
    )
    if layout.base_height:
        half = layout.base_height / 2
        spec.worldbody.add_geom(
            name="stand", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.08, 0.08, half), pos=(-0.5, 0, half), **common
        )


def _camera(layout: Layout) -> Camera:
    back = -np.array(layout.gaze) / np.linalg.norm(layout.gaze)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    rotation = np.column_stack([right, np.cross(back, right), back])
    return Camera(np.array(layout.eye), rotation, FOV, IMAGE, IMAGE)
