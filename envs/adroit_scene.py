"""What the camera of an Adroit task sees, in which frame, and the package's environments with that camera in them.

Cameras, point frames and crop boxes are those of the 3D Diffusion Policy benchmark (Ze et al., 2024, arXiv 2403.03954).
The package's scenes have no such cameras; they are added when a scene is compiled, behind those that are there.
"""

from __future__ import annotations

import copy
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from io import StringIO

import mujoco
import numpy as np

from bench.interfaces import IMAGE_SIZE
from envs.camera import Camera
from envs.colour import ColourCamera
from envs.pointcloud import CloudCamera, Crop, Frame
from envs.scene import Scene

IMAGE, CAMERA = 84, "point_cloud"
ROLL = 3.14  # radians, not pi: the published value
HALF_TURN = np.array([[np.cos(ROLL), np.sin(ROLL), 0.0], [-np.sin(ROLL), np.cos(ROLL), 0.0], [0.0, 0.0, 1.0]])
FAR = 10.0  # metres: the published crop box has no other walls


@dataclass(frozen=True)
class View:
    """A camera, and the part of its picture that is kept."""

    position: tuple[float, float, float]  # metres, world
    quaternion: tuple[float, float, float, float]  # w x y z
    frame: Frame
    lowest: float  # metres, in the frame: takes table and floor away


def _from_above(height: float, lowest: float) -> View:
    """Looking straight down. The frame is the camera's own, x right and y up in the picture, with z = 1 - depth."""
    quaternion = (float(np.cos(ROLL / 2)), 0.0, 0.0, float(np.sin(ROLL / 2)))
    return View((0.0, 0.0, height), quaternion, Frame(HALF_TURN, np.array([0.0, 0.0, height - 1.0])), lowest)


VIEWS = {
    "door": _from_above(1.5, -0.499),
    "hammer": _from_above(1.1, -0.099),
    "pen": View(  # looking 45° down; the axes are the world's, the origin is the camera
        (0.0, -0.8, 0.8), (0.92388, 0.382683, 0.0, 0.0), Frame(np.eye(3), np.array([0.0, -0.8, 0.8])), -0.79
    ),
}


@lru_cache(maxsize=2)  # a worker keeps many instances of few tasks
def environment(name: str) -> type:
    """The environment class of ``door``, ``hammer`` or ``pen``; its instances start from copies of one model."""
    with redirect_stderr(StringIO()):  # the package prints a notice on its dense rewards, which are not used here
        module = import_module(f"gymnasium_robotics.envs.adroit_hand.adroit_{name}")
    base = getattr(module, f"AdroitHand{name.capitalize()}Env")

    def initialise(self: object) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = copy.copy(compiled(name, self.fullpath)[0])  # type: ignore[attr-defined]
        return model, mujoco.MjData(model)

    return type(base.__name__, (base,), {"_initialize_simulation": initialise})


@lru_cache(maxsize=2)
def compiled(name: str, path: str) -> tuple[mujoco.MjModel, CloudCamera]:
    """The model of a scene file with its camera, and that camera, which stands still: shared by all instances."""
    view = VIEWS[name]
    scene = mujoco.MjSpec.from_file(path)
    scene.worldbody.add_camera(name=CAMERA, pos=view.position, quat=view.quaternion, fovy=45.0)
    model = scene.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    crop = Crop((-FAR, -FAR, view.lowest), (FAR, FAR, FAR))
    return model, CloudCamera(Scene.of(model), Camera.of(model, data, CAMERA, IMAGE, IMAGE), view.frame, crop)


@lru_cache(maxsize=2)
def colour_camera(name: str, path: str) -> ColourCamera:
    """The same camera for pictures."""
    model, cloud = compiled(name, path)
    return ColourCamera(model, cloud.scene, replace(cloud.camera, width=IMAGE_SIZE, height=IMAGE_SIZE))
