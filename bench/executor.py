"""Runs units: in this process, or by Ray on this machine or a cluster. Same results either way.

Artefacts travel as bytes through the executor, so that no shared file system is needed.
"""

from __future__ import annotations

import importlib
import os
import socket
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bench.artifacts import Artifact, StorageError
from bench.interfaces import UserError
from bench.plan import Unit
from bench.worker import Result, Worker


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


Event = Progress | Done | Failed


class Executor(Protocol):
    """Takes units while it has free slots, and tells what becomes of them."""

    slots: int

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:
        """Start a unit in a free slot."""

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Wait a moment, or until something ends, and tell what happened."""

    def close(self) -> None:
        """Stop at once; units under way are lost up to their last snapshot."""


class InProcessExecutor:
    """One slot, in the calling process: for debugging, tests and machines without Ray."""

    slots = 1

    def __init__(self, device: str = "cpu") -> None:
        self._worker = Worker(device)
        self._pending: tuple[Unit, Mapping[str, Artifact], bytes | None] | None = None

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:  # noqa: ARG002
        """Remember the unit; `wait` runs it."""
        self._pending = (unit, inputs, snapshot)

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Run the pending unit to its end."""
        assert self._pending is not None
        (unit, inputs, snapshot), self._pending = self._pending, None
        try:
            result = self._worker.run(unit, inputs, snapshot, lambda f, s: on_event(Progress(unit.key, f, s)))
        except StorageError:  # a snapshot could not be kept: no fault of the method
            raise
        except Exception as error:
            on_event(_failed(unit.key, error))
        else:
            on_event(Done(unit.key, result))

    def close(self) -> None:
        """Free the simulators."""
        self._worker.close()


class RayExecutor:
    """One actor with one CPU per slot, on a local Ray instance or on the cluster at ``address``."""

    def __init__(self, workers: int | None, address: str | None = None, device: str = "cpu") -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # By name, as Ray's typing is partial; and here, so that nothing else waits for its import.
        ray: Any = importlib.import_module("ray")
        self._ray = ray
        local = {} if address else {"num_cpus": workers, "include_dashboard": False}
        if address:
            _check_reachable(address)
        try:
            # "local", as None would join whatever cluster the environment names.
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f"the Ray cluster at '{address}'" if address else "a local Ray instance"
            raise UserError(
                f"cannot start {where}: {str(error).splitlines()[0]} (--workers 0 runs without Ray)"
            ) from None
        resources = {"num_cpus": 1, "num_gpus": 1 if device == "cuda" else 0}
        self.slots = self._count_slots(workers, resources["num_gpus"])
        self._mailbox = ray.remote(num_cpus=0)(_Mailbox).remote()
        actor = ray.remote(max_restarts=0, **resources)(_RayWorker)
        self._make_actor: Callable[[], Any] = lambda: actor.remote(device, self._mailbox)
        self._actors = [self._make_actor() for _ in range(self.slots)]
        self._running: dict[Any, tuple[int, str]] = {}  # object reference -> slot, unit key

    def _count_slots(self, workers: int | None, gpus_each: int) -> int:
        """No more actors than can be placed: one that waits for a core or a GPU would hold its unit for ever."""
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0))
        if gpus_each:
            room = min(room, int(there.get("GPU", 0)))
        if not room:
            self._ray.shutdown()
            raise UserError(f"Ray offers no {'GPU' if gpus_each else 'CPU'} to work on; see 'bench doctor'")
        return min(workers or room, room)

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:
        """Send the unit to the slot's actor."""
        reference = self._actors[slot].run.remote(unit, dict(inputs), snapshot)
        self._running[reference] = (slot, unit.key)

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Wait up to half a second."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.5)
        for progress in self._ray.get(self._mailbox.take.remote()):
            on_event(progress)
        for reference in ready:
            slot, key = self._running.pop(reference)
            try:
                event: Event = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:  # the process died: killed, or out of memory
                self._actors[slot] = self._make_actor()
                event = Failed(key, f"the worker died: {str(error).splitlines()[0]}", str(error))
            on_event(event)

    def close(self) -> None:
        """Stop the actors, and the local Ray instance."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._ray.shutdown()


class _Mailbox:
    """Carries progress from the actors to the driver: the newest report of each unit, and its newest snapshot."""

    def __init__(self) -> None:
        self._newest: dict[str, Progress] = {}

    def put(self, progress: Progress) -> None:
        before = self._newest.get(progress.key)
        snapshot = progress.snapshot or (before.snapshot if before else None)
        self._newest[progress.key] = Progress(progress.key, progress.fraction, snapshot)

    def take(self) -> list[Progress]:
        newest, self._newest = list(self._newest.values()), {}
        return newest


class _RayWorker:
    """A `Worker` in a process of its own."""

    def __init__(self, device: str, mailbox: Any) -> None:
        self._worker = Worker(device)
        self._mailbox = mailbox

    def run(self, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> Event:
        def report(fraction: float, snapshot: bytes | None) -> None:
            self._mailbox.put.remote(Progress(unit.key, fraction, snapshot))

        try:
            return Done(unit.key, self._worker.run(unit, inputs, snapshot, report))
        except Exception as error:
            return _failed(unit.key, error)


def _check_reachable(address: str, seconds: float = 10.0) -> None:
    """Refuse an address where nobody listens at once; Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto" and names that Ray itself resolves
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError as error:
        raise UserError(f"--ray-address {address}: nobody answers there ({error})") from None


def _failed(key: str, error: Exception) -> Failed:
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failed(key, line, traceback.format_exc())
