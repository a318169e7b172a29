"""Does a task keep its contract (`bench.interfaces.Task`)?"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np

from bench import registry
from bench.demos import collect_demos
from bench.interfaces import (
    IMAGE_SIZE,
    HandPlace,
    ImageObservation,
    ImageTask,
    Observation,
    Outcome,
    Scan,
    Task,
    TaskSpec,
)
from bench.testing.demand import demand

_STEPS = 10  # of an episode that is looked at
_DEMOS = 2


def check_task(task: str | Callable[[], Task], *, expert: bool = True) -> None:
    """Check a task: seeding, observations, actions and its expert; takes as long as a few episodes.

    Args:
        task: the registered id (this checks the entry point too), or the class.
        expert: make two demonstrations and play them again. Without it takes seconds, and a task that has no expert
            passes; it can be evaluated, and trained on demonstrations of others.

    Raises:
        AssertionError: the first departure from the contract, and what to do.
        UserError: no task of this id is registered.
    """
    make = partial(registry.tasks().make, task) if isinstance(task, str) else task
    first, second = make(), make()
    try:
        _check_spec(first.spec)
        _check_seeding(first, second)
        _check_observing(first)
        _check_images(first)
        _check_stepping(first, second)
        if expert:
            _check_expert(first)
    finally:
        first.close()
        second.close()


def _check_spec(spec: object) -> None:
    demand(isinstance(spec, TaskSpec), f"spec is a {type(spec).__name__}: make it a bench.interfaces.TaskSpec")
    assert isinstance(spec, TaskSpec)
    form = re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", spec.id) is not None
    demand(form, f"spec.id is '{spec.id}': write suite/name in small letters, digits and dashes")
    suite = spec.id.partition("/")[0]
    demand(spec.suite == suite, f"spec.suite is '{spec.suite}': it is the first part of spec.id, '{suite}'")
    for name in ("n_points", "agent_pos_dim", "action_dim", "max_steps", "min_success_steps", "demo_factor"):
        value = getattr(spec, name)
        demand(isinstance(value, int) and value >= 1, f"spec.{name} is {value!r}: make it a whole number from 1")
    for name in ("engine", "assets"):
        demand(bool(getattr(spec, name)), f"spec.{name} is empty: name it with its version, content keys hold it")
    if spec.hand is not None:
        _check_hand(spec.hand, spec.agent_pos_dim)


def _check_hand(hand: HandPlace, agent_pos_dim: int) -> None:
    inside = 0 <= hand.first <= agent_pos_dim - 3
    demand(inside, f"spec.hand.first is {hand.first}: three of the {agent_pos_dim} values of agent_pos start there")
    offset, turn = np.array(hand.offset, np.float64), np.array(hand.rotation, np.float64)
    demand(offset.shape == (3,), f"spec.hand.offset has shape {list(offset.shape)}: [3]")
    demand(turn.shape == (3, 3), f"spec.hand.rotation has shape {list(turn.shape)}: [3, 3]")
    demand(np.allclose(turn @ turn.T, np.eye(3), atol=1e-3), "spec.hand.rotation is none: its rows must be orthonormal")


def _check_seeding(task: Task, other: Task) -> None:
    actions = _actions(task.spec)
    task.reset(3)
    start = task.state_hash()
    demand(
        re.fullmatch("[0-9a-f]{16}", start) is not None,
        f"state_hash() returned '{start}': return 16 hex digits, for instance hashlib.sha256(...).hexdigest()[:16]",
    )
    hashes = []
    for seed in range(5):
        task.reset(seed)
        hashes.append(task.state_hash())
    demand(len(set(hashes)) > 1, "five seeds gave one initial state: draw it from the seed, and hash all that varies")
    demand(hashes[3] == start, "the same seed gave another initial state: it may depend on nothing but the seed")
    task.reset(3)
    for action in actions:
        task.step(action)
    moved = task.state_hash()
    demand(moved != start, "state_hash() did not change in ten steps: it must cover the full state of the simulator")
    task.reset(3)
    demand(task.state_hash() == start, "reset after an episode gave another state: something is left from before")
    other.reset(4)  # an episode of another instance in between must not matter
    for action in actions:
        other.step(-action)
        task.step(action)
    demand(
        task.state_hash() == moved,
        "the same actions after the same reset gave another state: no time, no global random numbers, nothing shared "
        "between instances",
    )


def _check_observing(task: Task) -> None:
    spec = task.spec
    task.reset(0)
    before = task.state_hash()
    scan = task.scan()
    demand(isinstance(scan, Scan), f"scan() returned {type(scan).__name__}: return bench.interfaces.Scan")
    _array("scan().points", scan.points, (None, 3))
    _array("scan().agent_pos", scan.agent_pos, (spec.agent_pos_dim,))
    kept = Scan(scan.points.copy(), scan.agent_pos.copy())
    seen, again = task.preprocess(scan), task.preprocess(scan)
    demand(isinstance(seen, Observation), f"preprocess() returned {type(seen).__name__}: return an Observation")
    _array("observe().point_cloud", seen.point_cloud, (spec.n_points, 3))
    _array("observe().agent_pos", seen.agent_pos, (spec.agent_pos_dim,))
    demand(_equal(scan, kept), "preprocess() changed the scan that it was given: work on a copy")
    demand(_equal(seen, again), "preprocess() of one scan gave two observations: it must be a pure function of it")
    observed = task.observe()
    demand(task.state_hash() == before, "looking changed the state: observe() and scan() may only read")
    demand(_equal(seen, observed), "observe() is not preprocess(scan()): let it return just that")
    task.step(np.ones(spec.action_dim, np.float32))
    demand(_equal(scan, kept), "a step changed a scan that was returned before: return copies of the arrays")


def _check_images(task: Task) -> None:
    shows = isinstance(task, ImageTask)
    demand(
        shows == (task.spec.images is not None),
        "spec.images and observe_image() go together: name the version of the pictures there, or leave both out",
    )
    if not isinstance(task, ImageTask):
        return
    task.reset(0)
    before = task.state_hash()
    seen, again = task.observe_image(), task.observe_image()
    demand(isinstance(seen, ImageObservation), "observe_image() must return bench.interfaces.ImageObservation")
    image, shape = seen.image, (IMAGE_SIZE, IMAGE_SIZE, 3)
    form = image.shape == shape and image.dtype == np.uint8
    demand(form, f"the image is {image.dtype} {list(image.shape)}: return uint8 {list(shape)}")
    _array("observe_image().agent_pos", seen.agent_pos, (task.spec.agent_pos_dim,))
    same = all(np.array_equal(a, b) for a, b in zip(seen, again, strict=True))
    demand(same and task.state_hash() == before, "looking twice gave two images or moved the state: it may only read")


def _check_stepping(task: Task, other: Task) -> None:
    dim = task.spec.action_dim
    for instance, scale in ((task, 1.0), (other, 3.0)):
        instance.reset(1)
        action = np.full(dim, scale, np.float32)
        outcome = instance.step(action)
        demand(isinstance(outcome, Outcome), f"step() returned {type(outcome).__name__}: return an Outcome")
        demand(bool((action == scale).all()), "step() changed the array of the action: work on a copy")
        for name, kinds in (("success", bool), ("done", bool), ("reward", (float, int))):
            value = getattr(outcome, name)
            plain = isinstance(value, kinds) and not isinstance(value, np.generic)
            demand(plain, f"Outcome.{name} is {value!r} ({type(value).__name__}): make it a plain Python value")
        demand(bool(np.isfinite(outcome.reward)), "the reward is not finite")
    same = task.state_hash() == other.state_hash()
    demand(same, "an action of 3 is not executed as one of 1: clip actions to [-1, 1] in step()")


def _check_expert(task: Task) -> None:
    spec = task.spec
    task.reset(0)
    expert = task.expert()
    start = task.state_hash()
    action = np.asarray(expert.act())
    demand(action.shape == (spec.action_dim,), f"expert().act() returned shape {action.shape}: [{spec.action_dim}]")
    demand(task.state_hash() == start, "expert().act() moved the simulator: it returns an action, step() executes it")
    try:
        demos, seeds = collect_demos(task, _DEMOS, base_seed=0)
    except RuntimeError as error:
        raise AssertionError(
            f"{error}: success must be seen in min_success_steps = {spec.min_success_steps} steps of an episode of "
            f"max_steps = {spec.max_steps}; mend the expert or these numbers"
        ) from error
    for seed, start_frame, end in zip(seeds, [0, *demos.episode_ends[:-1]], demos.episode_ends, strict=True):
        task.reset(seed)
        solved = any(task.step(action).success for action in demos.action[start_frame:end])
        demand(solved, "a demonstration played again did not succeed: the simulator must repeat exactly")


def _array(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    words = "[" + ", ".join("M" if n is None else str(n) for n in shape) + "]"
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    demand(fits, f"{name} has shape {list(array.shape)}: {words} is what the spec says")
    demand(array.dtype == np.float32, f"{name} is {array.dtype}: make it float32")
    demand(bool(np.isfinite(array).all()), f"{name} holds values that are not finite")


def _equal(one: Scan | Observation, other: Scan | Observation) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _actions(spec: TaskSpec) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (_STEPS, spec.action_dim)).astype(np.float32)
