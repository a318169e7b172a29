"""The registry: what is there, what is chosen, what is said about names that are not there."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import envs
from bench.interfaces import TaskSpec, UserError
from envs import registry
from envs.metaworld import FRAME
from tests.fakes import FakeTask


def test_57_tasks_with_their_sizes() -> None:
    specs = envs.specs(plugins=False)
    suites = [spec.suite for spec in specs.values()]
    assert {suite: suites.count(suite) for suite in set(suites)} == {"metaworld": 50, "adroit": 3, "dexart": 4}
    groups = [spec.difficulty for spec in specs.values() if spec.suite == "metaworld"]
    assert {group: groups.count(group) for group in set(groups)} == {
        "easy": 28,
        "medium": 11,
        "hard": 6,
        "very_hard": 5,
    }
    assert specs["adroit/pen"].max_steps == 50
    assert specs["dexart/bucket"].agent_pos_dim == 33
    spec = specs["metaworld/drawer-open"]
    sizes = (spec.n_points, spec.agent_pos_dim, spec.action_dim, spec.max_steps, spec.min_success_steps)
    assert sizes == (512, 9, 4, 200, 5)
    assert "metaworld 3" in spec.engine
    assert "mujoco 3" in spec.engine


@pytest.mark.parametrize("name", ["metaworld/push", "dexart/laptop", "dexart/bucket", "dexart/toilet"])
def test_the_hand_is_where_the_spec_says(name: str) -> None:
    """There is something of the robot near it in the cloud, wherever the hand goes."""
    task = envs.make(name)
    task.reset(3)
    hand, places = task.spec.hand, []
    assert hand is not None
    for _ in range(5):
        for _ in range(5):
            task.step(np.full(task.spec.action_dim, 0.5))
        cloud, state = task.observe()
        places.append(np.array(hand.rotation) @ state[hand.first : hand.first + 3] + hand.offset)
        assert np.linalg.norm(cloud - places[-1], axis=1).min() < 0.1
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).min() > 0.005
    task.close()


def test_metaworlds_hand_is_in_the_point_frame() -> None:
    hand = envs.specs()["metaworld/push"].hand
    assert hand is not None
    np.testing.assert_allclose(hand.rotation, FRAME.rotation, rtol=0, atol=1e-9)
    np.testing.assert_allclose(hand.offset, FRAME.of_world(np.zeros(3)), rtol=0, atol=1e-9)


def test_importing_the_package_and_its_specs_loads_no_simulator() -> None:
    code = "import sys, envs; envs.specs(); envs.select('all'); print([m for m in sys.modules if m in " \
        "('metaworld', 'mujoco', 'numba')])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("metaworld", 50),
        ("metaworld:hard", 6),
        ("metaworld/door-*", 4),
        ("*/hammer", 2),
        ("quick", 4),
        ("dexart", 4),
        ("all", 57),
    ],
)
def test_select(pattern: str, count: int) -> None:
    assert len(envs.select(pattern)) == count


def test_select_keeps_the_order_of_the_patterns_and_drops_repetitions() -> None:
    chosen = envs.select(["metaworld/push", "metaworld:hard", "quick"])
    assert chosen[0] == "metaworld/push"
    assert len(chosen) == len(set(chosen)) == 6 + 4
    assert envs.select("metaworld/push, quick")[1:] == list(registry.QUICK)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("metaworld/drawer-opn", "metaworld/drawer-open"), ("metaword", "metaworld"), ("metaworld:hrd", "metaworld:hard")],
)
def test_an_unknown_name_is_told_its_neighbour(pattern: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        envs.select(pattern)


def test_unavailable_suites_say_so_and_harm_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_version", lambda package: None if package == "gymnasium-robotics" else "1")
    assert "gymnasium-robotics" in (envs.unavailable("adroit") or "")
    assert envs.unavailable("metaworld") is None
    with pytest.raises(UserError, match="adroit"):
        envs.select("adroit")
    with pytest.raises(UserError, match="adroit"):
        envs.make("adroit/door")
    assert "adroit/door" not in envs.select("all")
    with pytest.raises(UserError, match="drawer-open"):
        envs.make("metaworld/drawer-opem")
    with pytest.raises(UserError, match="metaworld"):
        envs.unavailable("metaword")


class Plugin(FakeTask):
    """A third party's task."""

    spec = TaskSpec("toy/reach", "toy", None, 8, 2, 2, 10, 1, "toy 1", "toy/1")

    def __init__(self) -> None:
        super().__init__(self.spec)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("reach", f"{__name__}:Plugin", registry.PLUGINS),
        EntryPoint("gone", "no_such_module:Task", registry.PLUGINS),
        EntryPoint("bare", "builtins:object", registry.PLUGINS),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    registry._plugins.cache_clear()
    yield
    monkeypatch.undo()
    registry._plugins.cache_clear()


@pytest.mark.usefixtures("plugins")
def test_plugins_add_tasks_and_broken_ones_are_left_out() -> None:
    assert envs.specs()["toy/reach"].max_steps == 10
    assert isinstance(envs.make("toy/reach"), Plugin)
    assert envs.select("toy") == ["toy/reach"]
    assert len(envs.select("all")) == 58
    broken = envs.broken_plugins()
    assert set(broken) == {"gone", "bare"}
    assert "no_such_module" in broken["gone"]
    assert "TaskSpec" in broken["bare"]
