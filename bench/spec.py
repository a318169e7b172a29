"""What a run is: profiles, variants, `RunSpec`, and the canonical JSON from which content keys are made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from bench import registry
from bench.interfaces import TaskSpec, UserError, unknown
from bench.runtimes import EAGER, check_runtime

PROTOCOL = 1
"""Version of the rules by which the harness measures; a change of any of them makes every old key stale."""
WEIGHTS = re.compile("[0-9a-f]{12}")
"""An id of imported weights."""
CONTROL_HZ = range(1, 1001)
"""Control steps per second that an evaluation in real time can have."""


@dataclass(frozen=True)
class Profile:
    """Sizes and budgets of the harness; each method holds its own sizes under the same profile name."""

    name: str
    purpose: str
    demos: int  # demonstrations per task, all of them trained on
    after_success: int | None  # steps after the first success of a demo that are trained on; None: all, as published
    episodes: int  # test episodes per cell, the default of --episodes
    curve_points: int  # evaluations during training, evenly spaced, the last one at the end
    selection_episodes: int  # episodes per point of the learning curve, never test episodes
    latency_blocks: int  # interleaved blocks per variant
    latency_calls: int  # least policy calls per variant, over all blocks
    latency_seconds: float  # least time per variant, over all blocks
    latency_warmup_s: float  # least warm-up time per variant
    latency_modes: tuple[str, ...]  # thread modes on a CPU
    snapshot_s: float  # time between training snapshots, from which an interrupted training goes on


PROFILES = {
    p.name: p
    for p in (
        Profile("smoke", "seconds per task, for CI: shows that everything runs, says nothing about quality",
                demos=2, after_success=20, episodes=2, curve_points=2, selection_episodes=2,
                latency_blocks=8, latency_calls=80, latency_seconds=0.5, latency_warmup_s=0.2,
                latency_modes=("cpu1",), snapshot_s=5.0),
        Profile("lite", "minutes per task on one CPU core: small networks, real comparisons (default)",
                demos=10, after_success=20, episodes=20, curve_points=5, selection_episodes=10,
                latency_blocks=16, latency_calls=672, latency_seconds=10.0, latency_warmup_s=3.0,
                latency_modes=("cpu1", "cpuN"), snapshot_s=30.0),
        # 9 demonstrations: the published pipelines make 10 and hold one back for a validation that is never run.
        Profile("paper", "published network sizes and schedules: days per task without a GPU",
                demos=9, after_success=None, episodes=100, curve_points=15, selection_episodes=20,
                latency_blocks=20, latency_calls=1000, latency_seconds=30.0, latency_warmup_s=3.0,
                latency_modes=("cpu1", "cpuN"), snapshot_s=600.0),
    )
}  # fmt: skip


def profile(name: str) -> Profile:
    """The profile of that name; raises `UserError` with the nearest one."""
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]


@dataclass(frozen=True, order=True)
class Variant:
    """A method with a runtime and inference options: same checkpoint, other entry.

    Written ``dp3@nfe=1``, ``dp3@nfe=1:t=90``, ``sdm+onnx`` or ``dp3+onnx@nfe=1``; with imported weights instead of
    trained ones ``dp3:1a2b3c4d5e6f``, ``dp3:1a2b3c4d5e6f+onnx@nfe=1``.
    """

    method: str
    options: tuple[tuple[str, str], ...] = ()
    runtime: str = EAGER
    weights: str | None = None  # id of imported weights (`bench.weights`)

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Parse ``name[:weights][+runtime][@key=value[:key=value…]]``.

        Options are sorted, so that one variant has one name.
        """
        head, at, tail = text.strip().partition("@")
        name, plus, runtime = head.partition("+")
        method, colon, weights = name.partition(":")
        if not method or (at and not tail) or (plus and not runtime):
            raise UserError(
                f"method '{text}' is incomplete: write a name such as 'dp3' or a variant such as 'dp3@nfe=1'"
            )
        if colon and not WEIGHTS.fullmatch(weights):
            raise UserError(
                f"method '{text}': '{weights}' names no weights; 'bench checkpoints import' gives imported ones a name"
            )
        options = {}
        for item in filter(None, tail.split(":")):
            key, equals, value = item.partition("=")
            if not (key and equals and value):
                raise UserError(f"variant '{text}': '{item}' is no option, write key=value as in 'dp3@nfe=1'")
            if key in options:
                raise UserError(f"variant '{text}': option '{key}' is given twice")
            options[key] = value
        return cls(method, tuple(sorted(options.items())), runtime or EAGER, weights or None)

    @property
    def policy(self) -> str:
        """The method, and with imported weights their id: what stands for a checkpoint."""
        return f"{self.method}:{self.weights}" if self.weights else self.method

    def __str__(self) -> str:
        head = self.policy if self.runtime == EAGER else f"{self.policy}+{self.runtime}"
        return head + ("@" + ":".join(f"{k}={v}" for k, v in self.options) if self.options else "")


def policy_of(variant: str) -> str:
    """`Variant.policy` from a variant's name in records, whatever the name is."""
    return re.split("[+@]", variant, maxsplit=1)[0]


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines the records of a run; times and places are not part of it."""

    methods: tuple[str, ...]  # variants, canonical text
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]  # training seeds
    profile: str
    episodes: int  # test episodes per cell
    base_seed: int = 0  # of demos, initial states and policy noise
    control_hz: int | None = None  # control steps per second of the evaluation in real time; None: there is none
    demos: tuple[tuple[str, str], ...] = ()  # task and key of its imported demo set; the others have their expert's

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, as stored in the manifest; a control rate or demos that are not asked for are left out."""
        values = {
            **asdict(self), "methods": list(self.methods), "tasks": list(self.tasks), "seeds": list(self.seeds),
            "demos": dict(self.demos) or None,
        }  # fmt: skip
        return {k: v for k, v in values.items() if v is not None}

    @property
    def key(self) -> str:
        """Content key of the run."""
        return content_key({"protocol": PROTOCOL, **self.to_json()})


def make_spec(
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int] = (0,),
    profile_name: str = "lite",
    episodes: int | None = None,
    base_seed: int = 0,
    control_hz: int | None = None,
    demos: Mapping[str, str] | None = None,
) -> RunSpec:
    """Resolve and check what a user asked for. Raises `UserError` before anything is written."""
    budget = profile(profile_name)
    if not methods or not tasks or not seeds:
        raise UserError("a run needs at least one method, one task and one seed")
    if min(seeds) < 0 or base_seed < 0:
        raise UserError(f"seeds must be 0 or more, got {min(*seeds, base_seed)}")
    count = budget.episodes if episodes is None else episodes
    if count < 1:
        raise UserError(f"--episodes must be 1 or more, got {count}")
    if control_hz is not None and control_hz not in CONTROL_HZ:
        raise UserError(f"--control-hz must be from {CONTROL_HZ[0]} to {CONTROL_HZ[-1]}, got {control_hz}")
    task_ids = registry.tasks().select(tasks)
    specs = registry.tasks().specs()
    in_order = tuple(task_id for task_id in specs if task_id in set(task_ids))
    if strange := sorted(set(demos or {}) - set(in_order)):
        raise UserError(f"--demos {strange[0]}=...: the run has no such task; it has {', '.join(in_order[:12])}")
    variants = _distinct([Variant.parse(m) for m in methods], specs[in_order[0]], budget.name)
    _check_images(variants, [specs[name] for name in in_order], budget.name)
    imported = tuple(sorted((demos or {}).items()))
    return RunSpec(variants, in_order, tuple(sorted(set(seeds))), budget.name, count, base_seed, control_hz, imported)


def _distinct(variants: Sequence[Variant], task: TaskSpec, profile_name: str) -> tuple[str, ...]:
    """The names of the variants, each entry once: ``dp3@nfe=10`` is ``dp3`` where 10 is the default.

    An unknown method, runtime or option shows here, not an hour later.
    """
    names: dict[tuple[str, str, str], str] = {}
    for variant in variants:
        check_runtime(variant.runtime)
        spec, _ = registry.describe(variant.method, task, profile_name, dict(variant.options))
        options = tuple((k, str(spec.options.get(k, v))) for k, v in variant.options)
        canonical = replace(variant, options=options)
        entry = (variant.policy, variant.runtime, canonical_json(dict(spec.options)))
        names[entry] = min(names.get(entry, str(canonical)), str(canonical), key=len)
    return tuple(names.values())


def _check_images(variants: Sequence[str], tasks: Sequence[TaskSpec], profile_name: str) -> None:
    """Refuse methods that see images where a task of the run has none."""
    blind = next((task.id for task in tasks if task.images is None), None)
    if blind is None:
        return
    for name in variants:
        spec, _ = registry.describe(Variant.parse(name).method, tasks[0], profile_name, {})
        if spec.observation == "image":
            seeing = sorted({task.suite for task in registry.tasks().specs().values() if task.images})
            there = f"choose tasks of the suites that have: {', '.join(seeing)}" if seeing else "no task here has any"
            raise UserError(f"{name} sees images, and {blind} has none: {there}")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def canonical_json(value: object) -> str:
    """JSON that is equal for equal values: sorted keys, no spaces, no NaN."""
    return _CANONICAL.encode(value)


def task_identity(task: TaskSpec) -> Mapping[str, object]:
    """The part of a task's spec that all its demonstrations depend on: not how many, nor the version of pictures."""
    return {name: value for name, value in asdict(task).items() if name not in ("demo_factor", "images")}


def content_key(value: Mapping[str, object]) -> str:
    """Twenty hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:20]
