"""The hierarchical bootstrap: training seeds within each task, then the episodes of each drawn seed.

Stratified by task: the tasks of a suite are the suite, no sample of one, so every resample keeps them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.stats.intervals import Counts, Floats, normal_quantile


@dataclass(frozen=True)
class Cells:
    """Success counts ``[M, S]`` of M tasks and up to S training seeds, those that a task has first in its row."""

    k: Counts
    n: Counts
    seeds: Counts  # [M] training seeds that each task has

    @classmethod
    def of(cls, successes: npt.ArrayLike, episodes: npt.ArrayLike) -> Cells:
        """Check the counts and move missing seeds (0 episodes) to the end of each row.

        Raises:
            ValueError: if the shapes differ, a task has no episode, or a cell has more successes than episodes.
        """
        k, n = np.atleast_2d(np.asarray(successes, np.int64)), np.atleast_2d(np.asarray(episodes, np.int64))
        if k.shape != n.shape or n.size == 0 or not (n > 0).any(axis=1).all():
            raise ValueError(f"need counts [M, S] with episodes for every task, got {k.shape} and {n.shape}")
        if (k < 0).any() or (k > n).any():
            raise ValueError("need 0 <= successes <= episodes in every cell")
        present_first = np.argsort(n == 0, axis=1, kind="stable")
        k, n = np.take_along_axis(k, present_first, axis=1), np.take_along_axis(n, present_first, axis=1)
        return cls(k, n, np.count_nonzero(n, axis=1))

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """``[M, S]`` true where there are episodes."""
        return np.arange(self.n.shape[1]) < self.seeds[:, None]

    @property
    def rate(self) -> Floats:
        """``[M, S]`` success rates, 0 where there are no episodes."""
        return np.asarray(self.k / np.maximum(self.n, 1))

    @property
    def chance(self) -> Floats:
        """``[M, S]`` rates with one success and one failure added, spread over all cells: never 0 or 1."""
        extra = 1.0 / (len(self.n) * self.seeds[:, None])
        return np.asarray((self.k + extra) / (self.n + 2 * extra))

    def variance(self) -> Floats:
        """``[M, S]`` variance of each rate due to its episodes, without bias; 0 where there are none."""
        return np.asarray(self.rate * (1 - self.rate) / np.maximum(self.n - 1, 1))

    def resampled_rates(self, reps: int, seed: int) -> Floats:
        """Success rates ``[reps, M, S]`` of cells drawn again; only the `used` entries mean anything.

        Outcomes are 0 or 1, so resampling n episodes of which k succeeded is a binomial draw, at the rate `chance`.

        A drawn seed brings along the noise of its episodes, and resampling S seeds shrinks their variance by
        (S - 1)/S: left alone, the interval would be too wide where seeds are alike and too narrow where they differ.
        So the deviations of the drawn seeds from the mean of their task are scaled to the variance between seeds that
        is left when that of the episodes is taken off (`seed_scale`).
        """
        rng = np.random.default_rng(seed)
        drawn = draw_seeds(rng, self.seeds, (reps, *self.n.shape))
        task = np.arange(len(self.n))[None, :, None]
        n, rate, chance = self.n[task, drawn], self.rate, self.chance[task, drawn]
        centre = (rate.sum(axis=1) / self.seeds)[:, None]
        scaled = centre + seed_scale(rate, self.variance(), self.seeds)[:, None] * (rate - centre)
        return np.asarray(rng.binomial(n, chance) / n - chance + scaled[task, drawn])


def draw_seeds(rng: np.random.Generator, seeds: Counts, shape: tuple[int, ...]) -> Counts:
    """Indices ``[..., M, S]`` of training seeds, drawn with replacement among the ``seeds [M]`` that a task has."""
    return np.floor(rng.random(shape) * seeds[:, None]).astype(np.int64)


def seed_scale(value: Floats, variance: Floats, seeds: Counts) -> Floats:
    """Factor ``[M]`` that gives resampled seed deviations the variance between training seeds.

    Args:
        value: ``[M, S]`` estimates per cell, 0 where a seed is missing.
        variance: ``[M, S]`` variance of each due to its episodes, 0 where a seed is missing.
        seeds: ``[M]`` training seeds per task.
    """
    observed, between = seed_variances(value, variance, seeds)
    share = between / observed if observed > 0 else 0.0
    return np.asarray(np.sqrt(share * seeds / np.maximum(seeds - 1, 1)))


def seed_variances(value: Floats, variance: Floats, seeds: Counts) -> tuple[float, float]:
    """Variance among the seeds of a task: as observed, and less that of the episodes (method of moments).

    Both are means over the tasks with two or more seeds, and 0 where there is none. Arguments as in `seed_scale`.
    """
    many = seeds > 1
    if not many.any():
        return 0.0, 0.0
    used = np.arange(value.shape[1]) < seeds[:, None]
    deviation = np.where(used, value - (value.sum(axis=1) / seeds)[:, None], 0.0)
    observed = float((np.square(deviation).sum(axis=1)[many] / (seeds[many] - 1)).mean())
    episodes = float((np.where(used, variance, 0.0).sum(axis=1)[many] / seeds[many]).mean())
    return observed, max(0.0, observed - episodes)


def student_quantile(from_episodes: float, from_seeds: float, freedom: int, confidence: float) -> float:
    """Half the width of an interval in standard errors: normal without training seeds, Student's as far as they count.

    The variance due to seeds is estimated with ``freedom`` degrees of freedom, which are divided by its share of all
    variance. Satterthwaite's rule, with the square of that share, takes the rest to be known, and covers up to half a
    point less in simulation: the rest is what was taken off the same estimate.
    """
    if from_seeds <= 0:
        return normal_quantile(confidence)
    # What scipy.stats.t.ppf calls, without its checks, which take longer than all else here.
    return float(special.stdtrit(freedom * (from_episodes + from_seeds) / from_seeds, 0.5 + confidence / 2.0))
