"""Interleaved timing: the sides of a comparison take turns, A B B A ..., so that drift of the machine hits them all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from bench.stats import Estimate, ratio_of_medians

Times = npt.NDArray[np.float64]
Side = Callable[[], npt.ArrayLike]
"""Does one call and returns the seconds it took: a number, or several (clocks of its parts)."""


def timed(work: Callable[[], object], per: int = 1) -> Side:
    """A side that runs ``work`` and returns seconds per unit, where one run does ``per`` units."""

    def side() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) / per

    return side


def interleave(sides: Mapping[str, Side], blocks: int, calls: int, warmup: int = 1) -> dict[str, Times]:
    """Time all sides in alternating order.

    Args:
        sides: what to time, by name.
        blocks: blocks per side; the order of the sides turns around from block to block.
        calls: timed calls in a block, without garbage collection.
        warmup: calls of each side before the first block, not timed.

    Returns:
        seconds ``[blocks, calls]`` by name, ``[blocks, calls, clocks]`` where a side returns several.
    """
    for side in sides.values():
        for _ in range(warmup):
            side()
    taken: dict[str, list[Times]] = {name: [] for name in sides}
    gc.collect()
    gc.freeze()  # what is there already need not be looked at before every block
    gc.disable()
    try:
        for block in range(blocks):
            for name in list(sides)[:: 1 if block % 2 == 0 else -1]:
                gc.collect()
                taken[name].append(np.array([sides[name]() for _ in range(calls)], np.float64))
    finally:
        gc.enable()
        gc.unfreeze()
    return {name: np.stack(rows) for name, rows in taken.items()}


def speedup(reference: Times, ours: Times) -> Estimate:
    """How many times faster ``ours`` is: ratio of medians with its 95 % interval, both ``[blocks, calls]``."""
    return ratio_of_medians(reference, ours)
