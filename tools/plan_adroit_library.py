"""Make the library of planned episodes from which the expert of an Adroit task acts.

    python tools/plan_adroit_library.py door|hammer|pen [--minutes 20] [--until 24] [--out FILE]

Layouts are drawn one after another. Where the library does not solve a layout as `envs.experts.adroit` would, its
nearest episodes are varied at random; where that fails too, the planner runs an episode near the best that the library
has (from nothing where it is empty). What solves the layout when it is replayed joins the library, so episodes stay
alike. It ends when ``--until`` layouts in a row needed no planning, or the time is up; an existing file is continued.
Layouts are those of training seeds: no demonstration and no test starts there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from adroit_planner import NEAR, SEARCH, plan_episode
from safetensors.numpy import load_file, save_file

import envs
from bench.seeding import Purpose, episode_seed
from envs.adroit import Adroit
from envs.experts.adroit import Library, Trial, attempt, choose, layout, vary

LENGTH = {"door": 50, "hammer": 60, "pen": 50}  # actions of a planned episode; the last is held from there on
HOLD = {"door": 14, "hammer": 14, "pen": 50}  # solved steps after which a plan ends; the pen is held by planning on


def grow(
    name: str,
    episodes: Library | None,
    *,
    minutes: float,
    until: int,
    first: int = 0,
    tries: int = 16,
    say: Callable[[str], None] = print,
    save: Callable[[Library], None] = lambda _: None,
) -> Library | None:
    """Add planned episodes to a library until it suffices; returns it."""
    spec = envs.specs()[f"adroit/{name}"]
    task, scratch = Adroit(spec), Adroit(spec)
    began, streak, index = time.monotonic(), 0, first
    while streak < until and time.monotonic() - began < 60 * minutes:
        seed = episode_seed(0, spec.id, Purpose.TRAIN, index)
        index += 1
        task.reset(seed)
        best = choose(task, scratch, episodes) if episodes else None
        streak = streak + 1 if best and best.solved else 0
        if streak:
            continue
        planned = vary(task, scratch, episodes, tries) if episodes else None
        if planned is None:
            planned = plan(task, scratch, seed, best)
        size = 0 if episodes is None else len(episodes.actions)
        say(
            f"layout {index - 1}: library of {size} had {best.successes if best else 0} solved steps, "
            f"the plan {planned.successes}{'' if planned.solved else ', not good enough'}; "
            f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} s of CPU"
        )
        if planned.solved:
            task.reset(seed)
            episodes = added(episodes, planned, layout(task))
            save(episodes)
    say(f"{streak} layouts in a row solved by {0 if episodes is None else len(episodes.actions)} planned episodes")
    return episodes


def plan(task: Adroit, scratch: Adroit, seed: int, best: Trial | None) -> Trial:
    """Plan an episode, near ``best`` if there is one, and replay it undisturbed."""
    length, horizon = LENGTH[task.name], NEAR[task.name].horizon
    if best is None or (task.name == "pen" and not best.successes):  # a goal that is far from all others
        found = plan_episode(task, seed, SEARCH[task.name], stop_after=HOLD[task.name])
    else:
        near = best.actions.astype(np.float64)
        ahead = lambda start: near[np.minimum(np.arange(start, start + horizon), len(near) - 1)]  # noqa: E731
        found = plan_episode(task, seed, NEAR[task.name], ahead, stop_after=HOLD[task.name], length=length)
    actions = np.array(found.actions, np.float32)[:length]
    actions = np.concatenate([actions, np.repeat(actions[-1:], length - len(actions), 0)])
    task.reset(seed)
    return attempt(task, scratch, actions)


def added(episodes: Library | None, trial: Trial, where: np.ndarray) -> Library:
    """A library with one more episode."""
    row = Library(trial.actions[None], trial.joints[None], where[None].astype(np.float32))
    if episodes is None:
        return row
    return Library(*(np.concatenate(pair) for pair in zip(episodes, row, strict=True)))


def main() -> None:
    """Grow one library and write it after every episode that joins it."""
    parser = argparse.ArgumentParser(description="Plan the library of an Adroit expert.")
    parser.add_argument("task", choices=list(LENGTH))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--until", type=int, default=24, help="layouts in a row that need no planning")
    parser.add_argument("--first", type=int, default=0, help="number of the first layout")
    parser.add_argument("--out", type=Path, help="default: the library of the package")
    options = parser.parse_args()
    out = options.out or Path(envs.__file__).parent / "experts" / f"adroit_{options.task}.safetensors"
    known = Library(**load_file(out)) if out.is_file() else None
    grow(
        options.task, known, minutes=options.minutes, until=options.until, first=options.first,
        say=lambda line: print(line, flush=True), save=lambda episodes: save_file(episodes._asdict(), out),
    )  # fmt: skip


if __name__ == "__main__":
    main()
