"""Run the expert of every available task and write `docs/experts.md`.

    python tools/measure_experts.py [--tasks all] [--episodes 20] [--out docs/experts.md]

Episodes are the first ones that demonstrations are made from (base seed 0). The section of a suite is replaced by what
was measured, the other sections stay. Left out with a line: DexArt, whose table is in `docs/dexart.md` and made by
`measure_dexart.py`, and tasks that have no expert. About two minutes on one core for MetaWorld, half a second an
episode for Adroit.
"""

from __future__ import annotations

import argparse
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import envs
from bench.interfaces import TaskSpec, UserError
from bench.seeding import Purpose, episode_seed
from bench.stats import wilson

BAR = 0.9
ELSEWHERE = {"dexart": "tools/measure_dexart.py"}  # suites that another tool measures
INTRODUCTION = """# Experts

The expert of every task, over the first episodes that demonstrations are made from. *Ever*: success in at least one
step. *Accepted*: in as many steps as a demonstration needs. *First success*: median step, of those that succeeded.
Intervals are Wilson's, of accepted. Actions are clipped to [-1, 1].

"""
REASONS = {
    "metaworld/disassemble": "in the episodes that fail, the nut stands turned by more than 70° when the episode "
    "starts (MetaWorld lets it fall on the peg during its reset; elsewhere by less than 7°). Its handle then lies "
    "along the fingers instead of across them; the hand cannot turn, and the scripted policy knows no other grasp.",
}


@dataclass(frozen=True)
class Measured:
    """What the expert did on one task."""

    spec: TaskSpec
    success_steps: list[int]  # per episode, in how many steps success was seen
    first: list[int]  # first such step, counted from 1, of the episodes that have one
    ends: int  # episodes with success in the last step
    ends_alt: int | None  # the same by the suite's second rule; None where it has one rule

    @property
    def episodes(self) -> int:
        return len(self.success_steps)

    @property
    def accepted(self) -> int:
        return sum(steps >= self.spec.min_success_steps for steps in self.success_steps)


def measure(task_id: str, episodes: int) -> Measured:
    """Run the expert of one task without looking at clouds."""
    task = envs.make(task_id)
    success_steps, first, ends, ends_alt = [], [], 0, 0
    for episode in range(episodes):
        task.reset(episode_seed(0, task_id, Purpose.DEMO, episode))
        expert, success = task.expert(), []
        for _ in range(task.spec.max_steps):
            outcome = task.step(np.clip(expert.act(), -1.0, 1.0).astype(np.float32))
            success.append(outcome.success)
            if outcome.done:
                break
        success_steps.append(sum(success))
        ends, ends_alt = ends + outcome.success, ends_alt + bool(outcome.success_alt)
        if any(success):
            first.append(success.index(True) + 1)
    task.close()
    return Measured(task.spec, success_steps, first, ends, None if outcome.success_alt is None else ends_alt)


def section(rows: list[Measured]) -> str:
    """What the page says of one suite."""
    spec, episodes = rows[0].spec, rows[0].episodes
    good = sum(row.accepted >= BAR * row.episodes for row in rows)
    both = rows[0].ends_alt is not None
    whole = len(rows) == sum(other.suite == spec.suite for other in envs.specs().values())
    tasks = spec.suite if whole else ",".join(row.spec.id for row in rows)
    lines = [
        f"## {spec.suite}",
        "",
        f"{episodes} episodes, `python tools/measure_experts.py --tasks {tasks} --episodes {episodes}` "
        f"({spec.engine}). Accepted: success in at least {spec.min_success_steps} steps. "
        f"**{good} of {len(rows)} tasks reach {BAR:.0%} accepted; mean {mean(rows):.1%}.**",
        "",
        f"| task | difficulty | ever | in the last step |{' by the second rule |' if both else ''} accepted "
        "| 95 % interval | first success |",
        f"|---|---|---|---|{'---|' if both else ''}---|---|---|",
    ]
    for row in rows:
        first = f"{statistics.median(row.first):g}" if row.first else "-"
        interval = wilson(row.accepted, row.episodes)
        second = f"| {row.ends_alt}/{row.episodes} " if both else ""
        lines.append(
            f"| {row.spec.id} | {row.spec.difficulty or ''} | {len(row.first)}/{row.episodes} "
            f"| {row.ends}/{row.episodes} {second}| {row.accepted}/{row.episodes} "
            f"| {interval.low:.1%} – {interval.high:.1%} | {first} |"
        )
    low = [row for row in rows if row.accepted < BAR * row.episodes]
    if low:
        lines += ["", f"Below {BAR:.0%}:", ""]
        lines += [
            f"* **{row.spec.id}** ({row.accepted}/{row.episodes}): {REASONS.get(row.spec.id, 'not looked into.')}"
            for row in low
        ]
    return "\n".join(lines) + "\n"


def updated(page: str, rows: list[Measured]) -> str:
    """The page with the sections of the suites that were measured replaced or added."""
    parts = re.split(r"(?m)^(?=## )", page or INTRODUCTION)
    sections = {part.split()[1]: part for part in parts[1:]}
    for suite in dict.fromkeys(row.spec.suite for row in rows):
        sections[suite] = section([row for row in rows if row.spec.suite == suite])
    return parts[0] + "\n".join(text.rstrip("\n") + "\n" for text in sections.values())


def mean(rows: list[Measured]) -> float:
    """Mean accepted rate over tasks."""
    return statistics.fmean(row.accepted / row.episodes for row in rows)


def main() -> None:
    """Measure, print a line per task, write the page."""
    parser = argparse.ArgumentParser(description="Measure the experts and write docs/experts.md.")
    parser.add_argument("--tasks", default="all", help="ids, globs, suites or groups, with commas between them")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/experts.md"))
    options = parser.parse_args()
    rows = []
    for task_id in envs.select(options.tasks):
        if tool := ELSEWHERE.get(envs.specs()[task_id].suite):
            print(f"{task_id}: left out, {tool} measures it")
            continue
        try:
            rows.append(measure(task_id, options.episodes))
        except UserError as error:
            print(f"{task_id}: left out, {error}")
            continue
        print(f"{task_id}: accepted {rows[-1].accepted}/{rows[-1].episodes}, success steps {rows[-1].success_steps}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page = options.out.read_text(encoding="utf-8") if options.out.is_file() else ""
    options.out.write_text(updated(page, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
