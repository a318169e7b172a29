"""Run the experts of the DexArt port on both splits and print the table of `docs/dexart.md`.

    python tools/measure_dexart.py [--tasks dexart] [--episodes 50] [--horizon 250]

Episodes are the first ones that demonstrations are made from (base seed 0). Episodes end when DexArt's own criterion is
met, or at the horizon. Half a minute per task and split on one idle core.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import envs
from bench.seeding import Purpose, episode_seed
from bench.stats.intervals import wilson
from envs.dexart import DexArt


def measure(task: DexArt, episodes: int, horizon: int) -> Iterator[tuple[int | None, int | None]]:
    """Per episode: the first step, counted from 1, in which the eased and the strict criterion were met, or None."""
    for episode in range(episodes):
        task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, episode))
        expert = task.expert()
        eased = strict = None
        for step in range(1, horizon + 1):
            outcome = task.step(expert.act())
            eased = eased or (step if outcome.success else None)
            if outcome.done:
                strict = step
                break
        yield eased, strict


def cell(steps: list[int | None]) -> str:
    """Successes, share with its 95 % interval."""
    wins, n = sum(step is not None for step in steps), len(steps)
    interval = wilson(wins, n)
    low, high = interval.low, interval.high
    return f"{wins}/{n} = {100 * wins / n:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def main() -> None:
    """Measure and print a row per task and split."""
    parser = argparse.ArgumentParser(description="Measure the experts of the DexArt port.")
    parser.add_argument("--tasks", default="dexart")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--horizon", type=int, default=250, help="control steps, whatever the task's own limit")
    options = parser.parse_args()
    print("| task | instances | `dp3` criterion | DexArt's criterion | `dp3` within 100 steps | first success |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in envs.select(options.tasks):
        for unseen in (False, True):
            task = DexArt(envs.specs()[name], unseen=unseen)
            both = list(measure(task, options.episodes, options.horizon))
            eased, strict = [steps for steps, _ in both], [steps for _, steps in both]
            quick = sum(step is not None and step <= 100 for step in eased)
            found = [step for step in eased if step is not None]
            median = f"{statistics.median(found):g}" if found else "-"
            split = "unseen" if unseen else "training"
            failed = [episode for episode, step in enumerate(eased) if step is None]
            print(f"| {name} | {split} | {cell(eased)} | {cell(strict)} | {quick}/{len(both)} | {median} |", flush=True)
            if failed:
                print(f"<!-- failed: {failed} -->", flush=True)


if __name__ == "__main__":
    main()
