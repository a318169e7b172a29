"""The four DexArt tasks on MuJoCo as `bench.interfaces.Task`."""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np

from bench.interfaces import Expert, Observation, Outcome, Scan, TaskSpec, UserError
from envs.dexart.cloud import IMAGINED, ImaginedHand, padded
from envs.dexart.experts import expert
from envs.dexart.objects import COUNTS, HINGE, ROOT
from envs.dexart.robot import ARM_JOINTS, JOINTS, PALM, WRIST
from envs.dexart.rules import HORIZON, Referee, Situation, reward
from envs.dexart.scenes import CONTROL_STEP, FRAME_SKIP, LAYOUTS, Compiled, compiled

DAMPING = 0.05  # of the inverse kinematics
MAX_JOINT_SPEED = np.pi  # rad / s
SETTLING = 125  # physics steps in which a bucket falls to the ground


class DexArt:
    """A DexArt task. `Outcome.success` is the eased criterion of the 3D Diffusion Policy benchmark.

    An episode ends by itself when DexArt's own, stricter criterion is met; `situation` tells both apart in every step.

    Args:
        spec: row of `tasks.toml`. Another number of steps, such as the published runners' 50, is
            ``dataclasses.replace(spec, max_steps=50)``.
        unseen: take the object instances that training never sees.
    """

    def __init__(self, spec: TaskSpec, *, unseen: bool = False) -> None:
        self.spec, self.unseen = spec, unseen
        self.name = spec.id.split("/", 1)[1]
        self.instance = -1
        self._imagined = ImaginedHand()
        self._scene: Compiled | None = None

    def reset(self, seed: int) -> None:
        """Start an episode: instance, place and turn of the object are drawn from one generator."""
        self.seed = int(seed)
        rng = np.random.default_rng([self.seed, self.unseen])
        layout = LAYOUTS[self.name]
        self.instance = int(rng.integers(COUNTS[self.name][self.unseen]))
        place = layout.place + rng.uniform(0.0, layout.spread, 3)
        yaw = rng.uniform(-layout.yaw, layout.yaw)
        self._scene = scene = compiled(self.name, self.unseen, self.instance)
        self.model, self.shape = model, shape = scene.model, scene.shape
        self.data = data = mujoco.MjData(model)
        self._referee = Referee(self.name, model, shape)
        self._palm, self._wrist = model.body(PALM).id, model.body(WRIST).id
        limits = model.jnt_range[:JOINTS]
        data.qpos[:JOINTS] = np.clip(0.0, limits[:, 0], limits[:, 1])
        data.ctrl[:] = data.qpos[:JOINTS]
        data.joint(HINGE).qpos = shape.start
        turn = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        if model.nmocap:
            data.mocap_pos[0], data.mocap_quat[0] = place, turn
            mujoco.mj_forward(model, data)
        else:
            data.joint(ROOT).qpos = (*place, *turn)
            mujoco.mj_step(model, data, SETTLING)
            data.time = 0.0
            mujoco.mj_forward(model, data)
        self._height = float(data.xpos[model.body(ROOT).id, 2])
        self.steps = 0
        self.situation: Situation = self._referee.judge(data, self._height)

    def step(self, action: np.ndarray) -> Outcome:
        """Execute one action ``[22]``, clipped to [-1, 1], for 40 ms.

        The first six numbers are the spatial velocity of the wrist (m/s, rad/s, world axes), the others the targets of
        the hand's joints, from one end of their range to the other.
        """
        self._started()
        action = np.asarray(action, np.float64)
        if action.shape != (self.spec.action_dim,) or not np.isfinite(action).all():
            raise UserError(f"{self.spec.id}: an action is {self.spec.action_dim} finite numbers, not {action}")
        action = np.clip(action, -1.0, 1.0)
        model, data = self.model, self.data
        limits = model.jnt_range[ARM_JOINTS:JOINTS]
        before = data.xpos[self._wrist].copy()
        data.ctrl[:ARM_JOINTS] = data.qpos[:ARM_JOINTS] + CONTROL_STEP * self.joint_velocity(action[:ARM_JOINTS])
        data.ctrl[ARM_JOINTS:] = limits[:, 0] + (action[ARM_JOINTS:] + 1.0) / 2.0 * (limits[:, 1] - limits[:, 0])
        mujoco.mj_step(model, data, FRAME_SKIP)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        self.steps += 1
        slip = float(np.linalg.norm(data.xpos[self._wrist] - before - CONTROL_STEP * action[:3]))
        last, self.situation = self.situation, self._referee.judge(data, self._height)
        value = reward(self.name, self.situation, last, self.steps, data, self._palm, slip)
        return Outcome(self.situation.dp3, self.situation.upstream, value)

    def joint_velocity(self, twist: np.ndarray) -> np.ndarray:
        """Arm joint velocities ``[6]`` in rad/s for a spatial velocity of the wrist, by damped least squares."""
        jacobian = self.wrist_jacobian()
        square = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        return np.clip(jacobian.T @ np.linalg.solve(square, twist), -MAX_JOINT_SPEED, MAX_JOINT_SPEED)

    def wrist_jacobian(self) -> np.ndarray:
        """Linear and angular velocity of the wrist by arm joint velocity ``[6, 6]``, world axes."""
        jacobian = np.zeros((6, self.model.nv))
        mujoco.mj_jacBody(self.model, self.data, jacobian[:3], jacobian[3:], self._wrist)
        return jacobian[:, :ARM_JOINTS]

    def scan(self) -> Scan:
        """All points that the camera sees, in the frame of the robot's base, and the state ``[32]`` or ``[33]``."""
        return Scan(self._started().cloud.points(self.data), self._agent_pos())

    def preprocess(self, scan: Scan) -> Observation:
        """Crop and sample to N - 96 points, and add the 96 points of the hand at the joint positions of the state."""
        crop = self._started().cloud.crop
        seen = padded(crop(scan.points), self.spec.n_points - IMAGINED)
        return Observation(np.concatenate([seen, self._imagined(scan.agent_pos[:JOINTS])]), scan.agent_pos)

    def observe(self) -> Observation:
        """Return ``preprocess(scan())``; rays are followed no further than the crop box."""
        return self.preprocess(Scan(self._started().cloud.points_near_crop(self.data), self._agent_pos()))

    def state_hash(self) -> str:
        """Hash of the integration state, the object instance and the step number."""
        self._started()
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.model, spec))
        mujoco.mj_getState(self.model, self.data, state, spec)
        digest = hashlib.sha256(state.tobytes())
        digest.update(np.array([self.unseen, self.instance, self.steps], np.int64).tobytes())
        return digest.hexdigest()[:16]

    def expert(self) -> Expert:
        """A scripted expert for the episode that `reset` started."""
        self._started()
        return expert(self)

    def close(self) -> None:
        """Free the simulator."""
        self._scene = None

    def _agent_pos(self) -> np.ndarray:
        """Joint positions, velocity, spin and position of the palm (world), bucket: its upward part, and the clock."""
        data, palm = self.data, self._palm
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, data, mujoco.mjtObj.mjOBJ_XBODY, palm, velocity, 0)
        upward = data.xmat[palm, 6:7] if self.name == "bucket" else []
        parts = (data.qpos[:JOINTS], velocity[3:], velocity[:3], data.xpos[palm], upward, [self.steps / HORIZON])
        return np.concatenate(parts).astype(np.float32)

    def _started(self) -> Compiled:
        if self._scene is None:
            raise UserError(f"{self.spec.id}: no episode yet: call reset(seed) first")
        return self._scene
