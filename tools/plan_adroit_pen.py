"""Make the planned episodes of the pen, along which the training of its expert starts (`adroit_pen`).

    python tools/plan_adroit_pen.py [--episodes 230] [--keep 32] [--workers 1] [--first 0] [--out FILE]

The pen always starts in the same place and its goal touches nothing, so an episode that was planned for one goal fits
every goal that the pen happens to be held at in the end. Episodes are planned for the goals of training seeds (no
demonstration and no test starts there) by sampling (`adroit_planner`); of those in which the pen is held, the few that
together fit most of 2000 random goals are kept. Four seconds of one core an episode.
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
from adroit_pen import HELD, Library
from adroit_planner import SEARCH, plan_episode
from safetensors.numpy import save_file

import envs
from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit, axis

NEAR = 0.07  # metres: closer to its place the pen is held
FITS = 0.96  # cosine with a goal; a success needs 0.95
GOALS = 2000


@cache
def _task() -> Adroit:
    return Adroit(envs.specs()["adroit/pen"])


def planned(index: int) -> np.ndarray | None:
    """Actions ``[T, A]`` planned for the goal of a training seed; None if the pen fell."""
    task = _task()
    found = plan_episode(task, episode_seed(0, task.spec.id, Purpose.TRAIN, index), SEARCH["pen"])
    return None if found.outcomes[-1].done else np.array(found.actions, np.float32)


def replayed(actions: np.ndarray) -> np.ndarray | None:
    """Direction of the pen after each action ``[T, 3]``; None if it is not held at its place in the end."""
    task = _task()
    task.reset(0)
    axes, away = [], []
    for action in actions:
        if task.step(action).done:
            return None
        data = task._env.data
        axes.append(axis(data, "object"))
        away.append(np.linalg.norm(data.body("Object").xpos - data.site("eps_ball").xpos))
    return np.array(axes, np.float32) if max(away[-HELD:]) < NEAR else None


def goals(count: int = GOALS) -> np.ndarray:
    """Random directions as the task draws them ``[count, 3]``: a turn of up to 1 rad about x, then about y."""
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, count))
    found = np.empty((count, 3))
    for row, (a, b) in enumerate(zip(x, y, strict=True)):
        first, second, both = np.zeros(4), np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(first, np.array([1.0, 0, 0]), a)
        mujoco.mju_axisAngle2Quat(second, np.array([0, 1.0, 0]), b)
        mujoco.mju_mulQuat(both, first, second)
        mujoco.mju_rotVecQuat(found[row], np.array([0, 0, 1.0]), both)
    return found


def thinned(episodes: Library, keep: int) -> tuple[Library, float]:
    """At most ``keep`` episodes that together fit most goals, and the share of goals that they fit."""
    fit = np.array([episodes.fit(goal) for goal in goals().astype(np.float32)])  # [goals, M]
    best, chosen = np.full(len(fit), -1.0), []
    for _ in range(min(keep, fit.shape[1])):
        covered = (np.maximum(best[:, None], fit) > FITS).mean(0)
        if covered.max() <= (best > FITS).mean():
            break
        chosen.append(int(covered.argmax()))
        best = np.maximum(best, fit[:, chosen[-1]])
    return Library(episodes.actions[chosen], episodes.axes[chosen]), float((best > FITS).mean())


def gathered(candidates: list[np.ndarray]) -> Library:
    """Those action sequences that hold the pen, with what comes of them."""
    pairs = [(actions, axes) for actions in candidates if (axes := replayed(actions)) is not None]
    if not pairs:
        raise SystemExit("no episode holds the pen: plan more of them")
    return Library(*(np.stack(part) for part in zip(*pairs, strict=True)))


def main() -> None:
    """Plan, replay, choose, save."""
    parser = argparse.ArgumentParser(
        description="Plan the episodes along which the training of the pen's expert starts."
    )
    parser.add_argument("--episodes", type=int, default=230)
    parser.add_argument("--keep", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first training seed")
    parser.add_argument("--out", type=Path, default=Path("adroit-experts/pen.safetensors"))
    o = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(o.workers) as pool:
        found = pool.map(planned, range(o.first, o.first + o.episodes), chunksize=1)
    kept, share = thinned(gathered([actions for actions in found if actions is not None]), o.keep)
    o.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept._asdict(), o.out)
    print(f"{len(kept.actions)} episodes fit {share:.0%} of random goals")


if __name__ == "__main__":
    main()
