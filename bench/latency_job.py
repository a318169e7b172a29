"""A latency job: variants of one task that are timed together, each in a fresh process, in one thread mode."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from typing import Any

from bench.artifacts import Cache
from bench.latency import Budget, Progress, compare
from bench.latency_process import RemoteTimer
from bench.plan import Unit
from bench.spec import Profile, Variant, content_key

_START_S = 5.0  # of a process: imports, building the simulator, recording inputs
_CALL_MS = 15.0


@dataclass(frozen=True)
class LatencyJob:
    """Variants of one task and training seed that are timed together."""

    units: tuple[Unit, ...]  # evaluations, and first the reference where it is not among them
    checkpoints: tuple[str, ...]  # keys, one per unit
    variants: tuple[Variant, ...]
    references: tuple[Variant, ...]  # of each variant, what it is compared with
    device: str
    mode: str
    budget: Budget

    def row_key(self, index: int) -> str:
        """Content key of the row of one variant: it changes with the company in which it was measured."""
        company = [[str(v), c] for v, c in zip(self.variants, self.checkpoints, strict=True)]
        return content_key({
            "kind": "latency", "variant": str(self.variants[index]), "company": company, "device": self.device,
            "mode": self.mode, "protocol": [2, *astuple(self.budget)],
        })  # fmt: skip

    def seconds(self) -> float:
        """Expected duration: starting the processes, then warm-up and calls of a few ms each."""
        return len(self.units) * (_START_S + self.budget.warmup_s + self.budget.duration(_CALL_MS))


def budget_of(profile: Profile) -> Budget:
    """How long a profile times each variant."""
    return Budget(
        profile.latency_blocks, profile.latency_calls, profile.latency_seconds, profile.latency_warmup_s
    )  # fmt: skip


def run_job(
    job: LatencyJob,
    cache: Cache,
    *,
    untrained: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Measure in fresh processes; returns the rows of ``latency.jsonl``.

    Args:
        job: what to time.
        cache: where its checkpoints are.
        untrained: whether variants without a checkpoint are timed with untrained weights.
        on_progress: told what is being done, between blocks.

    Raises:
        UserError: A checkpoint is damaged, or a process refused its input.
        RuntimeError: A process failed; the message is the end of what it said.
    """
    paths: list[str | None] = []
    for key in job.checkpoints:
        if untrained and key not in cache:
            paths.append(None)
            continue
        cache.load(key)  # a damaged file is refused here, with its name
        paths.append(str(cache.path(key).absolute()))
    with ExitStack() as stack:
        timers = []
        for i, path in enumerate(paths):
            timers.append(RemoteTimer(_entry(job, i, path)))
            stack.callback(timers[-1].close)
        for timer in timers:
            timer.wait_until_ready()
        references = dict(zip(map(str, job.variants), map(str, job.references), strict=True))
        return compare(timers, job.budget, references=references, on_progress=on_progress)


def _entry(job: LatencyJob, index: int, checkpoint: str | None) -> dict[str, Any]:
    """What a process must know of the variant that it times."""
    unit, variant = job.units[index], job.variants[index]
    return {
        "row": {
            "key": job.row_key(index), "suite": unit.task.suite, "task": unit.task.id, "profile": unit.profile.name,
            "training_seed": unit.training_seed, "device": job.device, "mode": job.mode, "method": variant.policy,
            "variant": str(variant), **unit.imports,
        },
        "options": dict(variant.options), "runtime": variant.runtime, "checkpoint": checkpoint,
        "base_seed": unit.base_seed,
    }  # fmt: skip
