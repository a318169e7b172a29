"""Runs units by Ray, on this machine or on a cluster, whose nodes may come and go meanwhile."""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bench.artifacts import Artifact
from bench.executor import Event, Failed, Progress, first_line, run_unit
from bench.instruction_set import environment
from bench.interfaces import UserError
from bench.plan import Unit
from bench.signals import OutOfTimeError
from bench.worker import Worker

GRACE_S = 10.0
"""After its time limit a unit that hangs outside of Python has so long to come back before its process is killed."""
LOOK_S = 5.0
"""Time between two looks at how large the cluster is."""
ANSWER_S = 300.0
"""Ray is gone if the mailbox, which is where the driver is, does not answer for so long."""
STARTS = 3
"""So often a worker may fail to start, none having ever started, before the run ends."""


@dataclass
class _Slot:
    """An actor, and what it does."""

    actor: Any
    starting: Any  # reference that is ready when the actor is; None afterwards
    running: tuple[Any, str] | None = None  # reference of the result, key of the unit
    began: float | None = None  # when the unit was first heard of
    inputs: list[str] = field(default_factory=list)  # keys of the artefacts that were sent


class RayExecutor:
    """One actor with one CPU per slot, on a local Ray instance or on the cluster at ``address``."""

    def __init__(
        self,
        workers: int | None,
        address: str | None = None,
        device: str = "cpu",
        limit_s: float | None = None,
        workers_per_gpu: int = 1,
    ) -> None:
        """``workers``: at most so many actors; None: one per CPU (with a share of a GPU, if that is the device)."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: beside anything else at work a run stands still
        # By name, as Ray's typing is partial; and here, so that nothing else waits for its import.
        ray: Any = importlib.import_module("ray")
        self._ray, self._most, self._limit_s = ray, workers, limit_s
        self._per_gpu = workers_per_gpu if device == "cuda" else 0
        local = {} if address else {"num_cpus": workers, "include_dashboard": False}
        if address:
            _check_reachable(address)
        try:
            # "local", as None would join whatever cluster the environment names.
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
        except Exception as error:  # Ray raises just that where its processes do not come up in time
            where = f"the Ray cluster at '{address}'" if address else "a local Ray instance"
            raise UserError(f"cannot start {where}: {first_line(error)} (--workers 0 runs without Ray)") from None
        if not (room := self._room()):
            ray.shutdown()
            raise UserError(f"Ray offers no {'GPU' if self._per_gpu else 'CPU'} to work on; see 'bench doctor'")
        # The mailbox stays where the driver is: a node that is lost takes no other node's news with it.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(_Mailbox).remote()
        # local workers have it from here, and one that gives it again makes Ray start its processes anew
        pinned = {"env_vars": {name: os.environ.get(name, value) for name, value in environment().items()}}
        actor = ray.remote(
            num_cpus=1, num_gpus=1 / self._per_gpu if self._per_gpu else 0, max_restarts=0,
            runtime_env=pinned if address else None,
        )(_RayWorker)  # fmt: skip
        self._make_actor: Callable[[], Any] = lambda: actor.remote(device, self._mailbox, limit_s)
        self._slots = [self._new_slot() for _ in range(room)]
        self._looked, self._failed_starts = time.monotonic(), 0
        self._started = False  # any actor, ever
        self._sent: dict[str, Any] = {}  # artefacts of running units in Ray's object store, each once

    @property
    def slots(self) -> int:
        """The number of actors."""
        return len(self._slots)

    def _room(self) -> int:
        """No more actors than can be placed: the cluster may have grown since the last look."""
        # of one node: a CPU here and a GPU there are no worker
        wanted = {"CPU": 1} | ({"GPU": self._per_gpu} if self._per_gpu else {})
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(min(int(node.get(name, 0)) * per_unit for name, per_unit in wanted.items()) for node in nodes)
        return min(self._most or room, room)

    def _new_slot(self) -> _Slot:
        actor = self._make_actor()
        return _Slot(actor, actor.ready.remote())

    def free(self) -> list[int]:
        """The slots whose actor is up and idle. One that waits for a node to join would hold its unit for ever."""
        return [i for i, slot in enumerate(self._slots) if not slot.running and slot.starting is None]

    def start(self, slot: int, unit: Unit, inputs: Mapping[str, Artifact], snapshot: bytes | None) -> None:
        """Send the unit to the slot's actor."""
        for key, artifact in inputs.items():
            if key not in self._sent:
                self._sent[key] = self._ray.put(artifact)
        place = self._slots[slot]
        place.inputs, place.began = list(inputs), None
        sent = [self._sent[key] for key in inputs]
        place.running = (place.actor.run.remote(unit, list(inputs), snapshot, *sent), unit.key)

    def wait(self, on_event: Callable[[Event], None]) -> None:
        """Wait up to half a second. Raises `UserError` when Ray itself is gone."""
        try:
            events = self._wait()
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"Ray is gone ({first_line(error)}); nothing recorded is lost, the same command goes on from here"
            ) from None
        for event in events:
            on_event(event)

    def _wait(self) -> list[Event]:
        ray, references = self._ray, {}
        for i, slot in enumerate(self._slots):
            if slot.starting is not None:
                references[slot.starting] = i
            elif slot.running:
                references[slot.running[0]] = i
        ready = ray.wait(list(references), num_returns=1, timeout=0.5)[0] if references else []
        news: list[Progress] = ray.get(self._mailbox.take.remote(), timeout=ANSWER_S)
        events: list[Event] = list(news)
        by_key = {slot.running[1]: slot for slot in self._slots if slot.running}
        for progress in news:
            if (busy := by_key.get(progress.key)) and busy.began is None:
                busy.began = time.monotonic()
        for reference in ready:
            i = references[reference]
            if self._slots[i].running:
                events.append(self._end(i))
            else:
                self._greet(i)
        events += self._hung()
        self._grow()
        return events

    def _end(self, i: int) -> Event:
        """What became of the unit of a slot whose result is there."""
        slot, ray = self._slots[i], self._ray
        assert slot.running
        (reference, key), slot.running = slot.running, None
        self._forget(slot)
        try:
            event: Event = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # its arguments could not be read there: other code on that node
            return Failed(key, first_line(error.cause or error), str(error))
        except ray.exceptions.RayError as error:  # the process died: killed, out of memory, or its node was lost
            self._replace(i)
            return Failed(key, f"the worker died: {first_line(error)}", str(error), transient=True)
        if isinstance(event, Failed) and event.error.startswith(OutOfTimeError.__name__):
            self._replace(i)  # it was stopped in the middle of anything
        return event

    def _greet(self, i: int) -> None:
        """An actor is up, or could not start."""
        slot = self._slots[i]
        try:
            self._ray.get(slot.starting)
            slot.starting, self._started = None, True
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= STARTS and not self._started:
                raise UserError(f"no worker could be started: {first_line(error)}") from None
            self._replace(i)

    def _hung(self) -> list[Event]:
        """Kill the processes that did not come back at their time limit."""
        if self._limit_s is None:
            return []
        late = time.monotonic() - self._limit_s - GRACE_S
        events: list[Event] = []
        for i, slot in enumerate(self._slots):
            if slot.running and slot.began is not None and slot.began < late:
                _, key = slot.running
                self._forget(slot)
                self._replace(i)
                events.append(Failed(key, f"took longer than the limit of {self._limit_s:g} s, and was killed", ""))
        return events

    def _replace(self, i: int) -> None:
        self._ray.kill(self._slots[i].actor)
        self._slots[i] = self._new_slot()

    def _forget(self, slot: _Slot) -> None:
        """Free the artefacts that no running unit reads."""
        slot_inputs, slot.inputs = slot.inputs, []
        for key in slot_inputs:
            if not any(key in other.inputs for other in self._slots):
                self._sent.pop(key, None)

    def _grow(self) -> None:
        """Use the nodes that have joined since."""
        if time.monotonic() - self._looked > LOOK_S:
            self._slots += [self._new_slot() for _ in range(self._room() - len(self._slots))]
            self._looked = time.monotonic()

    def close(self) -> None:
        """Stop the actors, and the local Ray instance."""
        with suppress(self._ray.exceptions.RayError):  # it may be gone
            for slot in self._slots:
                self._ray.kill(slot.actor)
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

    def __init__(self, device: str, mailbox: Any, limit_s: float | None) -> None:
        self._worker = Worker(device)
        self._mailbox, self._limit_s = mailbox, limit_s

    def ready(self) -> bool:
        """Answers when the process is up."""
        return True

    def run(self, unit: Unit, keys: list[str], snapshot: bytes | None, *artifacts: Artifact) -> Event:
        """The artefacts of ``keys`` come as arguments of their own, as Ray resolves references only there."""

        def report(fraction: float, snapshot: bytes | None) -> None:
            self._mailbox.put.remote(Progress(unit.key, fraction, snapshot))

        report(0.0, None)
        return run_unit(self._worker, unit, dict(zip(keys, artifacts, strict=True)), snapshot, report, self._limit_s)


def _check_reachable(address: str, seconds: float = 10.0) -> None:
    """Refuse an address where nobody listens at once; Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto" and names that Ray itself resolves
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError as error:
        raise UserError(f"--ray-address {address}: nobody answers there ({error})") from None
