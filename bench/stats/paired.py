"""Is the difference real? Tests of two policies, on matched episodes wherever there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.bootstrap import seed_variances
from bench.stats.intervals import Counts, Floats


class Paired(NamedTuple):
    """Outcome of two policies on the same N episodes."""

    n: int
    only_first: int  # episodes that the first alone solved
    only_second: int
    difference: float  # success of the first minus success of the second
    p: float | None  # two-sided exact McNemar; None where the outcomes are identical and there is nothing to test


class NonInferiority(NamedTuple):
    """Two one-sided tests of one difference."""

    difference: float  # success of the new policy minus success of the old, mean over tasks
    p_loss: float  # small: the new policy is worse
    p_margin: float  # small: it is not worse by the margin or more


@dataclass(frozen=True)
class PairedCells:
    """Discordant episodes ``[M, S]`` of two policies on M tasks and up to S training seeds, present seeds first."""

    only_first: Counts
    only_second: Counts
    n: Counts
    seeds: Counts  # [M] training seeds that each task has

    @classmethod
    def of(cls, only_first: npt.ArrayLike, only_second: npt.ArrayLike, episodes: npt.ArrayLike) -> PairedCells:
        """Check the counts and move missing seeds (0 episodes) to the end of each row.

        Raises:
            ValueError: if the shapes differ, a task has no episode, or a cell has more discordant pairs than episodes.
        """
        first, second, n = (np.atleast_2d(np.asarray(x, np.int64)) for x in (only_first, only_second, episodes))
        if not first.shape == second.shape == n.shape or n.size == 0 or not (n > 0).any(axis=1).all():
            raise ValueError(f"need counts [M, S] with episodes for every task, got {first.shape} and {n.shape}")
        if min(first.min(), second.min()) < 0 or (first + second > n).any():
            raise ValueError("need no more discordant pairs than episodes in every cell")
        order = np.argsort(n == 0, axis=1, kind="stable")
        first, second, n = (np.take_along_axis(x, order, axis=1) for x in (first, second, n))
        return cls(first, second, n, np.count_nonzero(n, axis=1))

    @property
    def difference(self) -> Floats:
        """``[M, S]`` success of the first less success of the second, 0 where there are no episodes."""
        return np.asarray((self.only_first - self.only_second) / np.maximum(self.n, 1))

    def mean(self) -> float:
        """Mean over tasks of the mean over training seeds."""
        return float((self.difference.sum(axis=1) / self.seeds).mean())

    def chances(self) -> tuple[Floats, Floats]:
        """``[M, S]`` chances that the first alone, or the second alone, solves an episode.

        One pair of each kind, spread over all cells, is added (Bonett and Price 2012), so that outcomes without any
        difference do not look certain.
        """
        extra = 1.0 / (len(self.n) * self.seeds[:, None])
        first, second = ((x + extra) / (self.n + 2 * extra) for x in (self.only_first, self.only_second))
        return first, second

    def variance(self) -> Floats:
        """``[M, S]`` variance of each difference due to its episodes, 0 where there are none."""
        first, second = self.chances()
        return np.where(self.n > 0, (first + second - np.square(first - second)) / np.maximum(self.n, 1), 0.0)


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> Paired:
    """Exact McNemar test on matched episodes: only those that one policy solved and the other did not count.

    Args:
        first: ``[N]`` outcomes of the first policy, true where it succeeded.
        second: ``[N]`` outcomes of the second on the same episodes, in the same order.

    Raises:
        ValueError: if the lengths differ or there is no episode.
    """
    a, b = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"need two outcomes for each of N episodes, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p = float(stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else None
    return Paired(a.size, only_a, only_b, (only_a - only_b) / a.size, p)


def mcnemar_loss(only_old: npt.ArrayLike, only_new: npt.ArrayLike) -> Floats:
    """One-sided exact McNemar p-values that the new policy is worse, of any shape; 1 without discordant pairs.

    Args:
        only_old: episodes that the old policy alone solved.
        only_new: episodes that the new policy alone solved, of the same shape.
    """
    old, new = np.asarray(only_old, np.int64), np.asarray(only_new, np.int64)
    return np.asarray(stats.binom.cdf(new, old + new, 0.5))


def boschloo(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided exact p-value of unmatched successes (k, n) of two policies (Boschloo 1970): published figures, say.

    Raises:
        ValueError: unless 0 <= k <= n and n >= 1 on both sides.
    """
    (k1, n1), (k2, n2) = first, second
    if not (0 <= k1 <= n1 and 0 <= k2 <= n2 and n1 and n2):
        raise ValueError(f"need 0 <= k <= n and n >= 1, got {first} and {second}")
    return float(stats.boschloo_exact([[k1, k2], [n1 - k1, n2 - k2]]).pvalue)


def sign_flip(differences: npt.ArrayLike, *, resamples: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value that two policies are alike over all tasks, by a permutation of signs.

    If they are, each cell (task, training seed) could as well show its difference with the other sign. Unlike McNemar's
    test this speaks of training the policies again: a cell is one observation, however many episodes it has. K cells
    cannot give less than 2 / 2**K.

    Args:
        differences: ``[M, S]`` difference of success per task and training seed, NaN where there is none.

    Raises:
        ValueError: if a task has no difference.
    """
    values = np.atleast_2d(np.asarray(differences, np.float64))
    seeds = np.count_nonzero(~np.isnan(values), axis=1)
    if not values.size or not seeds.all():
        raise ValueError("need a difference for every task")
    weighted = values / seeds[:, None]
    cells = weighted[~np.isnan(weighted)]
    cells = np.sort(cells if cells.sum() >= 0 else -cells)  # neither order nor direction must change the p-value
    if len(cells) < 2 or abs(cells.sum()) <= 1e-12 * np.abs(cells).sum():  # no sum can be nearer to zero
        return 1.0
    test = stats.permutation_test(
        (cells,), np.sum, permutation_type="samples", vectorized=True, n_resamples=resamples, rng=seed
    )
    return float(test.pvalue)


def noninferiority(
    only_old: npt.ArrayLike, only_new: npt.ArrayLike, episodes: npt.ArrayLike, margin: float = 0.05
) -> NonInferiority:
    """Has success been lost? Two one-sided tests of the paired mean difference over all tasks.

    ``p_loss`` is the larger of the exact McNemar p-value of all pairs and, so that the noise of training counts where
    there are several training seeds, that of a t-test with the variance of episodes and of seeds. ``p_margin`` is that
    t-test against a loss of the margin.

    Args:
        only_old: ``[M, S]`` matched episodes of each task and training seed that the old policy alone solved.
        only_new: ``[M, S]`` that the new policy alone solved.
        episodes: ``[M, S]`` matched episodes; 0 where a task lacks a training seed.
        margin: loss of success that is to be excluded, as a share of one.

    Raises:
        ValueError: if the counts do not fit each other or a task has no episode.
    """
    cells = PairedCells.of(only_new, only_old, episodes)
    tasks = len(cells.n)
    from_episodes, from_seeds, freedom = _variances(cells)
    difference = cells.mean()
    loss, within = (
        float(_t_cdf(d, from_episodes.sum() / tasks**2, from_seeds.sum() / tasks**2, freedom))
        for d in (difference, -difference - margin)
    )
    exact = float(mcnemar_loss(cells.only_second.sum(), cells.only_first.sum()))
    return NonInferiority(difference, max(exact, loss), within)


def loss_by_task(only_old: npt.ArrayLike, only_new: npt.ArrayLike, episodes: npt.ArrayLike) -> Floats:
    """P-values ``[M]`` that single tasks have lost success, as ``p_loss`` of `noninferiority`; not adjusted.

    How much trainings vary is learnt from all tasks together. Args and errors as there.
    """
    cells = PairedCells.of(only_new, only_old, episodes)
    from_episodes, from_seeds, freedom = _variances(cells)
    difference = cells.difference.sum(axis=1) / cells.seeds
    exact = mcnemar_loss(cells.only_second.sum(axis=1), cells.only_first.sum(axis=1))
    return np.maximum(exact, _t_cdf(difference, from_episodes, from_seeds, freedom))


def _variances(cells: PairedCells) -> tuple[Floats, Floats, int]:
    """Variance ``[M]`` of the tasks' differences due to episodes, that due to seeds, and degrees of freedom of it."""
    variance, seeds = cells.variance(), cells.seeds
    _, between = seed_variances(cells.difference, variance, seeds)
    return np.asarray(variance.sum(axis=1) / seeds**2), np.asarray(between / seeds), int((seeds - 1).sum())


def _t_cdf(value: npt.ArrayLike, from_episodes: npt.ArrayLike, from_seeds: npt.ArrayLike, freedom: int) -> Floats:
    """Chance of a lower value, if the true one is 0. Only the variance due to seeds is estimated from few numbers."""
    known, estimated = np.asarray(from_episodes), np.asarray(from_seeds)
    variance = known + estimated
    with np.errstate(divide="ignore"):
        welch = np.square(variance) / np.square(estimated) * freedom if freedom else np.inf  # Satterthwaite
    return np.asarray(stats.t.cdf(np.asarray(value) / np.sqrt(variance), welch))
