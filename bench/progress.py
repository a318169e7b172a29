"""Live progress of a run: bars per stage where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from bench.console import say
from bench.latency import Progress
from bench.plan import Kind, Unit

STAGES = {Kind.DEMOS: "demos", Kind.TRAIN: "training", Kind.EVALUATE: "evaluation", Kind.REALTIME: "real time"}
NAMED = 8
"""So many units that are under way are named."""


class Clock:
    """The time left: estimated seconds of what is not done, corrected by how the estimates did so far."""

    def __init__(self, estimates: Mapping[str, float], slots: int) -> None:
        self._estimates, self._slots = dict(estimates), slots
        self._fractions: dict[str, float] = {}
        self._open = sum(self._estimates.values())  # seconds
        self._spent = self._expected = 0.0
        self.start = time.monotonic()

    def update(self, key: str, fraction: float) -> None:
        """A unit got further."""
        fraction = min(1.0, fraction)
        self._open -= self._estimates.get(key, 0.0) * (fraction - self._fractions.get(key, 0.0))
        self._fractions[key] = fraction

    def finish(self, key: str, seconds: float) -> None:
        """A unit ended."""
        self.update(key, 1.0)
        self._spent += seconds
        self._expected += self._estimates.get(key, 0.0)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        """Seconds left, roughly."""
        return max(0.0, self._open) * (self._spent + 10) / (self._expected + 10) / self._slots


class Display(Protocol):
    """What the driver tells about."""

    def start(self, units: Sequence[Unit], clock: Clock) -> None:
        """These units are about to be done."""

    def update(self, running: Mapping[str, tuple[Unit, float]]) -> None:
        """These units are under way, with the fraction done."""

    def finish(self, unit: Unit, seconds: float, outcome: str) -> None:
        """A unit ended; ``outcome`` is a few words."""

    def note(self, text: str) -> None:
        """Something that people should know."""

    def stop(self) -> None:
        """No more news."""


class BarDisplay:
    """Bars that stay in place, for terminals."""

    EVERY_S = 0.2

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<11}"),
            BarColumn(30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
        )
        self._stage: dict[Kind, TaskID] = {}
        self._planned: Counter[Kind] = Counter()
        self._done: Counter[Kind] = Counter()  # more than planned where what was damaged is made again
        self._drawn = 0.0

    def start(self, units: Sequence[Unit], clock: Clock) -> None:
        """Show a bar for each stage that has work."""
        self._clock = clock
        self._total = self._bars.add_task("all", total=len(units), note="")
        self._planned = Counter(u.kind for u in units)
        for kind in STAGES:
            if self._planned[kind]:
                self._add_stage(kind)
        self._bars.start()

    def update(self, running: Mapping[str, tuple[Unit, float]]) -> None:
        """Move the bars by what is under way, a few times a second at most: there may be a thousand workers."""
        if time.monotonic() - self._drawn < self.EVERY_S:
            return
        self._drawn = time.monotonic()
        for kind in {u.kind for u, _ in running.values()} - self._stage.keys():
            self._add_stage(kind)
        for kind, bar in self._stage.items():
            under_way = [(u, f) for u, f in running.values() if u.kind is kind]
            names = ", ".join(f"{_short(u)} {f:.0%}" for u, f in under_way[:NAMED])
            done = self._done[kind]
            self._bars.update(bar, completed=done, total=max(self._planned[kind], done + len(under_way)), note=names)
        left = f"{duration(self._clock.elapsed)} gone, about {duration(self._clock.left)} left"
        done = self._done.total()
        self._bars.update(self._total, completed=done, total=max(self._planned.total(), done + len(running)), note=left)

    def finish(self, unit: Unit, seconds: float, outcome: str) -> None:
        """Count it; errors stay on the screen."""
        self._done[unit.kind] += 1
        if outcome.startswith("error"):
            self._bars.console.print(f"{unit.label}: {outcome} ({duration(seconds)})", style="red", markup=False)

    def note(self, text: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(text, style="yellow", markup=False, highlight=False)

    def stop(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _add_stage(self, kind: Kind) -> None:
        self._stage[kind] = self._bars.add_task(STAGES.get(kind, str(kind)), total=self._planned[kind], note="")


class LineDisplay:
    """A line for each unit that ended, and a sign of life in between, for logs."""

    EVERY_S = 30.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = self._last = 0.0

    def start(self, units: Sequence[Unit], clock: Clock) -> None:
        """Remember how many there are."""
        self._total, self._clock, self._last = len(units), clock, time.monotonic()

    def update(self, running: Mapping[str, tuple[Unit, float]]) -> None:
        """Print what is under way, now and then."""
        if time.monotonic() - self._last > self.EVERY_S:
            names = ", ".join(f"{u.label} {f:.0%}" for u, f in list(running.values())[:NAMED])
            more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
            self._line(f"under way: {names}{more}; about {duration(self._clock.left)} left")

    def finish(self, unit: Unit, seconds: float, outcome: str) -> None:
        """Print the outcome."""
        self._count += 1
        left = f"about {duration(self._clock.left)} left" if self._count < self._total else "all done"
        total = max(self._total, self._count)  # what was damaged is made again on top
        self._line(f"[{self._count:.0f}/{total:.0f}] {unit.label}: {outcome} ({duration(seconds)}); {left}")

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def stop(self) -> None:
        """Nothing to do."""

    def _line(self, text: str) -> None:
        say(self._console, text)
        self._last = time.monotonic()


@contextmanager
def latency_display(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """Shows how far a latency job is: a bar on a terminal, now and then a line elsewhere.

    It draws only when it is told something, between blocks, so that it takes no time from the calls.
    """
    start = last = time.monotonic()
    if not console.is_terminal:

        def line(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last > LineDisplay.EVERY_S:
                say(console, f"{title}{progress.doing}, about {duration(progress.seconds_left)} left")
                last = time.monotonic()

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(30), TextColumn("about {task.fields[left]} left", style="dim")
    with Bars(*columns, console=console, transient=True, auto_refresh=False) as bars:
        bar = bars.add_task(f"{title}starting", left="?")

        def draw(progress: Progress) -> None:
            gone, left = time.monotonic() - start, progress.seconds_left
            bars.update(bar, description=title + progress.doing, completed=gone, total=gone + left, left=duration(left))
            bars.refresh()

        yield draw


def display(console: Console) -> Display:
    """The display that suits the console."""
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _short(unit: Unit) -> str:
    name = unit.task.id.partition("/")[2]
    return name if unit.variant is None else f"{unit.variant} {name}"
