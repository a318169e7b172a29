"""From a `RunSpec` to the units of work it needs: demos -> teacher -> student -> evaluation, in real time too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bench import registry
from bench.interfaces import MethodSpec, ObservationKind, TaskSpec
from bench.realtime import RealTime
from bench.runtimes import EAGER, versions_of
from bench.spec import PROTOCOL, Profile, RunSpec, Variant, content_key, profile, task_identity


class Kind(StrEnum):
    """The kinds of work."""

    DEMOS = "demos"
    TRAIN = "train"
    WEIGHTS = "weights"  # imported: in the cache, or missing
    EVALUATE = "evaluate"
    REALTIME = "realtime"  # an evaluation with the latency in the loop


@dataclass(frozen=True)
class Unit:
    """One piece of work: done whole or not at all, its result determined by its content key."""

    kind: Kind
    key: str
    task: TaskSpec
    profile: Profile
    base_seed: int
    method: MethodSpec | None = None  # all but demos
    variant: Variant | None = None  # evaluate: with options; train and weights: the bare method
    training_seed: int = 0
    episodes: int = 0  # evaluate and realtime
    demos: str | None = None  # key of the demo set (train)
    checkpoint: str | None = None  # key of the teacher (train) or of the policy (evaluate and realtime)
    realtime: RealTime | None = None  # realtime: control rate and latency
    imported: str | None = None  # key of the demo set that all of it comes from, where that was imported
    images: bool = False  # whether that demo set holds pictures

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the units whose artefacts this one reads."""
        return tuple(k for k in (self.demos, self.checkpoint) if k)

    @property
    def imports(self) -> dict[str, str]:
        """What of it was imported, as rows say it: key of ``demos``, id of ``weights``."""
        found = {"demos": self.imported, "weights": self.variant.weights if self.variant else None}
        return {name: value for name, value in found.items() if value}

    @property
    def label(self) -> str:
        """For people: ``train sdm on metaworld/drawer-open, seed 0``."""
        if self.kind is Kind.DEMOS:
            return f"demos of {self.task.id}{' with images' * self.images}"
        return f"{self.kind} {self.variant} on {self.task.id}, seed {self.training_seed}"

    @property
    def cost_class(self) -> str:
        """Units of one class take about the same time."""
        what = "images" if self.kind is Kind.DEMOS and self.images else str(self.variant or "")
        return ":".join((self.kind, what, self.task.suite, self.profile.name, str(self.episodes)))


def make_plan(spec: RunSpec, device: str = "cpu") -> list[Unit]:
    """All units of a run, parents before children, in canonical order (task, then training seed, then method)."""
    specs = registry.tasks().specs()
    budget, imported = profile(spec.profile), dict(spec.demos)
    units: dict[str, Unit] = {}
    for task_id in spec.tasks:
        variants = [Variant.parse(text) for text in spec.methods]
        kinds = {v: observation_of(v, specs[task_id], budget) for v in variants}
        sets = {
            kind: demos_unit(specs[task_id], budget, spec.base_seed, imported.get(task_id), images=kind == "image")
            for kind in kinds.values()
        }
        units |= {demos.key: demos for demos in sets.values()}
        for seed in spec.seeds:
            for variant in variants:
                if variant.weights:
                    sources = [_weights_unit(variant, specs[task_id], budget, spec.base_seed, seed)]
                else:
                    sources = _train_units(Variant(variant.method), sets[kinds[variant]], seed, device)
                units |= {u.key: u for u in sources}
                evaluation = _evaluate_unit(variant, sources[-1], spec.episodes, device)
                units[evaluation.key] = evaluation
    return list(units.values())


def realtime_units(
    units: Iterable[Unit], control_hz: int | None, timed: Mapping[tuple[str, Variant], Mapping[str, Any]]
) -> list[Unit]:
    """The evaluations of a plan once more, in real time; none without a control rate.

    They are planned when latency has been measured, as their keys depend on it. A unit of which it is not known is
    planned too: it is work to do, and without a latency it fails.

    Args:
        timed: Rows of ``latency.jsonl`` by suite and variant.
    """
    if control_hz is None:
        return []
    late = []
    for unit in units:
        if unit.kind is Kind.EVALUATE and unit.variant is not None:
            row = timed.get((unit.task.suite, unit.variant))
            realtime = RealTime(control_hz, row["key"], tuple(row["e2e_quantiles"])) if row else RealTime(control_hz)
            key = content_key({
                "protocol": PROTOCOL, "kind": "realtime", "evaluation": unit.key, "control_hz": control_hz,
                "latency": content_key({"e2e_ms": realtime.e2e_ms}),
            })  # fmt: skip
            late.append(replace(unit, kind=Kind.REALTIME, key=key, realtime=realtime))
    return late


def plan_key(units: Iterable[Unit]) -> str:
    """Content key of a plan: it changes with the spec, and with the code and versions that would do the work."""
    return content_key({"units": [u.key for u in units]})


def lineage(units: Iterable[Unit], unit: Unit) -> list[Unit]:
    """The units from the first teacher, or the imported weights, down to the checkpoint that ``unit`` reads."""
    by_key = {u.key: u for u in units}
    chain = []
    key = unit.checkpoint
    while key is not None:
        chain.append(by_key[key])
        key = by_key[key].checkpoint
    return chain[::-1]


def observation_of(variant: Variant, task: TaskSpec, budget: Profile) -> ObservationKind:
    """What a method sees of a task."""
    return registry.describe(variant.method, task, budget.name, {})[0].observation


def demos_unit(
    task: TaskSpec, budget: Profile, base_seed: int, imported: str | None = None, images: bool = False
) -> Unit:
    """The demo set of a task: of its expert, or ``imported``, whose key holds the hash of the data.

    The set with pictures is one of its own, of the same episodes: to add a method that sees them, or to change them,
    changes nothing for the others.
    """
    budget = replace(budget, demos=budget.demos * task.demo_factor)
    identity: dict[str, object] = {
        "protocol": PROTOCOL, "kind": "demos", "task": task_identity(task), "count": budget.demos,
        "base_seed": base_seed,
    }  # fmt: skip
    if images:
        identity["images"] = task.images
    return Unit(
        Kind.DEMOS, imported or content_key(identity), task, budget, base_seed, imported=imported, images=images
    )


def _train_units(variant: Variant, demos: Unit, seed: int, device: str) -> list[Unit]:
    """The training unit of a method, after those of its teachers."""
    method, code = registry.describe(variant.method, demos.task, demos.profile.name, {})
    parents = _train_units(Variant(method.teacher), demos, seed, device) if method.teacher else []
    identity: dict[str, object] = {
        "protocol": PROTOCOL, "kind": "train", "method": training_identity(method), "demos": demos.key,
        "teacher": parents[-1].key if parents else None, "seed": seed, "base_seed": demos.base_seed,
        "code": code, "device": device, "after_success": demos.profile.after_success,
        "curve": [demos.profile.curve_points, demos.profile.selection_episodes],
    }  # fmt: skip
    if demos.imported and method.observation == "image":  # what it is tested with; the key of own demos holds it
        identity["images"] = demos.task.images
    key = content_key(identity)
    unit = replace(
        demos, kind=Kind.TRAIN, key=key, method=method, variant=variant, training_seed=seed, demos=demos.key,
        checkpoint=parents[-1].key if parents else None,
    )  # fmt: skip
    return [*parents, unit]


def weights_key(weights: str, method: str, task_id: str, seed: int, profile_name: str) -> str:
    """Where imported weights are in the cache; later code and simulators find them there, too."""
    return content_key({
        "protocol": PROTOCOL, "kind": "weights", "weights": weights, "method": method, "task": task_id, "seed": seed,
        "profile": profile_name,
    })  # fmt: skip


def _weights_unit(variant: Variant, task: TaskSpec, budget: Profile, base_seed: int, seed: int) -> Unit:
    assert variant.weights is not None
    method, _ = registry.describe(variant.method, task, budget.name, {})
    key = weights_key(variant.weights, variant.method, task.id, seed, budget.name)
    bare = Variant(variant.method, weights=variant.weights)
    return Unit(Kind.WEIGHTS, key, task, budget, base_seed, method, bare, seed)


def _evaluate_unit(variant: Variant, trained: Unit, episodes: int, device: str) -> Unit:
    method, code = registry.describe(variant.method, trained.task, trained.profile.name, dict(variant.options))
    identity = {
        "protocol": PROTOCOL, "kind": "evaluate", "checkpoint": trained.key, "options": dict(variant.options),
        "episodes": episodes,
    }  # fmt: skip
    if variant.weights:  # what the key of a training, and those of its demos, would hold
        identity |= {
            "task": task_identity(trained.task), "method": training_identity(method), "code": code, "device": device,
            "base_seed": trained.base_seed,
        }  # fmt: skip
        if method.observation == "image":
            identity["images"] = trained.task.images
    if variant.runtime != EAGER:
        identity["runtime"] = [variant.runtime, versions_of(variant.runtime)]
    key = content_key(identity)
    return replace(
        trained, kind=Kind.EVALUATE, key=key, method=method, variant=variant, episodes=episodes, demos=None,
        checkpoint=trained.key,
    )  # fmt: skip


def training_identity(method: MethodSpec) -> Mapping[str, object]:
    """The part of a method's spec that determines its checkpoint."""
    return {
        "name": method.name, "horizon": method.horizon, "n_obs_steps": method.n_obs_steps,
        "n_action_steps": method.n_action_steps, "train_steps": method.train_steps, "batch_size": method.batch_size,
        "config": dict(method.config),
    }  # fmt: skip
