"""Weights of others in the cache: checked against the networks here, and named by their hash.

Imported weights stand for trainings that were not done here. So they are never called by the name of their method
alone: an import gives an id, the hash of all that was imported together, and ``dp3:<id>`` is a variant like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bench import registry
from bench.artifacts import Artifact, Cache, pack_tensors, unpack_tensors
from bench.interfaces import UserError, unknown
from bench.plan import Kind, Unit, weights_key
from bench.spec import Variant, canonical_json, profile

Place = tuple[str, int]
"""What weights were trained on: task id and training seed."""


@dataclass(frozen=True)
class Weights:
    """Checkpoints of one method and profile that were imported together."""

    variant: Variant
    artifacts: dict[str, Artifact]  # by their key in the cache

    def keep(self, cache: Cache) -> None:
        """Put them into the cache."""
        for key, artifact in self.artifacts.items():
            cache.save(key, artifact)


def import_weights(sources: Mapping[Place, Path], method: str, profile_name: str) -> Weights:
    """Read and check safetensors files; writes nothing.

    Args:
        sources: a file by task and training seed.
        method: what the weights are run as.
        profile_name: whose network sizes they have.

    Raises:
        UserError: an unknown task, method or profile; a file that is not there or no safetensors; or its tensors are
            not those of the method with this profile on this task.
    """
    specs, name = registry.tasks().specs(), profile(profile_name).name
    found: dict[Place, Artifact] = {}
    for (task, seed), path in sources.items():
        if task not in specs:
            raise unknown("task", task, specs)
        policy = registry.methods().make(method, specs[task], name, {})
        content, about = _read(path)
        try:
            policy.load_state(unpack_tensors(content))
        except UserError as error:
            raise UserError(f"{path} does not fit {method} on {task}, profile {name}: {error}") from None
        info = {
            "kind": "weights", "method": method, "task": task, "seed": seed, "profile": name,
            "imported": {"from": path.name, "sha256": hashlib.sha256(content).hexdigest(), "metadata": about},
        }  # fmt: skip
        found[task, seed] = Artifact(pack_tensors(policy.state()), info)
    parts = sorted([task, seed, artifact.sha256] for (task, seed), artifact in found.items())
    own = hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:12]
    return Weights(Variant(method, weights=own), {
        weights_key(own, method, task, seed, name): Artifact(artifact.data, {**artifact.info, "weights": own})
        for (task, seed), artifact in found.items()
    })  # fmt: skip


def require_weights(units: Iterable[Unit], cache: Cache) -> None:
    """Raise `UserError` where imported weights of a plan are not in the cache: what is there, and what is missing."""
    for unit in units:
        if unit.kind is not Kind.WEIGHTS or unit.key in cache:
            continue
        assert unit.variant is not None
        others = [info for info in cache.infos("weights") if info["weights"] == unit.variant.weights]
        if not others:
            raise UserError(f"no weights {unit.variant} in {cache.folder}: import them with 'bench checkpoints import'")
        there = sorted(f"{i['method']} on {i['task']}, seed {i['seed']}, profile {i['profile']}" for i in others)
        raise UserError(
            f"weights {unit.variant.weights} were imported as {'; '.join(there[:6])}: not as {unit.variant.method} on "
            f"{unit.task.id}, seed {unit.training_seed}, profile {unit.profile.name}"
        )


def _read(path: Path) -> tuple[bytes, dict[str, str]]:
    """A safetensors file and the notes in it."""
    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
        return path.read_bytes(), about
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise UserError(
            f"{path}: no safetensors file ({error}); tools/convert_checkpoint.py makes one of a published checkpoint"
        ) from None
