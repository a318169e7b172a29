"""Latency as the last stage of a run: one task per suite, every variant of the run, in a fresh process.

The network of a method is the same for all tasks of a suite, so one task stands for its suite: the first of the run
whose trainings did not fail.
Everything is compared with the teacher at its default options, which is timed in the same process whether the run
evaluates it or not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.artifacts import Cache
from bench.plan import Kind, Unit, lineage
from bench.spec import Variant, content_key

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class LatencyJob:
    """Variants of one task and training seed that are timed together."""

    units: tuple[Unit, ...]  # evaluations, and first the reference where it is not among them
    checkpoints: tuple[str, ...]  # keys, one per unit
    variants: tuple[Variant, ...]
    reference: Variant
    device: str

    def row_key(self, index: int) -> str:
        """Content key of the row of one variant: it changes with the company in which it was measured."""
        company = [[str(v), c] for v, c in zip(self.variants, self.checkpoints, strict=True)]
        budget = self.units[0].profile
        return content_key({
            "kind": "latency", "variant": str(self.variants[index]), "company": company, "device": self.device,
            "protocol": [budget.latency_blocks, budget.latency_calls, budget.latency_warmup_s],
        })  # fmt: skip

    def seconds(self) -> float:
        """Expected duration: starting the process and recording inputs, then warm-up and calls of a few ms each."""
        budget = self.units[0].profile
        calls = budget.latency_blocks * budget.latency_calls
        return 8 + len(self.units) * (budget.latency_warmup_s + calls * 0.015)


def latency_jobs(units: Sequence[Unit], device: str, failed: Collection[str] = ()) -> list[LatencyJob]:
    """One job per suite: the first task and training seed in the plan without a failed checkpoint."""
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
        chains = [lineage(units, u) for u in cell]
        root = next((c for c in chains if len(c) > 1), chains[0])[0]  # the teacher, where there is a student
        assert root.variant is not None
        if (root.variant, root.key) not in timed:
            timed = {(root.variant, root.key): root, **timed}
        variants, checkpoints = zip(*timed, strict=True)
        reference = root.variant
        jobs.append(LatencyJob(tuple(timed.values()), checkpoints, variants, reference, device))
    return jobs


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


def run_job(job: LatencyJob, cache: Cache) -> list[dict[str, Any]]:
    """Measure in a fresh process; returns the rows of ``latency.jsonl``.

    Raises:
        RuntimeError: The process failed; the message is the end of what it said.
    """
    for key in set(job.checkpoints):
        cache.load(key)  # a damaged file is refused here, with its name
    unit = job.units[0]
    with tempfile.TemporaryDirectory(prefix="bench-latency-") as folder:
        job_path, rows_path = Path(folder) / "job.json", Path(folder) / "rows.json"
        job_path.write_text(json.dumps(_job_json(job, unit, cache)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "bench.latency", str(job_path), str(rows_path)],
            env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-2000:] or f"exit code {done.returncode}")
        rows: list[dict[str, Any]] = json.loads(rows_path.read_text(encoding="utf-8"))
    return rows


def _job_json(job: LatencyJob, unit: Unit, cache: Cache) -> Mapping[str, Any]:
    entries = [
        {
            "key": job.row_key(i), "variant": str(variant), "method": variant.method, "options": dict(variant.options),
            "checkpoint": str(cache.path(job.checkpoints[i]).absolute()),
        }
        for i, variant in enumerate(job.variants)
    ]  # fmt: skip
    return {
        "row": {
            "suite": unit.task.suite, "task": unit.task.id, "profile": unit.profile.name,
            "training_seed": unit.training_seed, "device": job.device,
            "mode": "gpu" if "cuda" in job.device else "cpu1",
        },
        "entries": entries,
        "reference": str(job.reference),
        "protocol": {
            "base_seed": unit.base_seed, "blocks": unit.profile.latency_blocks, "calls": unit.profile.latency_calls,
            "warmup_s": unit.profile.latency_warmup_s,
        },
    }  # fmt: skip
