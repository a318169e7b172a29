"""Signals: a limit on the time of a piece of work, and a Ctrl-C that lets work under way end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutOfTimeError(RuntimeError):
    """A unit of work took longer than its time limit."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `OutOfTimeError` in the work inside when the time is over, so that the traceback says where it hung.

    By SIGALRM: it needs the main thread, and work that hangs outside of Python goes on until it comes back.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise OutOfTimeError(f"took longer than the limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def gentle_interrupt(on_first: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls ``on_first``; the next one raises `KeyboardInterrupt`, as ever.

    Where Ctrl-C is not Python's own (ignored, or another thread's) nothing changes.
    """
    if not _interrupts_python():
        yield
        return

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        on_first()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C does nothing, for children neither: for the seconds in which a run writes down how it ended.

    Where Ctrl-C is not Python's own nothing changes.
    """
    if not _interrupts_python():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupts_python() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
