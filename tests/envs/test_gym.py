"""The Gymnasium registration."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs.gym import TaskEnv

TASKS = [
    "metaworld/drawer-open",
    "metaworld/basketball",
    "metaworld/stick-pull",
    "adroit/hammer",
    "adroit/pen",
    "dexart/bucket",
]


def test_every_available_task_is_registered() -> None:
    registered = {name for name in gymnasium.registry if name.startswith("visuomotor/")}
    assert registered == {f"visuomotor/{task.replace('/', '-')}-v1" for task in envs.select("all")}


@pytest.mark.parametrize("task", TASKS)
def test_the_environment_checker_has_no_complaint(task: str) -> None:
    env = gymnasium.make(f"visuomotor/{task.replace('/', '-')}-v1")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")  # a cloud has no natural bounds
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_an_episode_is_truncated_and_says_whether_it_succeeds() -> None:
    env = gymnasium.make("visuomotor/metaworld-drawer-open-v1")
    first, _ = env.reset(seed=5)
    again, _ = env.reset(seed=5)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    other, _ = env.reset()
    assert not np.array_equal(other["point_cloud"], first["point_cloud"])
    task_env = env.unwrapped
    assert isinstance(task_env, TaskEnv)
    expert = task_env.task.expert()
    successes = []
    for step in range(200):
        _, _, terminated, truncated, info = env.step(np.clip(expert.act(), -1, 1).astype(np.float32))
        successes.append(info["success"])
        assert (terminated, truncated) == (False, step == 199)
    assert not successes[0]
    assert any(successes)
    env.close()
