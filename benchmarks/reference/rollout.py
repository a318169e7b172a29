"""A rollout the way published runners do it: one episode after another, a cloud in every control step, batch 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

from bench.interfaces import Method, Observations, Task


def run_episodes(task: Task, policy: Method, seeds: Sequence[int], generator: torch.Generator) -> list[bool]:
    """Run one episode per seed; returns whether each saw success in any step."""
    return [_run_episode(task, policy, seed, generator) for seed in seeds]


def _run_episode(task: Task, policy: Method, seed: int, generator: torch.Generator) -> bool:
    task.reset(seed)
    history = deque([task.observe()] * policy.spec.n_obs_steps, maxlen=policy.spec.n_obs_steps)
    steps, success = 0, False
    while steps < task.spec.max_steps:
        clouds = torch.from_numpy(np.stack([o.point_cloud for o in history]))[None]
        states = torch.from_numpy(np.stack([o.agent_pos for o in history]))[None]
        chunk = policy.act(Observations(clouds, states), generator).numpy()[0]
        for action in chunk[: task.spec.max_steps - steps]:
            outcome = task.step(action)
            history.append(task.observe())
            success |= outcome.success
            steps += 1
            if outcome.done:
                return success
    return success
