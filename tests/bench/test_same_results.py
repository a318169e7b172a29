"""Records depend on the plan alone: not on workers, order, interruptions, dying workers or company."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.artifacts import Artifact
from bench.executor import Event, Failed, InProcessExecutor, Progress, run_unit
from bench.plan import Unit
from bench.worker import Worker
from tests.bench.test_driver import records, run
from tests.faulty import FaultyRegistry

METHODS = ["student", "base", "base@nfe=2", "slow"]
COMPANY = ["broken", "nan", "shape", "sleepy"]


class Disorderly:
    """Several workers, of which any one comes next; some die, and now and then all is broken off."""

    def __init__(self, workers: int, seed: int) -> None:
        self.slots, self._chance = workers, random.Random(seed)
        self._died: set[str] = set()
        self._workers = [Worker() for _ in range(workers)]
        self._running: dict[int, tuple[Unit, Mapping[str, Artifact], bytes | None]] = {}

    def free(self) -> list[int]:
        slots = [s for s in range(self.slots) if s not in self._running]
        self._chance.shuffle(slots)
        return slots[: self._chance.randint(0, len(slots))]

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:
        self._running[slot] = (unit, inputs, snapshot)

    def wait(self, on_event: Callable[[Event], None]) -> None:
        if not self._running or self._chance.random() < 0.2:
            return
        slot = self._chance.choice(list(self._running))
        unit, inputs, snapshot = self._running.pop(slot)
        fate, after = self._chance.random(), self._chance.randint(0, 30)
        dies = fate < 0.3 and unit.key not in self._died
        if fate < 0.02:
            raise KeyboardInterrupt

        def report(fraction: float, snapshot: bytes | None) -> None:
            nonlocal after
            after -= 1
            if dies and after < 0:
                raise InterruptedError
            on_event(Progress(unit.key, fraction, snapshot))

        event = run_unit(self._workers[slot], unit, inputs, snapshot, report, None)
        if isinstance(event, Failed) and event.error.startswith("InterruptedError"):
            self._died.add(unit.key)
            self._workers[slot] = Worker()
            event = Failed(unit.key, "the worker died", "", transient=True)
        on_event(event)
        on_event(event)  # old news do no harm

    def close(self) -> None:
        """Nothing to stop."""


@pytest.fixture(autouse=True)
def _faulty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FaultyRegistry()
    monkeypatch.setattr(registry, "methods", lambda: fakes)
    monkeypatch.setattr(registry, "tasks", lambda: fakes)
    monkeypatch.setattr("time.sleep", lambda _: None)


def lines_of(root: Path, methods: list[str]) -> dict[str, list[bytes]]:
    """Episodes of the variants, and curves of the methods that these name."""
    found = {}
    for name, field in (("episodes", "variant"), ("curves", "method")):
        wanted = [f'"{field}":"{m}"'.encode() for m in methods]
        found[name] = sorted(x for x in records(root)[name].splitlines() if any(w in x for w in wanted))
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        fakes = FaultyRegistry()
        patch.setattr(registry, "methods", lambda: fakes)
        patch.setattr(registry, "tasks", lambda: fakes)
        run(root, METHODS, InProcessExecutor())
    return root


@settings(max_examples=25)
@given(
    methods=st.permutations(METHODS).flatmap(lambda order: st.integers(1, len(order)).map(lambda n: order[:n])),
    company=st.lists(st.sampled_from(COMPANY), unique=True, max_size=2),
    workers=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_records_depend_on_the_plan_alone(
    reference: Path, tmp_path_factory, methods: list[str], company: list[str], workers: int, seed: int
) -> None:
    root = tmp_path_factory.mktemp("other")
    for attempt in range(100):
        try:
            run(root, methods + company, Disorderly(workers, seed + attempt))
            break
        except KeyboardInterrupt:
            continue
    assert lines_of(root, methods) == lines_of(reference, methods)
