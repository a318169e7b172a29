"""Random actions on the DexArt port: does the simulation hold, and what does a step cost?

    python tools/stress_dexart.py [--tasks dexart] [--steps 10000]

Costs are processor time, medians; every tenth step is observed. About half a minute per task on one idle core.
"""

from __future__ import annotations

import argparse
import statistics
from time import process_time

import numpy as np

import envs
from envs.dexart import DexArt

EPISODE = 250


def stress(task: DexArt, steps: int) -> str:
    """Run random actions; a row of the table."""
    rng = np.random.default_rng(0)
    cost: dict[str, list[float]] = {"reset": [], "step": [], "observe": []}
    task.reset(0)
    task.observe()  # compiles
    warnings, finite = 0, True
    for step in range(steps):
        if step % EPISODE == 0:
            start = process_time()
            task.reset(step)
            cost["reset"].append(process_time() - start)
        start = process_time()
        outcome = task.step(rng.uniform(-1.0, 1.0, task.spec.action_dim))
        cost["step"].append(process_time() - start)
        if step % 10 == 0:
            start = process_time()
            seen = task.observe()
            cost["observe"].append(process_time() - start)
            finite &= bool(np.isfinite(seen.point_cloud).all() and np.isfinite(seen.agent_pos).all())
        finite &= bool(np.isfinite(outcome.reward) and np.isfinite(task.data.qpos).all())
        if step % EPISODE == EPISODE - 1:
            warnings += sum(int(warning.number) for warning in task.data.warning)
    reset, moved, observed = (1000 * statistics.median(cost[key]) for key in ("reset", "step", "observe"))
    worst = 1000 * max(cost["reset"])
    return (
        f"| {task.spec.id} | {steps} | {'yes' if finite else 'NO'} | {warnings} "
        f"| {moved:.1f} | {observed:.1f} | {reset:.0f} | {worst:.0f} |"
    )


def main() -> None:
    """Print a row per task."""
    parser = argparse.ArgumentParser(description="Random actions on the DexArt port.")
    parser.add_argument("--tasks", default="dexart")
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    print("| task | steps | all finite | engine warnings | step ms | observation ms | reset ms | slowest reset ms |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in envs.select(options.tasks):
        print(stress(DexArt(envs.specs()[name]), options.steps), flush=True)


if __name__ == "__main__":
    main()
