"""The 50 MetaWorld tasks, on the simulator."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import envs
from bench.interfaces import Task, UserError
from bench.seeding import Purpose, episode_seed
from envs.metaworld import CROP, FRAME, MetaWorld
from envs.raycast import depth_image
from envs.scene import Scene
from tests.envs.reference import image, ray_by_ray

TASKS = envs.select("metaworld")


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Iterator[MetaWorld]:
    made = envs.make(request.param)
    assert isinstance(made, MetaWorld)
    yield made
    made.close()


def play(task: Task, steps: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        task.step(rng.uniform(-1, 1, task.spec.action_dim))


def test_the_first_observation(task: MetaWorld) -> None:
    task.reset(3)
    assert isinstance(task, Task)
    cloud, agent_pos = task.observe()
    assert (cloud.shape, cloud.dtype) == ((task.spec.n_points, 3), np.float32)
    assert (agent_pos.shape, agent_pos.dtype) == ((9,), np.float32)
    assert np.isfinite(cloud).all()
    assert (cloud != 0).any(axis=1).sum() == task.spec.n_points
    outcome = task.step(np.full(4, 0.5))
    assert (type(outcome.success), outcome.done) == (bool, False)
    assert np.isfinite(outcome.reward)


def test_one_seed_is_one_state_whatever_was_run_before(task: MetaWorld) -> None:
    task.reset(7)
    fresh = envs.make(task.spec.id)
    fresh.reset(11)
    play(fresh, 25)
    assert fresh.state_hash() != task.state_hash()
    fresh.reset(7)
    assert fresh.state_hash() == task.state_hash()
    for other in (fresh, task):
        play(other, 5, seed=1)
    assert fresh.state_hash() == task.state_hash()
    assert np.array_equal(fresh.observe().point_cloud, task.observe().point_cloud)
    task.reset(8)
    assert fresh.state_hash() != task.state_hash()
    fresh.close()


def test_the_camera_sees_what_mj_ray_sees(task: MetaWorld) -> None:
    """Depth and geom of every eighth pixel, at the start and twice in the expert's episode."""
    model, data, cloud = task._env.model, task._env.data, task._cloud
    task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, 0))
    expert = task.expert()
    for start in range(3):
        if start:
            for _ in range(45):
                task.step(expert.act())
        pixels = np.arange(start, cloud.camera.width * cloud.camera.height, 8)
        depth, hit = image(*depth_image(Scene.of(model), data, cloud.camera), pixels)  # rays do not meet sites
        expected, geom = ray_by_ray(model, data, cloud.camera, pixels)
        assert np.allclose(depth, expected, rtol=0, atol=1e-6)
        assert (hit == geom).mean() > 0.999  # two geoms may share a surface


@pytest.mark.parametrize("name", ["reach", "push", "pick-place", "push-back", "shelf-place"])
def test_the_goal_is_in_the_cloud(name: str) -> None:
    """Nothing but its marker tells a policy where the goal is."""
    task = MetaWorld(envs.specs()[f"metaworld/{name}"])
    goals = []
    for seed in range(3):
        task.reset(seed)
        goal = FRAME.of_world(task._env._target_pos)
        gaps = np.linalg.norm(task.observe().point_cloud - goal, axis=1)
        assert abs(gaps.min() - 0.02) < 1e-3  # the marker's radius
        goals.append(goal)
    assert np.ptp(goals, axis=0).max() > 0.01
    task.close()


def test_observing_equals_preprocessing_a_scan(task: MetaWorld) -> None:
    task.reset(5)
    play(task, 10)
    scan, seen = task.scan(), task.observe()
    again = task.preprocess(scan)
    assert np.array_equal(again.point_cloud, seen.point_cloud)
    assert np.array_equal(again.agent_pos, seen.agent_pos)
    assert len(scan.points) > len(CROP(scan.points)) > task.spec.n_points


def test_the_point_frame() -> None:
    world = np.array([[0.0, 0.6, 0.2], [0.0, 0.6, 0.0]])
    assert np.allclose(FRAME.of_world(world), [[0.147, -0.663, -0.593], [0.148, -0.665, -0.793]], atol=1e-3)
    assert np.allclose(FRAME.rotation @ FRAME.rotation.T, np.eye(3))
    published = [[-0.6367, -0.7711, -0.0009], [0.7711, -0.6367, 0.0097], [-0.0081, 0.0055, 1.0]]
    assert np.allclose(FRAME.rotation, published, atol=1e-4)


def test_the_crop_removes_the_table_and_keeps_what_lies_on_it() -> None:
    table = np.array([[x, y, 0.0] for x in np.linspace(-0.4, 0.6, 9) for y in np.linspace(0.4, 1.0, 7)])
    assert len(CROP(FRAME.of_world(table).astype(np.float32))) == 0
    assert len(CROP(FRAME.of_world(np.array([[0.0, 0.6, 0.02], [0.1, 0.8, 0.02]])))) == 2


SCRIPT = """
import json, sys, envs
hashes = {}
for name in sys.argv[1].split(","):
    task = envs.make(name)
    task.reset(42)
    hashes[name] = task.state_hash()
print(json.dumps(hashes))
"""


def test_a_fresh_process_starts_from_the_same_states() -> None:
    names = ["metaworld/pick-place", "metaworld/door-open", "metaworld/stick-push"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(names)], capture_output=True, text=True, check=True, env=os.environ
    )
    there: dict[str, Any] = json.loads(done.stdout)
    for name in names:
        here = envs.make(name)
        here.reset(1)
        play(here, 20)
        here.reset(42)
        assert here.state_hash() == there[name]
        here.close()


@pytest.mark.parametrize("name", ["drawer-open", "push-back", "stick-pull", "basketball"])
def test_the_expert_gives_demonstrations(name: str) -> None:
    task = envs.make(f"metaworld/{name}")
    task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, 0))
    expert = task.expert()
    success = [task.step(expert.act()).success for _ in range(task.spec.max_steps)]
    assert not success[0]
    assert sum(success) >= task.spec.min_success_steps
    task.close()


def test_actions_are_clipped_and_checked() -> None:
    hashes = []
    for scale in (1.0, 7.0):
        task = envs.make("metaworld/reach")
        with pytest.raises(UserError, match="reset"):
            task.observe()
        task.reset(0)
        task.step(scale * np.array([1.0, -1.0, 1.0, 1.0]))
        hashes.append(task.state_hash())
        for bad in (np.zeros(3), np.array([0, 0, 0, np.nan])):
            with pytest.raises(UserError, match="4 finite numbers"):
                task.step(bad)
        task.close()
    assert hashes[0] == hashes[1]
