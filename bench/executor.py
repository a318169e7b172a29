"""What takes units of work and tells what becomes of them; and the executor that works in this process.

Artefacts travel as bytes through the executor, so that no shared file system is needed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.artifacts import Artifact, StorageError
from bench.plan import Unit
from bench.signals import time_limit
from bench.worker import Report, Result, Worker


@dataclass(frozen=True)
class Progress:
    """A unit got further."""

    key: str
    fraction: float
    snapshot: bytes | None = None


@dataclass(frozen=True)
class Done:
    """A unit ended well."""

    key: str
    result: Result


@dataclass(frozen=True)
class Failed:
    """A unit ended in an error."""

    key: str
    error: str  # one line
    traceback: str
    transient: bool = False  # the worker died under it: it may go well another time


Event = Progress | Done | Failed


class Executor(Protocol):
    """Takes units while it has free slots, and tells what becomes of them."""

    @property
    def slots(self) -> int:
        """How many units can be under way at a time, as things are now."""

    def free(self) -> list[int]:
        """The slots that can take a unit now."""

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:
        """Start a unit in a free slot."""

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Wait a moment, or until something ends, and tell what happened."""

    def close(self) -> None:
        """Stop at once; units under way are lost up to their last snapshot."""


class InProcessExecutor:
    """One slot, in the calling process: for debugging, tests and machines without Ray."""

    slots = 1

    def __init__(self, device: str = "cpu", limit_s: float | None = None) -> None:
        self._worker, self._limit_s = Worker(device), limit_s
        self._pending: tuple[Unit, Mapping[str, Artifact], bytes | None] | None = None

    def free(self) -> list[int]:
        """The one slot, if nothing waits in it."""
        return [] if self._pending else [0]

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:  # noqa: ARG002
        """Remember the unit; `wait` runs it."""
        self._pending = (unit, inputs, snapshot)

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Run the pending unit to its end."""
        if self._pending is None:
            return
        (unit, inputs, snapshot), self._pending = self._pending, None
        on_event(
            run_unit(
                self._worker, unit, inputs, snapshot, lambda f, s: on_event(Progress(unit.key, f, s)), self._limit_s
            )
        )

    def close(self) -> None:
        """Free the simulators."""
        self._worker.close()


def run_unit(
    worker: Worker, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None, report: Report,
    limit_s: float | None,
) -> Event:  # fmt: skip
    """Run a unit to its end, good or bad, within its time limit."""
    try:
        with time_limit(limit_s):
            return Done(unit.key, worker.run(unit, inputs, snapshot, report))
    except StorageError:  # a snapshot could not be kept: no fault of the method
        raise
    except Exception as error:
        failed = _failed(unit.key, error)
        worker.close()  # simulators that something went wrong in are not used again
        return failed


def _failed(key: str, error: Exception) -> Failed:
    return Failed(key, first_line(error), traceback.format_exc())


def first_line(error: BaseException) -> str:
    """Class and first line of an error."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
