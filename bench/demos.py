"""Expert episodes -> demo set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.interfaces import IMAGE_SIZE, DemoSet, ImageTask, Task
from bench.seeding import Purpose, episode_seed

MAX_TRIES = 10
"""An expert that needs more than this many episodes per demo is not one."""


def collect_demos(
    task: Task, count: int, base_seed: int, on_progress: Callable[[float], None] = lambda _: None, images: bool = False
) -> tuple[DemoSet, list[int]]:
    """Collect ``count`` accepted episodes of the task's expert.

    Episode seeds are tried in order (purpose ``DEMO``); an episode is accepted if success was seen in at least
    ``min_success_steps`` steps. All its steps are kept, with actions as executed (clipped); with ``images`` (the task
    is an `ImageTask`) pictures too, else nothing changes.

    Returns:
        The demo set, and the seeds of its episodes.

    Raises:
        RuntimeError: The expert failed in more than nine of ten episodes, or the simulator diverged.
    """
    episodes: list[_Episode] = []
    seeds: list[int] = []
    for index in range(MAX_TRIES * count):
        if len(episodes) == count:
            break
        seed = episode_seed(base_seed, task.spec.id, Purpose.DEMO, index)
        if (episode := _expert_episode(task, seed, images)) is not None:
            episodes.append(episode)
            seeds.append(seed)
            on_progress(len(episodes) / count)
    if len(episodes) < count:
        raise RuntimeError(
            f"the expert of {task.spec.id} made {len(episodes)} of {count} demos in {index + 1} episodes"
        )
    *columns, first_successes = zip(*episodes, strict=True)
    clouds, states, actions, pictures = (np.concatenate(column) for column in columns)
    if not all(np.isfinite(column).all() for column in (clouds, states, actions)):
        raise RuntimeError(f"the demos of {task.spec.id} hold values that are not finite")
    ends = np.cumsum([len(e[2]) for e in episodes], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    return DemoSet(clouds, states, actions, ends, starts + np.array(first_successes, np.int64), pictures), seeds


_Episode = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]
"""Clouds ``[T, N, 3]``, states ``[T, P]``, actions ``[T, A]``, pictures ``[T or 0, 84, 84, 3]`` and the step that
solved it, from 0."""


def _expert_episode(task: Task, seed: int, images: bool) -> _Episode | None:
    """One episode of the expert; None if it is not accepted.

    The actions are found first and the clouds rendered in a replay, so that a rejected episode costs no rendering.
    """
    task.reset(seed)
    expert = task.expert()
    actions: list[np.ndarray] = []
    successes: list[int] = []
    for step in range(task.spec.max_steps):
        action = np.clip(expert.act(), -1.0, 1.0).astype(np.float32)
        outcome = task.step(action)
        actions.append(action)
        successes += [step] * outcome.success
        if outcome.done:
            break
    if len(successes) < task.spec.min_success_steps:
        return None
    clouds, states, pictures = [], [], [np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)]
    task.reset(seed)
    for action in actions:
        observation = task.observe()
        clouds.append(observation.point_cloud)
        states.append(observation.agent_pos)
        if images:
            assert isinstance(task, ImageTask)
            pictures.append(task.observe_image().image[None])
        task.step(action)
    return np.stack(clouds), np.stack(states), np.stack(actions), np.concatenate(pictures), successes[0]
