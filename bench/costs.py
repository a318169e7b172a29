"""How long units of work take: for the order of work (longest first) and for the time left. Never for results."""

from __future__ import annotations

import json
import math
from pathlib import Path

from bench.artifacts import write_atomically
from bench.plan import Kind, Unit


class Costs:
    """Seconds per class of units, learned from finished ones and kept beside the artefacts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            found = {str(k): float(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
            self._seconds = {k: v for k, v in found.items() if 0 <= v < math.inf}
        except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            self._seconds = {}  # a memory, not a record: start anew

    def estimate(self, unit: Unit) -> float:
        """Expected seconds of a unit on one core."""
        return self._seconds.get(unit.cost_class) or _first_guess(unit)

    def learn(self, unit: Unit, seconds: float) -> None:
        """Take a finished unit into account."""
        before = self._seconds.get(unit.cost_class, seconds)
        self._seconds[unit.cost_class] = round(0.5 * before + 0.5 * seconds, 3)

    def save(self) -> None:
        """Keep what was learned."""
        write_atomically(self.path, json.dumps(self._seconds, indent=1, sort_keys=True).encode())


def _first_guess(unit: Unit) -> float:
    """Seconds before anything was measured on this machine; 2 s are for building simulators."""
    if unit.kind is Kind.DEMOS:
        return 2 + (3.0 if unit.images else 1.0) * unit.profile.demos
    assert unit.method is not None
    per_episode = 0.5 + 0.05 * unit.method.nfe
    if unit.kind is not Kind.TRAIN:
        return 2 + per_episode * unit.episodes
    per_step = {"smoke": 0.01, "lite": 0.12}.get(unit.profile.name, 3.0)
    curve = unit.profile.curve_points * unit.profile.selection_episodes * per_episode
    return 2 + per_step * unit.method.train_steps + curve
