"""A sample of a run's cells once more, from their demos on: are the records equal?"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import app
from bench.artifacts import Cache
from bench.comparison.matching import same_machine
from bench.costs import Costs
from bench.driver import FILES, find_missing
from bench.hardware import fingerprint, require_device
from bench.interfaces import UserError
from bench.plan import Kind, Unit, make_plan, plan_key
from bench.provenance import git_state
from bench.spec import RunSpec, make_spec
from bench.store import RunFolder, iterate_rows, read_manifest
from bench.weights import require_weights
from bench.worker import versions

EQUAL, DIFFERENT = 0, 1
Rows = dict[str, list[dict[str, Any]]]


def reproduce(path: Path, sample: int, workers: int | None, cache: Path | None, console: Console) -> int:
    """Measure a random sample of the cells of a run again, and their trainings; 0 if all rows are equal, else 1.

    Rows are compared field by field, but for the versions of packages.

    Args:
        path: The run's folder; nothing is written there.
        sample: Number of cells.
        workers: As of `bench run`.
        cache: Where checkpoints are, so that only the episodes are made again; None: everything is.

    Raises:
        UserError: It cannot be done: no run, nothing evaluated, or other code, simulators or device.
    """
    manifest = read_manifest(path)
    require_device(manifest["device"], path)
    spec, units = _plan(path, manifest)
    before = {name: _by_key(iterate_rows(path / f"{name}.jsonl")) for name in ("episodes", "curves")}
    sound = {key for key, rows in before["episodes"].items() if all(row["checkpoint"] for row in rows)}
    cells = [u for u in units if u.kind is Kind.EVALUATE and u.key in sound]
    if not cells:
        raise UserError(f"{path}: no cell has been evaluated there")
    if cache is None and (asked := [u for u in units if u.imported or u.kind is Kind.WEIGHTS]):
        raise UserError(f"{path}: made with imported {asked[0].kind}; give the cache that they are in with --cache")
    require_weights(units, Cache(cache or path))
    chosen = random.sample(cells, min(sample, len(cells)))
    console.print(f"{len(chosen)} of {len(cells)} cells again", highlight=False)
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as name:
        root = Path(name)
        work = list(_with_parents(units, chosen))
        after = _measure(work, spec, root, cache or root / "cache", manifest["device"], workers, console)
    compared = [u for u in work if u.kind in FILES]
    differ = [u for u in compared if not _compare(u, before[FILES[u.kind][0]], after[FILES[u.kind][0]], console)]
    now = {"versions": versions(), "device": manifest["device"], "hardware": fingerprint()}
    if differ and not same_machine(manifest, now):
        console.print("other versions or another processor or GPU than the run's: equal rows are not to be expected")
    verdict = f"{len(differ)} of {len(compared)} differ" if differ else f"all {len(compared)} equal"
    console.print(verdict, style="red" if differ else "green", highlight=False)
    return DIFFERENT if differ else EQUAL


def _plan(path: Path, manifest: Mapping[str, Any]) -> tuple[RunSpec, list[Unit]]:
    asked = manifest["spec"]
    spec = make_spec(
        asked["methods"], asked["tasks"], asked["seeds"], asked["profile"], asked["episodes"], asked["base_seed"],
        asked.get("control_hz"), asked.get("demos"),
    )  # fmt: skip
    units = make_plan(spec, manifest["device"])
    if plan_key(units) != manifest["plan"]:
        there, here = {**manifest["versions"], "code": manifest["git"].get("revision")}, {
            **versions(), "code": git_state()["revision"]
        }  # fmt: skip
        other = [f"{k} {there.get(k)} there, {here.get(k)} here" for k in here if there.get(k) != here.get(k)]
        raise UserError(
            f"{path}: made by other code or simulators ({'; '.join(other) or 'uncommitted changes'}); "
            "check out and install what is there, then try again"
        )
    return spec, units


def _with_parents(units: Sequence[Unit], cells: Iterable[Unit]) -> Iterator[Unit]:
    """The cells and all that they need, in the order of the plan."""
    needed = {u.key for u in cells}
    for unit in reversed(units):  # children come after their parents
        if unit.key in needed:
            needed.update(unit.needs)
    return (u for u in units if u.key in needed)


def _measure(
    units: Sequence[Unit], spec: RunSpec, root: Path, cache: Path, device: str, workers: int | None, console: Console
) -> dict[str, Rows]:
    settings = app.Settings(root / "run", cache, root, workers, None, device, dry_run=False, latency=False)
    with RunFolder(settings.out, spec, plan_key(units)) as folder:
        store = Cache(cache)
        state = find_missing(units, folder.each, store)
        app.drive(state, {}, folder, store, Costs(cache / "costs.json"), settings, console)
        return {name: _by_key(folder.rows(name)) for name in ("episodes", "curves")}


def _by_key(rows: Iterable[dict[str, Any]]) -> Rows:
    found: Rows = {}
    for row in rows:
        found.setdefault(row["key"], []).append({k: v for k, v in row.items() if k != "versions"})
    return found


def _compare(unit: Unit, before: Rows, after: Rows, console: Console) -> bool:
    """Whether the rows of a unit are equal; says what is not."""
    old, new = before.get(unit.key, []), after.get(unit.key, [])
    if old == new:
        console.print(f"{unit.label}: equal, {len(old)} rows", highlight=False, markup=False)
        return True
    pairs = list(zip(old, new, strict=False))
    fields = sorted({f for a, b in pairs for f in {*a, *b} if a.get(f) != b.get(f)})
    count = sum(a != b for a, b in pairs) + abs(len(old) - len(new))
    what = f" in {', '.join(fields)}" if fields else f", {len(old)} rows there, {len(new)} here"
    console.print(f"{unit.label}: {count} rows differ{what}", style="red", highlight=False, markup=False)
    return False
