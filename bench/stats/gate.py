"""The regression gate: has a new version lost success, on the episodes that the old one ran?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy.typing as npt

from bench.stats.intervals import Bools
from bench.stats.multiple import holm
from bench.stats.paired import PairedCells, loss_by_task, noninferiority

MARGIN = 0.05
"""A loss of mean success that would matter, as a share of one."""
ALPHA = 0.01
"""Chance of any false alarm in a comparison, however many groups it has."""


class Verdict(StrEnum):
    """What the evidence says of success."""

    REGRESSION = "regression"  # success was lost
    NOT_WORSE = "not worse"  # a loss of the margin or more is excluded
    IDENTICAL = "identical"  # every episode ended as before
    UNDECIDED = "undecided"  # neither a loss nor its absence is shown: too few episodes


class Judgement(NamedTuple):
    """One group of tasks, judged."""

    verdict: Verdict
    p_loss: float  # that the mean was lost, adjusted for all groups (Holm)
    p_margin: float  # that the loss is smaller than the margin
    lost: Bools  # [M] tasks that lost success on their own, adjusted for all tasks of all groups (Holm)


def judge(
    groups: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> list[Judgement]:
    """Judge all groups of a comparison together.

    A group has regressed if its mean success was lost (`noninferiority`: ``p_loss``, Holm over groups, below half of
    ``alpha``) and a loss of the margin cannot be excluded, or if single tasks lost more than the margin
    (`loss_by_task`, Holm over all tasks, below a quarter: so far out in the tails
    trainings need not be normal, and in simulation twice that comes out). Absence of evidence is no alarm: it is
    `Verdict.UNDECIDED`.

    Args:
        groups: for each, counts ``[M, S]`` of matched episodes that the old version alone solved, that the new alone
            solved, and of all; 0 episodes where a task lacks a training seed.
        margin: a loss that would matter, as a share of one.
        alpha: chance of a false alarm over all groups.

    Raises:
        ValueError: if the counts of a group do not fit each other or a task has no episode.
    """
    cells = [PairedCells.of(*group) for group in groups]
    tests = [noninferiority(c.only_first, c.only_second, c.n, margin) for c in cells]
    p_loss = holm([test.p_loss for test in tests])
    p_task = holm([p for c in cells for p in loss_by_task(c.only_first, c.only_second, c.n)])
    found, start = [], 0
    for i, (test, own) in enumerate(zip(tests, cells, strict=True)):
        by_task = own.difference.sum(axis=1) / own.seeds
        lost = (p_task[start : start + len(by_task)] < alpha / 4) & (by_task > margin)
        start += len(by_task)
        excluded = test.p_margin < alpha
        if not (own.only_first.any() or own.only_second.any()):
            verdict = Verdict.IDENTICAL
        elif lost.any() or (p_loss[i] < alpha / 2 and not excluded):
            verdict = Verdict.REGRESSION
        else:
            verdict = Verdict.NOT_WORSE if excluded else Verdict.UNDECIDED
        found.append(Judgement(verdict, float(p_loss[i]), test.p_margin, lost))
    return found
