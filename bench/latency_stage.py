"""Latency as the last stage of a run: one task per suite, every variant of the run, a job per thread mode.

The network of a method is the same for all tasks of a suite, so one task stands for its suite: the first of the run
whose trainings did not fail. Everything is compared with the teacher at its default options that sees the same (point
clouds with point clouds, images with images) in the same runtime (eager with eager, compiled with compiled). It is
timed in turn with it whether the run evaluates it or not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from bench.interfaces import ObservationKind
from bench.latency_job import LatencyJob, budget_of
from bench.plan import Kind, Unit, lineage
from bench.spec import Variant
from bench.thread_modes import modes_for


def latency_jobs(units: Sequence[Unit], device: str, failed: Collection[str] = ()) -> list[LatencyJob]:
    """A job per suite and thread mode: the first task and training seed in the plan without a failed checkpoint."""
    jobs = []
    cells: dict[tuple[str, str, int], list[Unit]] = {}
    for unit in units:
        if unit.kind is Kind.EVALUATE:
            cells.setdefault((unit.task.suite, unit.task.id, unit.training_seed), []).append(unit)
    for suite in dict.fromkeys(suite for suite, _, _ in cells):
        candidates = [cell for (of, _, _), cell in cells.items() if of == suite]
        whole = [cell for cell in candidates if not any(u.checkpoint in failed for u in cell)]
        cell = (whole or candidates)[0]
        timed = {(u.variant, u.checkpoint): u for u in cell}
        roots: dict[ObservationKind, Unit] = {}
        for chain in sorted((lineage(units, u) for u in cell), key=_far_from_a_teacher):
            roots.setdefault(_sees(chain[-1]), chain[0])
        bases = {_peers(u): _base(roots[_sees(u)], u) for u in cell}
        timed = {(base, roots[kind].key): roots[kind] for (kind, _), base in bases.items()} | timed
        variants, checkpoints = zip(*timed, strict=True)
        company = tuple(timed.values())
        references = tuple(bases[_sees(u), v.runtime] for u, v in zip(company, variants, strict=True))
        profile = company[0].profile
        jobs += [
            LatencyJob(company, checkpoints, variants, references, device, mode, budget_of(profile))
            for mode in modes_for(device, profile.latency_modes)
        ]
    return jobs


def _far_from_a_teacher(chain: Sequence[Unit]) -> tuple[bool, bool]:
    """Sorts lineages: those of students first, and last students of which only the weights were imported."""
    assert chain[0].method is not None
    return len(chain) == 1, chain[0].method.teacher is not None


def _sees(unit: Unit) -> ObservationKind:
    assert unit.method is not None
    return unit.method.observation


def _peers(unit: Unit) -> tuple[ObservationKind, str]:
    """What units must have in common to be compared."""
    assert unit.variant is not None
    return _sees(unit), unit.variant.runtime


def _base(root: Unit, unit: Unit) -> Variant:
    """The teacher at its default options, in the runtime of a unit."""
    assert root.variant is not None
    return replace(root.variant, runtime=_peers(unit)[1])


def missing_jobs(
    jobs: Sequence[LatencyJob], rows: Callable[[str], list[dict[str, Any]]]
) -> list[LatencyJob]:  # fmt: skip
    """The jobs of which rows are missing."""
    have = {row["key"] for row in rows("latency")}
    return [job for job in jobs if any(job.row_key(i) not in have for i in range(len(job.units)))]


def timed_variants(
    jobs: Sequence[LatencyJob], rows: Callable[[str], list[dict[str, Any]]]
) -> dict[tuple[str, Variant], dict[str, Any]]:
    """The rows that were measured on one core or on a GPU, by suite and variant."""
    found = {row["key"]: row for row in rows("latency") if row["mode"] in ("cpu1", "gpu")}
    keys = {(j.units[0].task.suite, v): j.row_key(i) for j in jobs for i, v in enumerate(j.variants)}
    return {entry: found[key] for entry, key in keys.items() if key in found}
