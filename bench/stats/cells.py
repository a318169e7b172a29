"""Success counts of cells (task, training seed), and how much wider an interval is because trainings differ.

Arrays may have axes in front of ``[M, S]``: many data sets at once, as simulations have them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.stats.intervals import Bools, Counts, Floats, normal_quantile


@dataclass(frozen=True)
class Cells:
    """Success counts ``[..., M, S]`` of M tasks and up to S training seeds; 0 episodes where there is no such cell."""

    k: Counts
    n: Counts  # [M, S]

    @classmethod
    def of(cls, successes: npt.ArrayLike, episodes: npt.ArrayLike) -> Cells:
        """Check the counts.

        Raises:
            ValueError: if the shapes differ, a task has no episode, or a cell has more successes than episodes.
        """
        k, n = np.atleast_2d(np.asarray(successes, np.int64)), np.atleast_2d(np.asarray(episodes, np.int64))
        if k.shape[-2:] != n.shape or n.ndim != 2 or n.size == 0 or not (n > 0).any(axis=1).all():
            raise ValueError(f"need counts [M, S] with episodes for every task, got {k.shape} and {n.shape}")
        if (k < 0).any() or (k > n).any():
            raise ValueError("need 0 <= successes <= episodes in every cell")
        return cls(k, n)

    @property
    def used(self) -> Bools:
        """``[M, S]`` true where there are episodes."""
        return np.asarray(self.n > 0)

    @property
    def weight(self) -> Floats:
        """``[M, S]`` what each cell counts in the mean over tasks of the mean over seeds; sums to 1."""
        return cell_weights(self.n)

    @property
    def rate(self) -> Floats:
        """``[..., M, S]`` success rates, 0 where there are no episodes."""
        return np.asarray(self.k / np.maximum(self.n, 1))

    @property
    def chance(self) -> Floats:
        """``[..., M, S]`` rates with one success and one failure added, spread over all cells: never 0 or 1."""
        return np.asarray((self.k + self.weight) / np.where(self.used, self.n + 2 * self.weight, 1.0))

    @property
    def variance(self) -> Floats:
        """``[..., M, S]`` variance of each rate due to its episodes, without bias; 0 where there are none."""
        return np.asarray(self.rate * (1 - self.rate) / np.maximum(self.n - 1, 1))

    @property
    def spread(self) -> Floats:
        """``[..., M, S]`` variance of one episode at `chance`, without bias: never 0 where there are episodes."""
        return np.asarray(self.chance * (1 - self.chance) * without_bias(self.n))


def cell_weights(n: Counts) -> Floats:
    """What each cell ``[M, S]`` counts in the mean over tasks of the mean over seeds."""
    used = n > 0
    return np.asarray(used / (len(n) * used.sum(axis=1, keepdims=True)))


def without_bias(n: Counts) -> Floats:
    """Factor n/(n - 1) of a variance estimated from n episodes; 1 for a single one."""
    return np.asarray(np.where(n > 1, n / np.maximum(n - 1, 1), 1.0))


def shrunk(rate: Floats, centre: Floats | float, noise: float, observed: float) -> Floats:
    """Measured rates drawn together about ``centre`` until their variance, ``observed``, lacks the ``noise`` in it.

    Measured rates spread further than true ones: resampled as they are, they would do so twice.
    """
    kept = max(0.0, 1.0 - noise / observed) if observed > 0 else 0.0
    return np.asarray(centre + np.sqrt(kept) * (rate - centre))


def widening(
    value: Floats, variance: Floats, expected: Floats, used: Bools, confidence: float
) -> tuple[Floats, Floats]:
    """How far an interval of a mean over tasks reaches when trainings may differ.

    Trainings of a task that differ are overdispersed: their estimates vary by a factor (pooled over tasks) more than
    their episodes explain (McCullagh and Nelder 1989, 4.5). The whole variance is estimated, with nothing taken off, so
    Student's quantile is right whether trainings differ or not. Its degrees of freedom are Satterthwaite's, with the
    ``expected`` variances of the tasks. Few trainings may agree by luck: the interval is never narrower than half of
    what it would be without trainings, with two trainings of one task never narrower at all, and equal to that where no
    cell has any variance to compare.

    Args:
        value: ``[..., M, S]`` estimates.
        variance: ``[..., M, S]`` variance of each due to its episodes, without bias.
        expected: ``[..., M, S]`` the same, never 0, up to a common factor.
        used: ``[M, S]`` where there are estimates.

    Returns:
        ``[...]`` squared half-width in units of the variance that episodes alone explain, and the overdispersion.
    """
    z2 = np.full(value.shape[:-2], normal_quantile(confidence) ** 2)
    seeds = used.sum(axis=1)
    many = seeds > 1
    if not many.any():
        return z2, np.ones_like(z2)
    value, variance, expected = (np.where(used, x, 0.0)[..., many, :] for x in (value, variance, expected))
    used, seeds = used[many], seeds[many]
    centre = value.sum(axis=-1, keepdims=True) / seeds[:, None]
    among = np.where(used, np.square(value - centre), 0.0).sum(axis=-1) / (seeds - 1)
    within = (variance.sum(axis=-1) / seeds).sum(axis=-1)
    known = within > 0
    factor = np.where(known, among.sum(axis=-1) / np.where(known, within, 1.0), 1.0)
    share = expected.sum(axis=-1) / seeds
    freedom = np.square(share.sum(axis=-1)) / (np.square(share) / (seeds - 1)).sum(axis=-1)
    student2 = np.square(stats.t.ppf(0.5 + confidence / 2.0, freedom))
    least = np.where(freedom < 1.5, z2, z2 / 4.0)
    return np.where(known, np.maximum(factor * student2, least), z2), factor
