"""By how much two policies differ on matched episodes, over tasks and training seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.stats.cells import cell_weights, widening, without_bias
from bench.stats.intervals import Bools, Counts, Estimate, Floats
from bench.stats.paired import PairedCells

_HALVINGS = 50


def mean_difference(
    only_first: npt.ArrayLike, only_second: npt.ArrayLike, episodes: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Success of the first policy less that of the second over all tasks, with a score interval for matched episodes.

    It is Tango's interval (1998), and equal to it for one checkpoint on one task, carried over to cells (task, training
    seed) as `bench.stats.mean_success` carries over Wilson's. A true difference t is inside if the measured one is no
    further from it than q standard errors, with the variance c (s - t^2 - d): s the share of discordant episodes that
    is most likely if the difference is t, c, d and q as there. So policies without any discordant episode are not
    taken to be alike.

    Args:
        only_first: ``[M, S]`` matched episodes of each task and training seed that the first alone solved.
        only_second: ``[M, S]`` that the second alone solved.
        episodes: ``[M, S]`` matched episodes; 0 where a task lacks a training seed.

    Raises:
        ValueError: if the counts do not fit each other or a task has no episode.
    """
    cells = PairedCells.of(only_first, only_second, episodes)
    value, low, high = difference_ends(cells.only_first, cells.only_second, cells.n, confidence)
    return Estimate(float(value), float(low), float(high))


def difference_ends(
    only_first: Counts, only_second: Counts, n: Counts, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Value and ends ``[...]`` of `mean_difference` for counts ``[..., M, S]`` and episodes ``[M, S]``."""
    weight, used, size = cell_weights(n), n > 0, np.maximum(n, 1)
    first, second = only_first / size, only_second / size
    difference = first - second
    variance = (first + second - np.square(difference)) / np.maximum(n - 1, 1)
    likely_first, likely_second = ((x + weight) / np.where(used, n + 2 * weight, 1) for x in (only_first, only_second))
    spread = (likely_first + likely_second - np.square(likely_first - likely_second)) * without_bias(n)
    q2, _ = widening(difference, variance, spread / size, used, confidence)

    share = np.square(weight) / size
    c = float(share.sum())
    within = (share * spread).sum(axis=(-2, -1)) / c
    b, a = ((weight * x).sum(axis=(-2, -1)) for x in (first, second))
    value = np.asarray(b - a)
    d = np.maximum(0.0, b + a - np.square(value) - within)

    def inside(t: Floats) -> Bools:
        room = np.maximum(0.0, _discordant(b, a, t) - np.square(t) - d)
        return np.asarray(np.square(value - t) <= q2 * c * room + 1e-15)

    return value, _end(value, -1.0, inside), _end(value, 1.0, inside)


def _discordant(first: Floats, second: Floats, t: Floats) -> Floats:
    """Most likely share of discordant episodes, of which ``first`` and ``second`` were measured, at difference t."""
    half = (first + second - (2 - (first - second)) * t) / 2
    only_second = (half + np.sqrt(np.maximum(0.0, np.square(half) + 2 * second * t * (1 - t)))) / 2
    return np.asarray(2 * only_second + t)


def _end(value: Floats, bound: float, inside: Callable[[Floats], Bools]) -> Floats:
    """Between ``value``, which is inside, and ``bound``, where the interval ends; by halving."""
    near, far = value, np.full_like(value, bound)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        held = inside(middle)
        near, far = np.where(held, middle, near), np.where(held, far, middle)
    return np.asarray(np.where(inside(np.full_like(value, bound)), bound, near))
