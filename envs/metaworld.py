"""MetaWorld: 50 tasks of a Sawyer arm (Yu et al., "Meta-World", 2019; package `metaworld`, v3 environments).

Camera, point frame, crop box and horizon are those of the 3D Diffusion Policy benchmark (Ze et al., 2024, arXiv
2403.03954), with two departures: the point frame is the true rigid one, and success is looked at in every step.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from dataclasses import replace
from functools import lru_cache

import metaworld
import mujoco
import numpy as np

from bench.interfaces import IMAGE_SIZE, ImageObservation, Observation, Outcome, Scan, TaskSpec, UserError
from envs.camera import Camera
from envs.colour import ColourCamera
from envs.metaworld_experts import scripted_policy
from envs.pointcloud import CloudCamera, Crop, Frame, sample
from envs.scene import Scene

CAMERA, CAMERA_POSITION, IMAGE = "corner2", (0.6, 0.295, 0.8), 128
SITES = ("endEffector", "rightEndEffector", "leftEndEffector")


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis ``[3, 3]``."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def _frame() -> Frame:
    """The point frame: camera coordinates of `corner2`, levelled to the table by two fixed tilts.

    The camera's orientation is given in its Euler angles of the MetaWorld scene; the tilts (61.4° about x, -7° about y)
    are those of the published benchmark. What remains is a turn of 129.5° about z and a tilt of 0.56°.
    """
    camera = _rotation(0, np.degrees(3.9)) @ _rotation(1, np.degrees(2.3)) @ _rotation(2, np.degrees(0.6))
    tilt = _rotation(0, -61.4) @ _rotation(1, -7.0)
    return Frame(tilt @ camera.T, np.array(CAMERA_POSITION))


FRAME = _frame()
# The lower z bound is meant to remove the table top (world z = 0) but misses half of it: the frame is tilted. The floor
# removes the rest, so that no more than a few points of 512 are spent on the table.
TABLE = 0.005  # metres, world z
UP_X, UP_Y, UP_Z = (float(value) for value in FRAME.rotation[:, 2])
CROP = Crop((-0.5, -1.5, -0.795), (1.0, -0.4, 100.0), floor=(UP_X, UP_Y, UP_Z, TABLE - CAMERA_POSITION[2]))


@lru_cache(maxsize=2)  # a worker keeps many instances of few tasks
def _compiled(path: str) -> tuple[mujoco.MjModel, CloudCamera]:
    """The model of a scene file with its camera moved, and that camera, which stands still: shared by all instances."""
    model = mujoco.MjModel.from_xml_path(path)
    model.cam_pos[model.camera(CAMERA).id] = CAMERA_POSITION
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, CloudCamera(Scene.of(model, sites=True), Camera.of(model, data, CAMERA, IMAGE, IMAGE), FRAME, CROP)


@lru_cache(maxsize=2)
def _colour_camera(path: str) -> ColourCamera:
    """The same camera for pictures."""
    model, cloud = _compiled(path)
    return ColourCamera(model, cloud.scene, replace(cloud.camera, width=IMAGE_SIZE, height=IMAGE_SIZE))


@lru_cache(maxsize=2)
def _environment(name: str) -> type:
    """The environment class of a task, except that its instances start from copies of one compiled model."""

    def initialise(self: metaworld.SawyerXYZEnv) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = copy.copy(_compiled(self.fullpath)[0])
        return model, mujoco.MjData(model)

    base = metaworld.ALL_V3_ENVIRONMENTS[f"{name}-v3"]
    return type(base.__name__, (base,), {"_initialize_simulation": initialise})


class MetaWorld:
    """A MetaWorld task as `bench.interfaces.Task`."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._name = spec.id.split("/", 1)[1]
        self._env = env = _environment(self._name)()
        # The scripted experts need the goal, which the environment shows only if its cached space is made anew.
        env._partially_observable = False
        del env.sawyer_observation_space
        env._set_task_called = True
        env._freeze_rand_vec, env.seeded_rand_vec = False, True  # draw layouts, from the environment's own generator
        self._cloud = _compiled(env.fullpath)[1]
        self._state: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        """Start an episode. `reset(seed=)` of MetaWorld ignores its seed, `seed()` does not."""
        self._env.seed(int(seed))
        self._state, _ = self._env.reset()
        mujoco.mj_forward(self._env.model, self._env.data)  # some tasks move bodies last

    def step(self, action: np.ndarray) -> Outcome:
        """Execute one action ``[4]`` (dx, dy, dz, gripper), clipped to [-1, 1]: five physics steps of 2.5 ms."""
        self._started()
        action = np.asarray(action, np.float64)
        if action.shape != (self.spec.action_dim,) or not np.isfinite(action).all():
            raise UserError(f"{self.spec.id}: an action is {self.spec.action_dim} finite numbers, not {action}")
        self._state, reward, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
        return Outcome(bool(info["success"]), False, float(reward))

    def scan(self) -> Scan:
        """All points that the camera sees, in the point frame, and the positions of hand and fingers ``[9]``."""
        self._started()
        return Scan(self._cloud.points(self._env.data), self._agent_pos())

    def preprocess(self, scan: Scan) -> Observation:
        """Crop and sample to N points."""
        return Observation(sample(CROP(scan.points), self.spec.n_points), scan.agent_pos)

    def observe(self) -> Observation:
        """Return ``preprocess(scan())``; rays are followed no further than the crop box."""
        self._started()
        return self.preprocess(Scan(self._cloud.points_near_crop(self._env.data), self._agent_pos()))

    def observe_image(self) -> ImageObservation:
        """What the same camera sees in colour, whole, and the positions of hand and fingers ``[9]``."""
        self._started()
        picture = _colour_camera(self._env.fullpath).picture(self._env.data)
        return ImageObservation(picture, self._agent_pos())

    def state_hash(self) -> str:
        """Hash of the integration state, the layout (MetaWorld places some objects in the model) and the goal."""
        self._started()
        model, data = self._env.model, self._env.data
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(model, spec))
        mujoco.mj_getState(model, data, state, spec)
        digest = hashlib.sha256()
        for part in (state, model.body_pos, model.body_quat, model.site_pos, self._env._target_pos):
            digest.update(np.ascontiguousarray(part, np.float64).tobytes())
        return digest.hexdigest()[:16]

    def expert(self) -> ScriptedExpert:
        """The scripted policy of the task."""
        self._started()
        return ScriptedExpert(self._name, self)

    def close(self) -> None:
        """Free the simulator."""
        self._env.close()

    def state_vector(self) -> np.ndarray:
        """MetaWorld's own observation ``[39]``, goal included: what the experts act on. A copy."""
        return self._started().copy()

    def _agent_pos(self) -> np.ndarray:
        return np.concatenate([self._env.data.site(name).xpos for name in SITES]).astype(np.float32)

    def _started(self) -> np.ndarray:
        if self._state is None:
            raise UserError(f"{self.spec.id}: no episode yet: call reset(seed) first")
        return self._state


class ScriptedExpert:
    """The scripted policy of a task; it reads the simulator's state, goal included."""

    def __init__(self, name: str, task: MetaWorld) -> None:
        self._task = task
        self._policy = scripted_policy(name)

    def act(self) -> np.ndarray:
        """Return the next action ``[4]``, often far outside [-1, 1]."""
        with warnings.catch_warnings():  # it warns of that in every step
            warnings.simplefilter("ignore")
            return np.asarray(self._policy.get_action(self._task.state_vector()), np.float64)
