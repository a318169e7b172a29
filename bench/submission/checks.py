"""Could these records have been measured? Completeness and plausibility of a run, one line for each fault."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import pandas as pd

from bench.percentiles import LEAST_N
from bench.replay import Replay
from bench.seeding import Purpose, episode_seed
from bench.spec import policy_of
from bench.store import Run

Row = Mapping[str, Any]
_SHA256 = re.compile("[0-9a-f]{64}")
_CLOCKS = ("t_e2e", "t_policy", "t_encode", "t_sample")


def faults(run: Run, replays: Sequence[Replay]) -> Iterator[str]:
    """Everything that is missing or cannot be, in the order of the records files."""
    spec = run.manifest["spec"]
    yield from _complete("episodes", run.episodes, spec)
    yield from _episodes("episodes", run.episodes, spec)
    if spec.get("control_hz") or len(run.realtime):
        yield from _complete("realtime", run.realtime, spec)
        yield from _episodes("realtime", run.realtime, spec)
        yield from _realtime(run, spec)
    yield from _same_start(run)
    for row in _rows(run.curves):
        if row["successes"] > row["episodes"]:
            yield f"curves.jsonl: {_where(row)}, step {row['step']}: {row['successes']} of {row['episodes']} succeeded"
    timed, methods = list(_rows(run.latency)), set(spec["methods"])
    # a student is timed against its teacher, whether the run was asked for that or not
    expected = methods | {row["reference"] for row in timed if row["variant"] in methods}
    for row in timed:
        for fault in _latency(row, expected):
            yield f"latency.jsonl: {row['variant']} on {row['task']}, {row['mode']}: {fault}"
    yield from _replays(run, replays)


def _complete(file: str, frame: pd.DataFrame, spec: Row) -> Iterator[str]:
    """Every episode that was asked for once, and no other."""
    found: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for task, variant, seed, episode in frame[["task", "variant", "training_seed", "episode"]].itertuples(
        index=False, name=None
    ):
        found[task, variant, seed].append(episode)
    for cell in product(spec["tasks"], spec["methods"], spec["seeds"]):
        numbers = sorted(found.pop(cell, []))
        if len(numbers) != spec["episodes"] or numbers != list(range(len(numbers))):  # a stranger may ask for 10^18
            twice = len(numbers) != len(set(numbers))
            what = "an episode is recorded twice" if twice else f"{len(numbers)} of {spec['episodes']} episodes"
            yield f"{file}.jsonl: {cell[1]} on {cell[0]}, training seed {cell[2]}: {what}"
    for task, variant, seed in found:
        yield f"{file}.jsonl: {variant} on {task}, training seed {seed}: not part of the manifest's spec"


def _episodes(file: str, frame: pd.DataFrame, spec: Row) -> Iterator[str]:
    checkpoints: dict[tuple[str, str, int], str] = {}
    seeds = {
        (task, i): episode_seed(spec["base_seed"], task, Purpose.TEST, i)
        for task in set(frame["task"]) for i in set(frame.loc[frame["task"] == task, "episode"])
    }  # fmt: skip
    for row in _rows(frame):
        checkpoint = row["checkpoint"]
        trained = (row["task"], row["method"], row["training_seed"])
        known = checkpoints.setdefault(trained, checkpoint) if checkpoint else checkpoint
        success, first = row["success_ever"], row["steps_to_success"]
        checks = {
            "its task is not of its suite": row["task"].partition("/")[0] == row["suite"],
            "its variant is not of its method": policy_of(row["variant"]) == row["method"],
            f"its profile is not {spec['profile']}": row["profile"] == spec["profile"],
            "its seed is not the one of that episode": row["seed"] == seeds[row["task"], row["episode"]],
            "success_ever and steps_to_success contradict each other": success == (first is not None),
            "steps_to_success is beyond steps": first is None or first <= row["steps"],
            "success in the last step, yet never": success or not row["success_end"],
            "no control step and no error": row["steps"] > 0 or row["error"] is not None,
            "no checkpoint and no error": checkpoint is not None or row["error"] is not None,
            "its checkpoint is no SHA-256": checkpoint is None or _SHA256.fullmatch(checkpoint) is not None,
            "another checkpoint than other episodes of its training": known == checkpoint,
            "no state_hash and no error": row["state_hash"] != "" or row["error"] is not None,
        }
        for words, holds in checks.items():
            if not holds:
                yield f"{file}.jsonl: {_where(row)}, episode {row['episode']}: {words}"


def _same_start(run: Run) -> Iterator[str]:
    """All methods start an episode from one state; the paired tests rest on it."""
    for name, frame in (("episodes", run.episodes), ("realtime", run.realtime)):
        first: dict[tuple[str, int], Row] = {}
        for row in _rows(frame[frame["state_hash"] != ""]):
            other = first.setdefault((row["task"], row["episode"]), row)
            if other["state_hash"] != row["state_hash"]:
                yield (
                    f"{name}.jsonl: {_where(row)}, episode {row['episode']}: its state_hash is not that of "
                    f"{other['variant']}, training seed {other['training_seed']}"
                )


def _realtime(run: Run, spec: Row) -> Iterator[str]:
    timed = set(run.latency["key"])
    for row in _rows(run.realtime):
        checks = {
            "its control_hz is not that of the spec": row["control_hz"] == spec.get("control_hz"),
            "waited for more steps than there were": row["held_steps"] <= row["steps"],
            "waited without a policy call": row["calls"] > 0 or row["held_steps"] == 0,
            "its latency_key is of no timing": row["latency_key"] in timed or row["latency_key"] is None,
        }
        for words, holds in checks.items():
            if not holds:
                yield f"realtime.jsonl: {_where(row)}, episode {row['episode']}: {words}"


def _latency(row: Row, expected: Collection[str]) -> Iterator[str]:
    if row["variant"] not in expected:
        yield "not part of the manifest's spec"
    if row["params_network"] > row["params"]:
        yield "more parameters in the head than in all"
    quantiles = row["e2e_quantiles"]
    if min(quantiles) <= 0 or any(a > b for a, b in pairwise(quantiles)):
        yield "e2e_quantiles must be positive and rise"
    if not all(0 <= share <= 1 for share in row["deadline_misses"].values()):
        yield "deadline_misses are no shares"
    for clock in _CLOCKS:
        values = [v for p in LEAST_N if (v := row[clock][p]) is not None]
        if values[0] <= 0 or values != sorted(values):
            yield f"percentiles of {clock} must be positive and rise"
        for p in LEAST_N:
            low, high = row[clock][f"{p}_ci"] or (None, None)
            value = row[clock][p]
            if value is not None and ((low is not None and low > value) or (high is not None and high < value)):
                yield f"{p} of {clock} is outside its own interval"
    for outer, inner in (("t_e2e", "t_policy"), ("t_policy", "t_encode"), ("t_policy", "t_sample")):
        for p in LEAST_N:
            a, b = row[outer][p], row[inner][p]
            if a is not None and b is not None and a < b:
                yield f"{p} of {outer} is shorter than that of {inner}, which is a part of it"
    for clock, found in (row["speedup"] or {}).items():
        numbers = [found[k] for k in ("low", "ratio", "high")]
        if not (0 < numbers[0] <= numbers[1] <= numbers[2] and 0 <= found["p"] <= 1):
            yield f"speed-up of {clock} is outside its own interval, or p is no probability"


def _replays(run: Run, replays: Sequence[Replay]) -> Iterator[str]:
    if not replays:
        return
    shown = {(r.about.task, r.about.variant, r.about.training_seed, r.about.episode) for r in replays}
    known = {key: row for row in _rows(run.episodes) if (key := _episode(row)) in shown}
    for replay in replays:
        about = replay.about
        row = known.get((about.task, about.variant, about.training_seed, about.episode))
        if row is None:
            yield f"replays: {about.variant} on {about.task}, episode {about.episode}: not an episode of this run"
            continue
        success = row["success_ever"] and row["error"] is None
        same = (about.state_hash, about.steps, about.steps_to_success, about.success) == (
            row["state_hash"], row["steps"], row["steps_to_success"], success,
        )  # fmt: skip
        if not same or replay.step[-1] > row["steps"]:
            yield f"replays: {_where(row)}, episode {about.episode}: contradicts its record"


def _episode(row: Row) -> tuple[str, str, int, int]:
    return row["task"], row["variant"], row["training_seed"], row["episode"]


def _where(row: Row) -> str:
    return f"{row.get('variant', row['method'])} on {row['task']}, training seed {row['training_seed']}"


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows with plain values; where a column of numbers holds nulls, these are NaN in a frame."""
    for row in frame.to_dict("records"):
        yield {str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
