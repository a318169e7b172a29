"""What a worker does with a unit of work. No files, no clocks that matter: bytes in, bytes and rows out."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import torch

from bench import registry
from bench.artifacts import Artifact, pack_demos, pack_tensors, unpack_demos, unpack_tensors
from bench.demos import collect_demos
from bench.forwards import use_runtime
from bench.interfaces import Method, Task
from bench.plan import Kind, Unit
from bench.replay import Recorder
from bench.rollout import LOCKSTEP, Episode, rollout
from bench.runtimes import versions_of
from bench.seeding import Purpose, episode_seed, sequence
from bench.signals import OutOfTimeError
from bench.train import train

Report = Callable[[float, bytes | None], None]
"""Told the fraction of the unit that is done and, now and then, a snapshot of the training."""

VERSIONS_OF = ("visuomotor-bench", "torch", "numpy", "mujoco", "metaworld", "gymnasium-robotics")


@dataclass(frozen=True)
class Result:
    """What came out of a unit."""

    seconds: float
    artifact: Artifact | None = None  # demos and train
    episodes: list[dict[str, Any]] = field(default_factory=list)  # evaluate and realtime: rows of the records
    replays: list[bytes] = field(default_factory=list)  # evaluate: first success and first failure


class Worker:
    """Runs units one after the other and keeps the simulators of the last task."""

    def __init__(self, device: str = "cpu") -> None:
        torch.set_num_threads(1)  # more threads gain nothing at these sizes, and one is reproducible
        self.device = device
        self._task_id: str | None = None
        self._tasks: list[Task] = []

    def run(self, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None, report: Report) -> Result:
        """Run a unit. ``inputs`` holds the artefacts of `Unit.needs` by key."""
        start = time.perf_counter()
        artifact: Artifact | None = None
        rows: list[dict[str, Any]] = []
        recorder = Recorder() if unit.kind is Kind.EVALUATE else None
        match unit.kind:
            case Kind.DEMOS:
                artifact = self._demos(unit, report)
            case Kind.TRAIN:
                artifact = self._train(unit, inputs, snapshot, report)
            case Kind.WEIGHTS:
                raise RuntimeError(f"the imported weights {unit.variant} are not in the cache: import them again")
            case Kind.EVALUATE | Kind.REALTIME:
                rows = self._evaluate(unit, inputs, report, recorder)
        return Result(time.perf_counter() - start, artifact, rows, recorder.pack(rows) if recorder else [])

    def close(self) -> None:
        """Free the simulators; one that cannot be closed is given up."""
        tasks, self._tasks, self._task_id = self._tasks, [], None
        for task in tasks:
            try:
                task.close()
            except OutOfTimeError:  # that of the unit whose simulators are to take their place
                raise
            except Exception:
                continue

    def _simulators(self, task_id: str, count: int) -> list[Task]:
        if task_id != self._task_id:
            self.close()
            self._task_id = task_id
        while len(self._tasks) < min(count, LOCKSTEP):
            self._tasks.append(registry.tasks().make(task_id))
        return self._tasks

    def _demos(self, unit: Unit, report: Report) -> Artifact:
        if unit.imported:
            raise RuntimeError(f"the imported demo set {unit.imported} is not in the cache: import it again")
        task = self._simulators(unit.task.id, 1)[0]
        demos, seeds = collect_demos(task, unit.profile.demos, unit.base_seed, lambda f: report(f, None), unit.images)
        return Artifact(pack_demos(demos), {"kind": unit.kind, "task": asdict(unit.task), "seeds": seeds})

    def _train(self, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None, report: Report) -> Artifact:
        method = self._method(unit)
        teacher = unpack_tensors(inputs[unit.checkpoint].data, self.device) if unit.checkpoint else None
        last_snapshot = time.monotonic()

        def on_step(step: int, make_snapshot: Callable[[], dict[str, torch.Tensor]]) -> None:
            nonlocal last_snapshot
            if time.monotonic() - last_snapshot > unit.profile.snapshot_s:
                report(step / method.spec.train_steps, pack_tensors(make_snapshot()))
                last_snapshot = time.monotonic()
            elif step % 20 == 0:
                report(step / method.spec.train_steps, None)

        def evaluate() -> dict[str, int]:
            count = unit.profile.selection_episodes
            episodes = self._rollout(unit, method, Purpose.SELECTION, count, lambda _: None)
            return {"episodes": count, "successes": sum(e.success_ever for e in episodes)}

        assert unit.demos is not None
        curve = train(
            method,
            unpack_demos(inputs[unit.demos].data),
            teacher,
            sequence(unit.base_seed, f"{unit.task.id}:{unit.variant}", Purpose.TRAIN, unit.training_seed),
            points=unit.profile.curve_points,
            after_success=unit.profile.after_success,
            evaluate=evaluate,
            snapshot=unpack_tensors(snapshot, self.device) if snapshot else None,
            on_step=on_step,
        )
        info = {"kind": unit.kind, "method": asdict(method.spec), "task": asdict(unit.task), "curve": curve}
        return Artifact(pack_tensors(method.state()), info)

    def _evaluate(
        self, unit: Unit, inputs: Mapping[str, Artifact], report: Report, recorder: Recorder | None
    ) -> list[dict[str, Any]]:
        if unit.realtime is not None and not unit.realtime.e2e_ms:
            raise RuntimeError(f"the latency of {unit.variant} on {unit.task.suite} could not be measured")
        assert unit.checkpoint is not None
        checkpoint = inputs[unit.checkpoint]
        method = self._method(unit)
        method.load_state(unpack_tensors(checkpoint.data, self.device))
        assert unit.variant is not None
        use_runtime(method, unit.variant.runtime, self.device)
        episodes = self._rollout(unit, method, Purpose.TEST, unit.episodes, lambda f: report(f, None), recorder)
        return [episode_row(unit, e, checkpoint.sha256) for e in episodes]

    def _rollout(
        self, unit: Unit, method: Method, purpose: Purpose, count: int, on_progress: Callable[[float], None],
        recorder: Recorder | None = None,
    ) -> list[Episode]:  # fmt: skip
        seeds = [episode_seed(unit.base_seed, unit.task.id, purpose, i) for i in range(count)]
        simulators = self._simulators(unit.task.id, count)
        return rollout(
            simulators, method, seeds,
            base_seed=unit.base_seed, training_seed=unit.training_seed, realtime=unit.realtime, recorder=recorder,
            spread=purpose is Purpose.TEST, until_success=purpose is Purpose.SELECTION, on_progress=on_progress,
        )  # fmt: skip

    def _method(self, unit: Unit) -> Method:
        assert unit.variant is not None
        name, options = unit.variant.method, dict(unit.variant.options)
        method = registry.methods().make(name, unit.task, unit.profile.name, options, self.device)
        if method.spec != unit.method:
            raise RuntimeError(
                f"{name}: its spec depends on the name of the task, or its code is not that of the driver"
            )
        return method


def episode_row(unit: Unit, episode: Episode, checkpoint: str | None) -> dict[str, Any]:
    """One row of ``episodes.jsonl`` or ``realtime.jsonl``; ``docs/records.md`` says what each field is."""
    assert unit.method is not None
    assert unit.variant is not None
    row = {
        "schema": "episode/1", "key": unit.key, "suite": unit.task.suite, "task": unit.task.id,
        "difficulty": unit.task.difficulty, "method": unit.variant.policy, "variant": str(unit.variant),
        "profile": unit.profile.name, "training_seed": unit.training_seed, "episode": episode.index,
        "seed": episode.seed, "state_hash": episode.state_hash, "action_hash": episode.action_hash,
        "success_ever": episode.success_ever, "success_end": episode.success_end, "steps": episode.steps,
        "steps_to_success": episode.steps_to_success,
        "return": episode.total_reward, "action_spread": episode.action_spread, "error": episode.error,
        "checkpoint": checkpoint, "nfe": unit.method.nfe,
        "executed_steps": unit.method.executed_steps, "engine": unit.task.engine, "assets": unit.task.assets,
        "versions": versions() | versions_of(unit.variant.runtime),
    }  # fmt: skip
    if episode.success_alt_ever is not None:
        row |= {"success_alt_ever": episode.success_alt_ever, "success_alt_end": episode.success_alt_end}
    row |= unit.imports
    if unit.realtime is None:
        return row
    return {
        **row, "schema": "realtime/1", "control_hz": unit.realtime.control_hz, "latency_key": unit.realtime.latency_key,
        "calls": episode.calls, "held_steps": episode.held_steps,
    }  # fmt: skip


def failed_rows(unit: Unit, error: str) -> list[dict[str, Any]]:
    """Rows for a cell that could not be evaluated: every episode counts as a failure. None where there is no cell."""
    seeds = [episode_seed(unit.base_seed, unit.task.id, Purpose.TEST, i) for i in range(unit.episodes)]
    return [episode_row(unit, Episode(i, seed, error=error), None) for i, seed in enumerate(seeds)]


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
