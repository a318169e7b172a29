"""The Adroit tasks, on the simulator."""

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import envs
from bench.interfaces import Task, UserError
from envs.adroit import Adroit
from envs.adroit_scene import VIEWS
from envs.raycast import depth_image
from tests.envs.reference import image, ray_by_ray
from tests.envs.test_metaworld import SCRIPT, play

TASKS = ["adroit/hammer", "adroit/door", "adroit/pen"]


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Iterator[Adroit]:
    made = envs.make(request.param)
    assert isinstance(made, Adroit)
    yield made
    made.close()


def test_the_first_observation(task: Adroit) -> None:
    task.reset(3)
    assert isinstance(task, Task)
    cloud, agent_pos = task.observe()
    assert (cloud.shape, cloud.dtype) == ((512, 3), np.float32)
    assert (agent_pos.shape, agent_pos.dtype) == ((24,), np.float32)
    assert (cloud != 0).any(axis=1).sum() > 400
    assert (cloud[:, 2] > VIEWS[task.name].lowest).all() or task.name == "hammer"  # padded with zeros
    outcome = task.step(np.zeros(task.spec.action_dim))
    assert [type(value) for value in outcome] == [bool, bool, float, bool]
    assert not outcome.success


def test_the_physics_are_those_of_the_package(task: Adroit) -> None:
    """An action is two steps of the package's environment, which has no camera of ours."""
    plain = type(task._env).__mro__[1](reward_type="sparse")
    assert plain.model.ncam + 1 == task._env.model.ncam
    task.reset(5)
    plain.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(15):
        action = rng.uniform(-1, 1, task.spec.action_dim)
        task.step(action)
        for _ in range(2):
            seen, *_ = plain.step(action)
    assert np.array_equal(seen, task.state_vector())
    hand = {"door": plain.data.qpos[4:28], "hammer": plain.data.qpos[2:26], "pen": plain.data.qpos[:24]}[task.name]
    assert np.array_equal(task.observe().agent_pos, hand.astype(np.float32))
    plain.close()


def test_one_seed_is_one_state_whatever_was_run_before(task: Adroit) -> None:
    task.reset(7)
    fresh = envs.make(task.spec.id)
    fresh.reset(11)
    play(fresh, 15)
    assert fresh.state_hash() != task.state_hash()
    fresh.reset(7)
    assert fresh.state_hash() == task.state_hash()
    for other in (fresh, task):
        play(other, 5, seed=1)
    assert fresh.state_hash() == task.state_hash()
    assert np.array_equal(fresh.observe().point_cloud, task.observe().point_cloud)
    task.reset(8)
    there = task.state_hash()
    task.reset(7)
    assert there != task.state_hash()
    fresh.close()


def test_a_fresh_process_starts_from_the_same_states() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, ",".join(TASKS)], capture_output=True, text=True, check=True)
    assert not done.stderr  # the package warns of rewards that are not used here
    for name, there in json.loads(done.stdout).items():
        here = envs.make(name)
        here.reset(1)
        play(here, 10)
        here.reset(42)
        assert here.state_hash() == there
        here.close()


def test_the_camera_sees_what_mj_ray_sees(task: Adroit) -> None:
    model, data, cloud = task._env.model, task._env.data, task._cloud
    task.reset(0)
    for start in range(3):
        play(task, 12 * start, seed=start)
        pixels = np.arange(start, cloud.camera.width * cloud.camera.height, 8)
        depth, hit = image(*depth_image(cloud.scene, data, cloud.camera), pixels)
        expected, geom = ray_by_ray(model, data, cloud.camera, pixels)
        assert np.allclose(depth, expected, rtol=0, atol=1e-6)
        assert (hit == geom).mean() > 0.999  # two geoms may share a surface


def test_observing_equals_preprocessing_a_scan(task: Adroit) -> None:
    task.reset(5)
    play(task, 10)
    scan, seen = task.scan(), task.observe()
    again = task.preprocess(scan)
    assert np.array_equal(again.point_cloud, seen.point_cloud)
    assert np.array_equal(again.agent_pos, seen.agent_pos)
    assert len(scan.points) > len(task._cloud.crop(scan.points)) > 350


def test_the_point_frames() -> None:
    """Door and hammer: the camera's own axes, z = 1 - depth; pen: the world's axes, from the camera."""
    for name, height in (("door", 1.5), ("hammer", 1.1)):
        seen = VIEWS[name].frame.of_world(np.array([[0.1, 0.2, 0.3]]))
        assert np.allclose(seen, [[-0.1, -0.2, 1.0 - (height - 0.3)]], atol=1e-3)
        table = VIEWS[name].frame.of_world(np.zeros((1, 3)))
        assert table[0, 2] < VIEWS[name].lowest
    assert np.allclose(VIEWS["pen"].frame.of_world(np.array([[0.0, -0.2, 0.25]])), [[0.0, 0.6, -0.55]])


def test_the_rules_of_success() -> None:
    task = envs.make("adroit/door")
    assert isinstance(task, Adroit)
    rest = np.zeros(28)
    for hinge, expected in ((1.3, (False, False)), (1.38, (False, True)), (1.45, (True, True))):
        task.reset(0)
        task._env.data.joint("door_hinge").qpos[0] = hinge
        outcome = task.step(rest)
        assert (outcome.success, outcome.success_alt) == expected
        assert outcome.reward == (20.0 if expected[1] else -0.2)
    task.close()
    task = envs.make("adroit/hammer")
    assert isinstance(task, Adroit)
    for depth, expected in ((0.0, False), (0.089, True)):
        task.reset(0)
        task._env.data.joint("nail_dir").qpos[0] = depth
        outcome = task.step(np.zeros(26))
        assert (outcome.success, outcome.success_alt) == (expected, expected)
    task.close()


def test_a_pen_far_away_is_no_success_of_v1_and_a_fallen_one_ends_the_episode() -> None:
    task = envs.make("adroit/pen")
    assert isinstance(task, Adroit)
    model, data = task._env.model, task._env.data
    for down, done in ((-0.2, False), (0.19, True)):
        task.reset(0)
        model.body("target").quat[:] = data.body("Object").xquat
        data.joint("OBJTx").qpos[0] = down  # the pen lies, its x axis points down
        outcome = task.step(np.zeros(24))
        assert (outcome.success, outcome.success_alt, outcome.done) == (True, False, done)
        assert outcome.reward == pytest.approx(-0.1 if done else -0.2)
    task.close()


def test_actions_are_clipped_and_checked() -> None:
    hashes = []
    for scale in (1.0, 7.0):
        task = envs.make("adroit/pen")
        with pytest.raises(UserError, match="reset"):
            task.observe()
        task.reset(0)
        task.step(scale * np.ones(24))
        hashes.append(task.state_hash())
        for bad in (np.zeros(3), np.full(24, np.nan)):
            with pytest.raises(UserError, match="24 finite numbers"):
                task.step(bad)
        task.close()
    assert hashes[0] == hashes[1]
