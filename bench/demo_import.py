"""Demo sets of others in the cache, under keys that hold the hash of their data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench import registry
from bench.artifacts import Artifact, Cache, pack_demos, unpack_demos
from bench.demo_files import ARRAYS, IMAGES, read_zarr
from bench.demo_minari import ARRAYS as MINARI
from bench.demo_minari import is_minari, read_minari
from bench.interfaces import DemoSet, TaskSpec, UserError, unknown
from bench.spec import PROTOCOL, RunSpec, Variant, content_key, task_identity

KEY = re.compile("[0-9a-f]{20}")


def import_key(task: TaskSpec, artifact: Artifact) -> str:
    """Content key of an imported demo set: of the task, and of the data themselves."""
    return content_key({
        "protocol": PROTOCOL, "kind": "imported demos", "task": task_identity(task), "sha256": artifact.sha256,
    })  # fmt: skip


def read_store(path: Path) -> tuple[DemoSet, list[str]]:
    """A demo set, and what was changed on the way: from a Minari dataset where ``path`` is one, else a Zarr store."""
    return read_minari(path) if is_minari(path) else read_zarr(path)


def import_store(path: Path, task: TaskSpec) -> tuple[str, Artifact, list[str]]:
    """Read a Zarr store or a Minari dataset as demonstrations of a task.

    Returns:
        key and artefact for the cache, and what was changed on the way: lines for people.

    Raises:
        UserError: see `read_zarr` and `read_minari`, or its sizes are not those of the task.
    """
    demos, notes = read_store(path)
    demos, more = _fit(demos, task, str(path), MINARI if is_minari(path) else ARRAYS)
    notes += more
    info = {"kind": "demos", "task": asdict(task), "imported": {"from": path.name, "notes": notes}}
    artifact = Artifact(pack_demos(demos), info)
    return import_key(task, artifact), artifact, notes


@dataclass(frozen=True)
class Imports:
    """Demo sets of others that a run shall train on."""

    keys: dict[str, str]  # by task id
    artifacts: dict[str, Artifact]  # by key: those that the cache may lack
    notes: list[str]  # what was changed on the way: lines for people

    def check_images(self, spec: RunSpec, cache: Cache) -> None:
        """Refuse methods that see images where they shall train on a set without. Raises `UserError`."""
        specs = registry.tasks().specs()
        for name, key in self.keys.items():
            trained = [variant for variant in map(Variant.parse, spec.methods) if not variant.weights]
            kinds = {v: registry.describe(v.method, specs[name], spec.profile, {})[0].observation for v in trained}
            seeing = [variant for variant, kind in kinds.items() if kind == "image"]
            if not seeing:
                continue
            artifact = self.artifacts.get(key)
            demos = unpack_demos(artifact.data) if artifact else load_imported(key, specs[name], cache)
            if not len(demos.image):
                raise UserError(
                    f"{seeing[0]} sees images, and the imported demos of {name} have none: leave out --demos, or "
                    f"import a set with {IMAGES}"
                )

    def keep(self, cache: Cache) -> None:
        """Put into the cache what is not there."""
        for key, artifact in self.artifacts.items():
            if key not in cache:
                cache.save(key, artifact)


def resolve(requests: Mapping[str, str], cache: Cache) -> Imports:
    """Read and check the imported demo sets of a run; writes nothing.

    Args:
        requests: by task id, a Zarr store or Minari dataset, or the key of a set that was imported before.
        cache: where imported sets are.

    Raises:
        UserError: an unknown task, a source that is neither, or data that do not fit.
    """
    specs = registry.tasks().specs()
    found = Imports({}, {}, [])
    for name, source in requests.items():
        if name not in specs:
            raise unknown("task", name, specs)
        if not Path(source).exists() and KEY.fullmatch(source):
            load_imported(source, specs[name], cache)
            found.keys[name] = source
            continue
        key, artifact, notes = import_store(Path(source), specs[name])
        found.keys[name], found.artifacts[key] = key, artifact
        found.notes.extend(f"demos of {name}: {line}" for line in (f"{source}, imported as {key}", *notes))
    return found


def load_imported(key: str, task: TaskSpec, cache: Cache) -> DemoSet:
    """An imported set from the cache. Raises `UserError` where it is not there, or not of this task as it is now."""
    if key not in cache:
        raise UserError(f"no imported demo set {key} in {cache.folder}: import it with 'bench demos import'")
    artifact = cache.load(key)
    if import_key(task, artifact) != key:
        raise UserError(
            f"{key} is no demo set that was imported for {task.id} with {task.engine}: import it again with "
            "'bench demos import'"
        )
    return unpack_demos(artifact.data)


def _fit(
    demos: DemoSet, task: TaskSpec, where: str, names: Mapping[str, str]
) -> tuple[DemoSet, list[str]]:  # fmt: skip
    """Refuse sizes that are not those of the task; clip actions as the task does."""
    sizes = (
        ("point_cloud", "points per frame", demos.point_cloud.shape[1], task.n_points),
        ("agent_pos", "values per frame", demos.agent_pos.shape[1], task.agent_pos_dim),
        ("action", "values per frame", demos.action.shape[1], task.action_dim),
    )
    for field, what, found, wanted in sizes:
        if found != wanted:
            raise UserError(f"{where}: {names[field]} has {found} {what}, {task.id} has {wanted}")
    outside = np.abs(demos.action) > 1
    if not outside.any():
        return demos, []
    low, high = demos.action.min(), demos.action.max()
    note = f"{outside.mean():.1%} of the action values, from {low:.3g} to {high:.3g}, were clipped to [-1, 1]"
    return replace(demos, action=np.clip(demos.action, -1, 1)), [note]
