"""`bench demos`: export, import and a look at demo sets."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import registry
from bench.artifacts import Cache, unpack_demos, write_atomically
from bench.console import say
from bench.demo_figure import counts, picture, ranges
from bench.demo_files import write_zarr
from bench.demo_import import KEY, import_store, read_store
from bench.demo_minari import write_minari
from bench.interfaces import DemoSet, UserError, unknown
from bench.plan import demos_unit
from bench.spec import profile
from bench.worker import Worker


def export_demos(
    source: str, out: Path, profile_name: str, cache: Cache, console: Console, form: str = "zarr"
) -> None:  # fmt: skip
    """Write a demo set as a Zarr store or Minari dataset (``form``).

    Raises:
        UserError: a source that is none, or a place that is taken.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; remove it or choose another place")
    demos, title = find_demos(source, profile_name, cache, console)
    {"zarr": write_zarr, "minari": write_minari}[form](demos, out)
    say(console, f"{title}: {counts(demos)}")
    if form == "minari" and len(demos.image):
        say(console, "images left out; --format zarr keeps them")
    say(console, f"written: {out}")


def import_demos(path: Path, task_id: str, cache: Cache, console: Console) -> str:
    """Put a Zarr store or Minari dataset into the cache as demonstrations of a task; returns their key.

    Raises:
        UserError: it does not fit.
    """
    specs = registry.tasks().specs()
    if task_id not in specs:
        raise unknown("task", task_id, specs)
    key, artifact, notes = import_store(path, specs[task_id])
    cache.save(key, artifact)
    say(console, f"{path}: {counts(unpack_demos(artifact.data))}")
    for note in notes:
        say(console, note)
    return key


def inspect_demos(source: str, profile_name: str, cache: Cache, image: Path | None, console: Console) -> None:
    """Print counts and ranges, and draw a picture if asked for. Raises `UserError` for a source that is none."""
    demos, title = find_demos(source, profile_name, cache, console)
    table = Table("column", "least", "mean", "largest", "std", "")
    for name, *figures, remark in ranges(demos):
        table.add_row(name, *(f"{value:.4g}" for value in figures), remark)
    say(console, f"{title}: {counts(demos)}")
    console.print(table)
    if image is not None:
        write_atomically(image, picture(demos, title))
        say(console, f"picture: {image}")


def find_demos(source: str, profile_name: str, cache: Cache, console: Console) -> tuple[DemoSet, str]:
    """A demo set and its title: a store or dataset, a set in the cache by its key, or that of a task's expert.

    The expert's is taken from the cache, or made and kept there.
    """
    if Path(source).exists():
        demos, notes = read_store(Path(source))
        for note in notes:
            say(console, note)
        return demos, source
    if KEY.fullmatch(source):
        if source not in cache or (artifact := cache.load(source)).info.get("kind") != "demos":
            raise UserError(f"{source}: no demo set of that key in {cache.folder}")
        return unpack_demos(artifact.data), f"{artifact.info['task']['id']}, {source}"
    specs, budget = registry.tasks().specs(), profile(profile_name)
    if source not in specs:
        raise unknown("Zarr store, demo set or task", source, specs)
    if reason := registry.tasks().unavailable(specs[source].suite):
        raise UserError(f"task '{source}': {reason}")
    unit = demos_unit(specs[source], budget, base_seed=0)
    if unit.key not in cache:
        say(console, f"{unit.profile.demos} demos by the expert of {source} ...")
        worker = Worker()
        try:
            made = worker.run(unit, {}, None, lambda *_: None)
        finally:
            worker.close()
        assert made.artifact is not None
        cache.save(unit.key, made.artifact)
    return unpack_demos(cache.load(unit.key).data), f"{source}, profile {profile_name}"
