"""Every task as a `gymnasium.Env`, registered as ``visuomotor/<suite>-<name>-v1``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from bench.interfaces import Observation
from envs.registry import make, specs, unavailable

Cloud = dict[str, np.ndarray]


class TaskEnv(gymnasium.Env[Cloud, np.ndarray]):
    """A task with its observation in every step.

    Observation: ``point_cloud`` [N, 3] float32 in metres and ``agent_pos`` [P] float32. Action: [A] in [-1, 1].
    ``info["success"]`` is a bool, looked at in every step. `gymnasium.make` ends episodes after ``max_steps``.
    """

    def __init__(self, task: str) -> None:
        self.task = make(task)
        spec = self.task.spec
        self.observation_space = Dict(
            {
                "point_cloud": Box(-np.inf, np.inf, (spec.n_points, 3), np.float32),
                "agent_pos": Box(-np.inf, np.inf, (spec.agent_pos_dim,), np.float32),
            }
        )
        self.action_space = Box(-1.0, 1.0, (spec.action_dim,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Cloud, dict[str, Any]]:
        """Start an episode: that of ``seed``, or of the next number of ``np_random``. There are no ``options``."""
        super().reset(seed=seed, options=options)
        self.task.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        return _as_dict(self.task.observe()), {"success": False}

    def step(self, action: np.ndarray) -> tuple[Cloud, float, bool, bool, dict[str, Any]]:
        """Execute one action and look."""
        outcome = self.task.step(action)
        return _as_dict(self.task.observe()), outcome.reward, outcome.done, False, {"success": outcome.success}

    def close(self) -> None:
        """Free the simulator."""
        self.task.close()


def register() -> None:
    """Register all tasks of `tasks.toml` whose suite is available; what is registered already is left alone."""
    for task, spec in specs(plugins=False).items():
        name = f"visuomotor/{task.replace('/', '-')}-v1"
        if unavailable(spec.suite) is None and name not in gymnasium.registry:
            gymnasium.register(
                name, entry_point="envs.gym:TaskEnv", max_episode_steps=spec.max_steps, kwargs={"task": task}
            )


def _as_dict(observation: Observation) -> Cloud:
    return {"point_cloud": observation.point_cloud, "agent_pos": observation.agent_pos}
