"""May two runs be compared? Matching of episodes, and what both must have promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.interfaces import UserError
from bench.report.measures import CELL, with_success
from bench.store import Run

SIMULATORS = ("mujoco", "metaworld", "gymnasium-robotics")
"""Packages whose versions belong to the contract; those of torch and the like are what a comparison may be about."""
EXACT = ("success_ever", "success_end", "steps", "steps_to_success", "return", "state_hash", "action_hash", "error")
_EPISODE = [*CELL, "episode"]


def pair_episodes(base: Run, new: Run, *, paused: bool = False) -> pd.DataFrame:
    """Episodes of both runs by task, variant, training seed and number; those of ``new`` alone are left out.

    Columns but these end in ``_base`` and ``_new``.

    Args:
        paused: ``new`` was made without a control rate, whatever that of ``base``; these episodes do not depend on it.

    Raises:
        UserError: if the runs are not comparable, with every field that differs.
    """
    for run in (base, new):
        if run.episodes.empty:
            raise UserError(f"{run.path}: has no episodes to compare")
    sides = [with_success(run.episodes) for run in (base, new)]
    pairs = pd.merge(sides[0], sides[1], on=_EPISODE, how="left", suffixes=("_base", "_new"), indicator=True)
    if faults := [*_contract(base, new, paused), *_scenes(pairs)]:
        raise UserError(f"{new.path} cannot be compared with {base.path}: {'; '.join(faults)}")
    return pairs


def _contract(base: Run, new: Run, paused: bool) -> Iterator[str]:
    """What was promised to be equal and is not, field by field."""
    specs = base.manifest["spec"], new.manifest["spec"]
    own = {"methods", "tasks", "seeds"}  # of these, the base run's must be there; see `_scenes`
    own |= {"control_hz"} if paused else set()
    fields = {f"spec.{k}": [s.get(k) for s in specs] for k in {**specs[0], **specs[1]} if k not in own}
    versions = [run.manifest["versions"] for run in (base, new)]
    fields |= {f"versions.{name}": [v.get(name) for v in versions] for name in SIMULATORS}
    both = set(base.episodes["task"]) & set(new.episodes["task"])
    for name in ("engine", "assets"):
        found = [
            sorted(set(run.episodes.loc[run.episodes["task"].isin(both), name].astype(str))) for run in (base, new)
        ]
        fields[name] = [", ".join(values) for values in found]
    for name, (ours, theirs) in fields.items():
        if ours != theirs:
            yield f"{name}: {ours} in base, {theirs} in new"


def _scenes(pairs: pd.DataFrame) -> Iterator[str]:
    """Episodes that are missing, or started elsewhere."""
    missing = pairs[pairs["_merge"] == "left_only"]
    if len(missing):
        cells = [f"{v} on {t}, seed {s}" for t, v, s in missing[CELL].drop_duplicates().itertuples(index=False)]
        more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
        yield f"{len(missing)} episodes are missing in new ({', '.join(cells[:3])}{more})"
    both = pairs[pairs["_merge"] == "both"]
    # An episode that broke before its reset has no hash; its seed says which initial state was meant.
    hashed = (both["state_hash_base"] != "") & (both["state_hash_new"] != "")
    other = both[
        (hashed & (both["state_hash_base"] != both["state_hash_new"])) | (both["seed_base"] != both["seed_new"])
    ]
    if len(other):
        row = other.iloc[0]
        yield (
            f"{len(other)} episodes have another initial state (first: episode {row['episode']} of {row['task']}, "
            f"state_hash {row['state_hash_base']} in base, {row['state_hash_new']} in new)"
        )


def same_machine(base: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether equal code must give equal episodes: the same packages, processor, instruction set and GPU."""

    def facts(manifest: Mapping[str, Any]) -> object:
        hardware = manifest["hardware"]
        packages = {k: v for k, v in manifest["versions"].items() if k != "visuomotor-bench"}
        gpus = set(hardware.get("gpus") or ()) if manifest["device"] == "cuda" else None
        return packages, manifest["device"], hardware.get("cpu"), hardware.get("cpu_capability"), gpus

    return facts(base) == facts(new)


def changed_episodes(pairs: pd.DataFrame) -> list[str]:
    """Episodes that did not end as before, with the first field that differs."""
    lines = []
    for row in pairs.to_dict("records"):
        for name in EXACT:
            ours, theirs = row[f"{name}_base"], row[f"{name}_new"]
            unrecorded = name == "action_hash" and (pd.isna(ours) or pd.isna(theirs))  # in rows of an older version
            if ours != theirs and not unrecorded and not (pd.isna(ours) and pd.isna(theirs)):
                where = f"{row['variant']} on {row['task']}, training seed {row['training_seed']}"
                lines.append(f"{where}, episode {row['episode']}: {name} was {ours}, is {theirs}")
                break
    return lines
