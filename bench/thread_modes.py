"""Thread modes: how many threads a timed process has and where they may run.

``cpu1`` is the comparable one: one thread, pinned to one core. ``cpuN``: a thread for each physical core, not pinned.
``gpu``: one thread that feeds the GPU, not pinned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil
import torch

CPU1, CPUN, GPU = "cpu1", "cpuN", "gpu"
_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def modes_for(device: str, cpu_modes: Iterable[str]) -> tuple[str, ...]:
    """The modes to measure on a device: ``cpu_modes`` on a CPU, always ``gpu`` on a GPU."""
    return (GPU,) if "cuda" in device else tuple(cpu_modes)


def environment(mode: str) -> dict[str, str]:
    """Environment of a process in ``mode``: libraries read their number of threads when they are loaded."""
    return dict.fromkeys(_LIBRARIES, str(_threads(mode)))


def enter(mode: str) -> None:
    """Put this process into ``mode``; its environment must be that of `environment`."""
    torch.set_num_threads(_threads(mode))
    if mode == CPU1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def usable_cores() -> int:
    """Physical cores, as far as this process may run on them."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or allowed, allowed)


def _threads(mode: str) -> int:
    return usable_cores() if mode == CPUN else 1
