"""Several runs as one, for a common leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import chain, count
from pathlib import Path
from typing import Any

import pandas as pd

from bench.interfaces import UserError
from bench.records import FILES
from bench.replay import Replay
from bench.spec import policy_of
from bench.store import Run

_SAME = ("profile", "episodes", "base_seed", "control_hz")
_NAMES = ("method", "variant", "reference")
_Named = tuple[str, Run, list[Replay]]


def merge(runs: Sequence[tuple[Run, Sequence[Replay]]]) -> tuple[Run, list[Replay]]:
    """One run that holds the records of all, and their replays.

    Methods of a later run whose names are taken get the run's name before theirs (with that of the folder above where
    several runs have the same name); records that are there already (the
    same teacher, say) are left out.

    Raises:
        UserError: if the runs were made by different rules or from different initial states.
    """
    names = _names([run.path.resolve() for run, _ in runs])
    first, *others = [(name, run, list(replays)) for name, (run, replays) in zip(names, runs, strict=True)]
    _, merged, replays = reduce(_add, others, first)
    return merged, replays


def _names(paths: Iterable[Path]) -> list[str]:
    """A name for each run: that of its folder; the parent's before it, and a number, where several have the same."""
    paths, names = list(paths), list[str]()
    shared = Counter(path.name for path in paths)
    for path in paths:
        name = path.name if shared[path.name] == 1 else f"{path.parent.name}-{path.name}"
        numbered = (f"{name} ({number})" for number in count(2))
        names.append(next(each for each in chain([name], numbered) if each not in names))
    return names


def _add(both: _Named, new: _Named) -> _Named:
    (so_far, one, shown), (name, two, more) = both, new
    _check(one, two)
    taken = _taken(one, two)

    def renamed(variant: Any) -> Any:
        method = policy_of(variant) if isinstance(variant, str) else None
        return f"{name}: {variant}" if method in taken else variant

    frames = {}
    for file in FILES:
        ours, theirs = getattr(one, file), getattr(two, file)
        theirs = theirs.assign(**{c: theirs[c].map(renamed).astype(object) for c in _NAMES if c in theirs})
        known = set(zip(ours["key"], ours["method"], strict=True))
        fresh = [key not in known for key in zip(theirs["key"], theirs["method"], strict=True)]
        parts = [part for part in (ours, theirs[fresh]) if len(part)]
        frames[file] = pd.concat(parts, ignore_index=True) if parts else ours
    kept = {(r.about.task, r.about.variant, r.about.success) for r in shown}
    for replay in more:
        about = replay.about.model_copy(update={"variant": renamed(replay.about.variant)})
        if (about.task, about.variant, about.success) not in kept:
            shown = [*shown, Replay(about, replay.cloud, replay.step)]
    together = f"{so_far}+{name}"
    methods = [renamed(m) for m in two.manifest["spec"]["methods"]]
    return together, Run(Path(together), _manifest({so_far: one, name: two}, methods), **frames), shown


def _check(one: Run, two: Run) -> None:
    specs = one.manifest["spec"], two.manifest["spec"]
    odd = [f"{k} {specs[0].get(k)} and {specs[1].get(k)}" for k in _SAME if specs[0].get(k) != specs[1].get(k)]
    if odd:
        raise UserError(f"{one.path} and {two.path} cannot be shown together: {', '.join(odd)}")
    starts: dict[tuple[str, int], str] = {}
    for run in (one, two):
        hashed = run.episodes[run.episodes["state_hash"] != ""].drop_duplicates(["task", "episode"])
        for row in hashed.to_dict("records"):
            if starts.setdefault((row["task"], row["episode"]), row["state_hash"]) != row["state_hash"]:
                raise UserError(
                    f"{one.path} and {two.path} cannot be shown together: episode {row['episode']} of {row['task']} "
                    "starts from another state (other simulator or scenes)"
                )


def _taken(one: Run, two: Run) -> set[str]:
    """Methods of ``two`` whose name ``one`` uses for other records."""
    ours, theirs = _keys(one), _keys(two)
    return {method for method, keys in theirs.items() if method in ours and not keys <= ours[method]}


def _keys(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for frame in (run.episodes, run.curves, run.realtime):
        for key, method in frame[["key", "method"]].drop_duplicates().itertuples(index=False):
            found.setdefault(method, set()).add(key)
    return found


def _manifest(runs: Mapping[str, Run], methods: Iterable[str]) -> Mapping[str, Any]:
    """That of two runs by their names, of which the second has these methods now."""
    a, b = (run.manifest for run in runs.values())
    spec = dict(a["spec"])
    for field, values in (("methods", methods), ("tasks", b["spec"]["tasks"]), ("seeds", b["spec"]["seeds"])):
        spec[field] = list(dict.fromkeys([*spec[field], *values]))
    if a["spec"].get("demos") != b["spec"].get("demos"):  # of one run, and not of the other
        spec["demos"] = {
            f"{task} in {name}" if task in spec["tasks"] else task: key
            for name, run in runs.items() for task, key in (run.manifest["spec"].get("demos") or {}).items()
        }  # fmt: skip
    merged = {**a, "spec": spec, "command": f"{a['command']}\n{b['command']}"}
    merged["wall_seconds"] = (a.get("wall_seconds") or 0.0) + (b.get("wall_seconds") or 0.0)
    for field in ("versions", "hardware"):
        if a.get(field) != b.get(field):
            merged[field] = {name: _pairs(run.manifest.get(field)) for name, run in runs.items()}
    git = [manifest.get("git") or {} for manifest in (a, b)]
    if git[0] != git[1]:
        merged["git"] = {
            "revision": ", ".join(str(g.get("revision")) for g in git), "dirty": any(g.get("dirty") for g in git),
            "diff_sha256": ", ".join(str(g.get("diff_sha256")) for g in git),
        }  # fmt: skip
    return merged


def _pairs(values: Mapping[str, Any] | None) -> str:
    return "; ".join(f"{key} {value}" for key, value in (values or {}).items() if value not in (None, "", []))
