"""Adroit: a hand of 24 joints opens a door, drives a nail, turns a pen (Rajeswaran et al., "Learning Complex Dexterous
Manipulation", 2018; package `gymnasium-robotics`, v1 environments).

Success, horizon and the two control steps (100 Hz) per action are those of the 3D Diffusion Policy benchmark (Ze et
al., 2024, arXiv 2403.03954). The v1 environments call other states a success; both rules are looked at.
"""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np

from bench.interfaces import Expert, ImageObservation, Observation, Outcome, Scan, TaskSpec, UserError
from envs.adroit_scene import colour_camera, compiled, environment
from envs.experts.adroit import PolicyExpert
from envs.pointcloud import sample

REPEAT = 2  # control steps of 10 ms per action
HINGE = 1.4  # radians, door
NAIL = 0.01  # metres, hammer
COSINE, LOST = 0.95, 0.075  # of the angle between the pens; metres: below it the pen has fallen
HAND = {"door": slice(4, -2), "hammer": slice(2, -7), "pen": slice(0, -6)}  # of qpos: the wrist and finger joints


class Adroit:
    """An Adroit task as `bench.interfaces.Task`."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.name = spec.id.split("/", 1)[1]
        self._env = environment(self.name)(reward_type="sparse")  # the dense v1 rewards of distance have a wrong sign
        self._cloud = compiled(self.name, self._env.fullpath)[1]
        self._state: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        """Start an episode: the place of the door, the height of the nail or the goal of the pen is drawn."""
        self._state, _ = self._env.reset(seed=int(seed))

    def step(self, action: np.ndarray) -> Outcome:
        """Execute one action ``[A]`` (targets of the joints, scaled to their ranges), clipped to [-1, 1]: 20 ms.

        ``reward`` is the sum of the package's sparse rewards. A pen that falls ends the episode.
        """
        self._started()
        action = np.asarray(action, np.float64)
        if action.shape != (self.spec.action_dim,) or not np.isfinite(action).all():
            raise UserError(f"{self.spec.id}: an action is {self.spec.action_dim} finite numbers, not {action}")
        total, done = 0.0, False
        for _ in range(REPEAT):
            self._state, reward, _, _, info = self._env.step(action)
            total += float(reward)
            done = self.name == "pen" and bool(self._env.data.body("Object").xpos[2] < LOST)
            if done:
                break
        return Outcome(self._success(), done, total, success_alt=bool(info["success"]))

    def scan(self) -> Scan:
        """All points that the camera sees, in the point frame, and the joints of wrist and fingers ``[24]``."""
        self._started()
        return Scan(self._cloud.points(self._env.data), self._agent_pos())

    def preprocess(self, scan: Scan) -> Observation:
        """Crop and sample to N points."""
        return Observation(sample(self._cloud.crop(scan.points), self.spec.n_points), scan.agent_pos)

    def observe(self) -> Observation:
        """Return ``preprocess(scan())``; rays are followed no further than the crop box."""
        self._started()
        return self.preprocess(Scan(self._cloud.points_near_crop(self._env.data), self._agent_pos()))

    def observe_image(self) -> ImageObservation:
        """What the same camera sees in colour, whole, and the joints of wrist and fingers ``[24]``."""
        self._started()
        return ImageObservation(colour_camera(self.name, self._env.fullpath).picture(self._env.data), self._agent_pos())

    def state_hash(self) -> str:
        """Hash of the integration state and of the poses in the model, where the layout of an episode is."""
        self._started()
        model, data = self._env.model, self._env.data
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(model, spec))
        mujoco.mj_getState(model, data, state, spec)
        digest = hashlib.sha256()
        for part in (state, model.body_pos, model.body_quat):
            digest.update(np.ascontiguousarray(part, np.float64).tobytes())
        return digest.hexdigest()[:16]

    def expert(self) -> Expert:
        """The trained policy of the task."""
        self._started()
        return PolicyExpert(self)

    def close(self) -> None:
        """Free the simulator."""
        self._env.close()

    def state_vector(self) -> np.ndarray:
        """The package's own observation, goal included (39 numbers for door, 46 hammer, 45 pen). A copy."""
        return self._started().copy()

    def _agent_pos(self) -> np.ndarray:
        return self._env.data.qpos[HAND[self.name]].astype(np.float32)

    def _success(self) -> bool:
        data = self._env.data
        if self.name == "door":
            return bool(data.joint("door_hinge").qpos[0] > HINGE)
        if self.name == "hammer":
            return bool(np.linalg.norm(data.site("S_target").xpos - data.site("nail_goal").xpos) < NAIL)
        return bool(axis(data, "object") @ axis(data, "target") > COSINE)

    def _started(self) -> np.ndarray:
        if self._state is None:
            raise UserError(f"{self.spec.id}: no episode yet: call reset(seed) first")
        return self._state


def axis(data: mujoco.MjData, pen: str) -> np.ndarray:
    """Unit vector from bottom to top of ``object`` or ``target`` [3]."""
    axis = data.site(f"{pen}_top").xpos - data.site(f"{pen}_bottom").xpos
    return axis / np.linalg.norm(axis)
