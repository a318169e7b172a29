"""The experts of the Adroit tasks, and the tool that plans them."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import envs
from bench.demos import collect_demos
from bench.interfaces import UserError
from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit
from envs.experts import adroit as experts
from envs.experts.adroit_transfer import FINGERS, transfer

KNOWN = [path.stem.partition("_")[2] for path in sorted(Path(experts.__file__).parent.glob("adroit_*.safetensors"))]


@pytest.mark.parametrize("name", KNOWN)
def test_the_expert_solves_a_demonstration_as_it_foresaw(name: str) -> None:
    task = envs.make(f"adroit/{name}")
    assert isinstance(task, Adroit)
    for index in range(10):
        task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, index))
        start = task.state_hash()
        expert = task.expert()
        assert task.state_hash() == start  # it looks ahead elsewhere
        trial = experts.choose(task, task._scratch or task, experts.library(name))
        if not trial.solved:
            continue
        outcomes = [task.step(expert.act()) for _ in range(task.spec.max_steps)]
        both = [o.success and bool(o.success_alt) for o in outcomes]
        assert sum(both) == trial.successes
        assert not both[0]
        assert both[-1]
        break
    else:
        pytest.fail("ten layouts and none solved")
    task.close()


def test_demonstrations_are_collected() -> None:
    task = envs.make("adroit/hammer")
    demos, seeds = collect_demos(task, 2, base_seed=0)
    assert len(seeds) == 2
    assert demos.action.shape == (200, 26)
    assert np.abs(demos.action).max() <= 1.0
    assert (demos.solved < demos.episode_ends).all()
    task.close()


def test_a_transfer_displaces_the_palm_and_leaves_the_fingers() -> None:
    task = envs.make("adroit/hammer")
    assert isinstance(task, Adroit)
    task.reset(0)
    episodes = experts.library("hammer")
    actions, joints = episodes.actions[0], episodes.joints[0]
    same = transfer("hammer", task._env, actions, joints, np.zeros(3))
    assert np.array_equal(same, actions)
    moved = transfer("hammer", task._env, actions, joints, np.array([0.0, 0.0, 0.02]))
    assert np.array_equal(moved[:, -FINGERS:], actions[:, -FINGERS:])
    assert np.array_equal(moved[:8], actions[:8])  # the hammer is grasped where it always is
    heights = []
    for tried in (actions, moved):
        task.reset(0)
        for action in tried[:20]:
            task.step(action)
        heights.append(task._env.data.site("S_grasp").xpos[2])
    assert 0.005 < heights[1] - heights[0] < 0.04
    task.close()


def test_a_task_without_a_library_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experts, "files", lambda _: tmp_path)
    experts.library.cache_clear()
    with pytest.raises(UserError, match=r"plan_adroit_library.py pen"):
        experts.library("pen")
    experts.library.cache_clear()


def test_a_short_run_of_the_tool_that_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing with hardly any samples, which solves nothing, and near what is known, which solves at once."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    planner = importlib.import_module("adroit_planner")
    tool = importlib.import_module("plan_adroit_library")
    tiny = replace(planner.SEARCH["pen"], samples=4, horizon=6, knots=4, replan=6, first=1)
    monkeypatch.setitem(planner.SEARCH, "pen", tiny)
    said: list[str] = []
    assert tool.grow("pen", None, minutes=1e-6, until=1, say=said.append) is None
    assert "layout 0: library of 0" in said[0]
    assert tool.grow("hammer", experts.library("hammer"), minutes=1.0, until=1, say=said.append) is not None
    assert said[-1].startswith("1 layouts in a row")
    monkeypatch.setitem(planner.NEAR, "hammer", replace(planner.NEAR["hammer"], samples=4, first=1))
    task, scratch = (Adroit(envs.specs()["adroit/hammer"]) for _ in range(2))
    seed = episode_seed(0, "adroit/hammer", Purpose.TRAIN, 0)
    task.reset(seed)
    trial = tool.plan(task, scratch, seed, experts.choose(task, scratch, experts.library("hammer")))
    assert trial.actions.shape == (60, 26)
    grown = tool.added(experts.library("hammer"), trial, np.zeros(3))
    assert len(grown.actions) == len(experts.library("hammer").actions) + 1
    for made in (task, scratch):
        made.close()
