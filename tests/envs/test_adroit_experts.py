"""The experts of the Adroit tasks, and the tools that make them."""

import importlib
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import envs
from bench.demos import collect_demos
from bench.interfaces import Outcome
from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit, axis
from envs.experts.adroit import Policy, policy


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    names = ("adroit_episodes", "adroit_pen", "adroit_start", "plan_adroit_pen", "train_adroit_expert")
    return {name: importlib.import_module(name) for name in names}


@pytest.mark.parametrize("name", ["hammer", "door", "pen"])
def test_the_expert_solves_fresh_episodes_in_less_than_a_second(name: str) -> None:
    task = envs.make(f"adroit/{name}")
    solved, seconds = 0, []
    for index in range(8):
        task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, 1000 + index))
        began = time.process_time()
        expert = task.expert()
        for _ in range(task.spec.max_steps):
            outcome = task.step(expert.act())
            if outcome.done:
                break
        seconds.append(time.process_time() - began)
        solved += outcome.success and bool(outcome.success_alt) and not outcome.done
    assert solved >= 5
    assert min(seconds) < 1.0
    task.close()


def test_the_expert_is_closed_loop_and_deterministic() -> None:
    task = envs.make("adroit/hammer")
    assert isinstance(task, Adroit)
    task.reset(3)
    start = task.state_hash()
    expert = task.expert()
    first = expert.act()
    assert task.state_hash() == start
    assert np.array_equal(first, expert.act())  # nothing has happened yet
    task.step(np.zeros(26))
    other = expert.act()
    assert not np.array_equal(first, other)
    task.reset(3)
    assert np.array_equal(first, task.expert().act())
    task.step(np.zeros(26))
    assert np.array_equal(other, task.expert().act())
    task.close()


@pytest.mark.parametrize("name", ["hammer", "pen"])
def test_demonstrations_are_collected(name: str) -> None:
    task = envs.make(f"adroit/{name}")
    demos, seeds = collect_demos(task, 2, base_seed=0)
    assert len(seeds) == 2
    assert demos.action.shape == (2 * task.spec.max_steps, task.spec.action_dim)
    assert np.abs(demos.action).max() <= 1.0
    assert (demos.solved < demos.episode_ends).all()
    task.close()


def test_the_reward_of_the_door_grows_where_that_of_the_package_falls(tools: dict[str, ModuleType]) -> None:
    """The package rewards distance from the handle."""
    task = envs.make("adroit/door")
    assert isinstance(task, Adroit)
    reward = tools["adroit_episodes"].REWARDS["door"]
    found = []
    for reach in (-0.2, 0.2):  # metres along the arm
        task.reset(0)
        task._env.data.qpos[0] = reach
        outcome = task.step(np.zeros(28))
        data = task._env.data
        found.append((np.linalg.norm(data.site("S_grasp").xpos - data.site("S_handle").xpos), reward(data, outcome)))
    (near, high), (far, low) = sorted(found)
    assert near < far
    assert high > low
    task.close()


@pytest.mark.parametrize(("name", "joint", "solved"), [("door", "door_hinge", 1.5), ("hammer", "nail_dir", 0.089)])
def test_the_rewards_are_highest_where_the_task_is_solved(
    name: str, joint: str, solved: float, tools: dict[str, ModuleType]
) -> None:
    task = envs.make(f"adroit/{name}")
    assert isinstance(task, Adroit)
    rewards = []
    for place in (0.0, 0.5 * solved, solved):
        task.reset(0)
        task._env.data.joint(joint).qpos[0] = place
        outcome = task.step(np.zeros(task.spec.action_dim))
        rewards.append(tools["adroit_episodes"].REWARDS[name](task._env.data, outcome))
    assert rewards == sorted(rewards)
    assert outcome.success
    task.close()


def test_holding_the_pen_is_worth_more_than_dropping_it(tools: dict[str, ModuleType]) -> None:
    """However far it is from its goal: an episode that ends early must not be the smaller evil."""
    task = envs.make("adroit/pen")
    assert isinstance(task, Adroit)
    episodes = tools["adroit_episodes"]
    rewards = []
    for seed in range(10):
        task.reset(seed)
        rewards.append(episodes.pen_reward(task._env.data, task.step(np.zeros(24))))
        goal, data = axis(task._env.data, "target"), task._env.data
        for _ in range(2):  # where it is, and at its goal
            assert episodes.pen_reward(data, Outcome(False, False, 0.0)) >= 0.0
            data.site("object_top").xpos[:] = data.site("object_bottom").xpos + 0.1 * goal
        assert episodes.pen_reward(data, Outcome(False, True, 0.0)) < episodes.pen_reward(
            data, Outcome(True, False, 0.0)
        )
        assert episodes.pen_reward(data, Outcome(True, False, 0.0)) > rewards[-1]
    task.close()


def test_an_episode_that_starts_midway_is_on_the_way_to_its_goal(tools: dict[str, ModuleType]) -> None:
    task = envs.make("adroit/pen")
    assert isinstance(task, Adroit)
    pen = tools["adroit_pen"]
    seed = episode_seed(0, task.spec.id, Purpose.DEMO, 7)
    task.reset(seed)
    start, plan = task.state_vector(), pen.library().actions[pen.nearest(task)]
    along = [task.state_vector()]
    for action in plan[:-1]:
        task.step(action)
        along.append(task.state_vector())
    found = []
    for draw in (0, 1, 0):
        task.reset(seed)
        pen.begin_midway(task, np.random.default_rng(draw))
        found.append(task.state_vector())
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])
    assert not any(np.array_equal(state, start) for state in found)
    joints = [state[:24] for state in found]  # the place of the pen is that of the last physics step but one in `along`
    assert all(min(np.abs(state - other[:24]).max() for other in along) < 1e-9 for state in joints)
    task.close()


def test_episodes_are_kept_as_long_as_they_fit_more_goals(tools: dict[str, ModuleType]) -> None:
    tool = tools["plan_adroit_pen"]
    directions = tool.goals(200)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1.0)
    assert directions[:, 2].min() > np.cos(1.0) ** 2 - 0.01
    axes = np.zeros((3, 50, 3), np.float32)
    axes[0, :, 2] = axes[1, :, 2] = 1.0  # two that hold the pen upright, one that holds it tilted
    axes[2, :, 0] = axes[2, :, 2] = np.sqrt(0.5)
    kept, share = tool.thinned(tool.Library(np.zeros((3, 50, 24), np.float32), axes), 5)
    assert len(kept.actions) == 2
    assert 0.1 < share < 0.3


def test_a_short_run_of_the_tool_that_plans_the_pen(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With hardly any samples nothing is found; what is known is recognised."""
    tool = tools["plan_adroit_pen"]
    tiny = {"samples": 3, "horizon": 8, "knots": 3, "replan": 8, "first": 1}
    for name in ("pen", "hammer"):
        monkeypatch.setitem(tool.SEARCH, name, replace(tool.SEARCH[name], **tiny))
    assert tools["adroit_start"].searched("hammer", 0) is None
    found = tool.planned(0)
    assert found is None or found.shape == (50, 24)
    with pytest.raises(SystemExit, match="plan more"):
        tool.gathered([np.random.default_rng(0).uniform(-1, 1, (50, 24)).astype(np.float32)])
    known = tools["adroit_pen"].library()
    again = tool.gathered([known.actions[0]])
    assert np.allclose(again.axes[0], known.axes[0], atol=0.05)


def test_a_transfer_displaces_the_palm_and_leaves_the_fingers(tools: dict[str, ModuleType]) -> None:
    task = envs.make("adroit/hammer")
    assert isinstance(task, Adroit)
    task.reset(0)
    start, moves = tools["adroit_start"]._start("hammer"), importlib.import_module("adroit_transfer")
    actions, joints = start["actions"], start["joints"]
    same = moves.transfer("hammer", task._env, actions, joints, np.zeros(3))
    assert np.array_equal(same, actions)
    moved = moves.transfer("hammer", task._env, actions, joints, np.array([0.0, 0.0, 0.02]))
    assert np.array_equal(moved[:, -moves.FINGERS :], actions[:, -moves.FINGERS :])
    assert np.array_equal(moved[:8], actions[:8])  # the hammer is grasped where it always is
    heights = []
    for tried in (actions, moved):
        task.reset(0)
        for action in tried[:20]:
            task.step(action)
        heights.append(task._env.data.site("S_grasp").xpos[2])
    assert 0.005 < heights[1] - heights[0] < 0.04
    task.close()


@pytest.mark.parametrize(("name", "sizes"), [("hammer", (46, 26)), ("pen", (45, 24))])
def test_a_short_run_of_the_trainer(
    name: str, sizes: tuple[int, int], tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    """It improves, writes a policy that acts, goes on from it, and gives the same for the same seed."""
    tool = tools["train_adroit_expert"]
    tiny = replace(tool.SETTINGS[name], episodes=2, clones=4, every=2, evaluations=1, width=16, minibatches=2)
    tiny = replace(tiny, critic_only=min(tiny.critic_only, 1), clone_steps=min(tiny.clone_steps, 50))
    said: list[str] = []

    def run(folder: str, iterations: int, resume: Path | None = None) -> dict[str, np.ndarray]:
        tool.train(
            name, tiny, seed=0, iterations=iterations, minutes=5.0, resume=resume, out=tmp_path / folder,
            parallel=lambda f, jobs: [f(job) for job in jobs], say=said.append,
        )  # fmt: skip
        return load_file(tmp_path / folder / f"adroit_{name}_training.safetensors")

    first, again = run("a", 2), run("b", 2)
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert any("cloned" in line for line in said) == (name == "hammer")
    made = Policy(**load_file(tmp_path / "a" / f"adroit_{name}.safetensors"))
    assert made.act(np.zeros(sizes[0])).shape == (sizes[1],)
    assert [part.dtype for part in made] == [part.dtype for part in policy(name)]
    start = run("c", 0, tmp_path / "a" / f"adroit_{name}_training.safetensors")
    assert all(np.array_equal(first[k], start[k]) for k in first)


def test_a_resumed_training_leaves_a_better_policy_as_it_is(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    tool = tools["train_adroit_expert"]
    tiny = replace(tool.SETTINGS["hammer"], episodes=1, clones=4, evaluations=1, width=16, clone_steps=50)
    best, training = (tmp_path / f"adroit_hammer{part}.safetensors" for part in ("", "_training"))

    def run(resume: Path | None = None) -> bytes:
        tool.train(
            "hammer", tiny, seed=0, iterations=0, minutes=5.0, resume=resume, out=tmp_path,
            parallel=lambda f, jobs: [f(job) for job in jobs], say=lambda _: None,
        )  # fmt: skip
        return best.read_bytes()

    good = run()
    bias = load_file(training)["actor.4.bias"]
    save_file(load_file(training) | {"actor.4.bias": bias + 3.0}, training)  # all joints at one end
    assert run(training) == good
    best.unlink()
    bad = run(training)
    assert bad != good
    save_file(load_file(training) | {"actor.4.bias": bias}, training)
    assert run(training) == good
