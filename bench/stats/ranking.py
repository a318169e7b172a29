"""Which policy is best, and which could be as good."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.stats.bootstrap import draw_seeds, seed_scale
from bench.stats.intervals import Bools, Estimate, Floats, normal_quantile, score_ends
from bench.stats.paired import mcnemar_loss

_DRAWN_AT_ONCE = 2_000_000  # episodes; bounds the memory


class Ranking(NamedTuple):
    """V policies on the same episodes."""

    success: Floats  # [V] mean over tasks of the mean over training seeds
    p_best: Floats  # [V] share of resamples in which each is best, ties shared out; sums to 1
    tied: Bools  # [V] true for the best, and for those not shown to be worse than it


def probability_of_improvement(first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Chance that a training of the first policy scores higher than one of the second, mean over tasks (Agarwal 2021).

    Ties count one half. The interval has the form of Wilson's, with the variance of the statistic (`improvement_ends`)
    in place of a share's. It needs half a dozen tasks: trainings of a single one are too few to know their variance by.

    Args:
        first: scores ``[M, S]`` of M tasks and S training seeds.
        second: scores ``[M, S']`` of the same tasks.

    Raises:
        ValueError: if the numbers of tasks differ or a side has fewer than two training seeds: one says nothing of how
            much trainings vary.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not len(a) or min(a.shape[1], b.shape[1]) < 2:
        raise ValueError(f"need scores [M, S] of the same tasks with two or more seeds, got {a.shape} and {b.shape}")
    value, low, high = improvement_ends(a, b, confidence)
    return Estimate(float(value), float(low), float(high))


def improvement_ends(first: Floats, second: Floats, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Value and ends ``[...]`` of `probability_of_improvement` for scores ``[..., M, S]`` and ``[..., M, S']``.

    The variance within each task is without bias: of the table of comparisons S x S', the mean squares of its rows and
    of its columns less that of what they leave, over S S' (the two-way random layout). It is 0 where one side wins all
    comparisons; that counts as one comparison per task and seed (Wilson's interval for so many), and what is near is
    no more certain than S S' independent comparisons per task, half a win and half a loss added.
    """
    a, b = first[..., :, None], second[..., None, :]
    wins = (a > b) + 0.5 * (a == b)  # [..., M, S, S']
    tasks, seeds, others = wins.shape[-3:]
    by_task = wins.mean(axis=(-2, -1), keepdims=True)
    rows, columns = wins.mean(axis=-1, keepdims=True), wins.mean(axis=-2, keepdims=True)
    left = np.square(wins - rows - columns + by_task).sum(axis=(-2, -1)) / ((seeds - 1) * (others - 1))
    among_rows = others * np.square(rows - by_task).sum(axis=(-2, -1)) / (seeds - 1)
    among_columns = seeds * np.square(columns - by_task).sum(axis=(-2, -1)) / (others - 1)
    pairs, fewest = tasks * seeds * others, tasks * min(seeds, others)
    variance = (among_rows + among_columns - left).sum(axis=-1) / (pairs * tasks)

    value = np.asarray(wins.mean(axis=(-3, -2, -1)))
    added = (value * fewest + 0.5) / (fewest + 1)
    share = value * (1 - value)
    certain = share == 0
    c = np.maximum(variance, added * (1 - added) / pairs) / np.where(certain, 1.0, share)
    q2 = normal_quantile(confidence) ** 2
    return value, *score_ends(value, np.where(certain, 1.0 / fewest, c), 0.0, q2)


def rank(outcomes: npt.ArrayLike, *, reps: int = 2000, seed: int = 0, level: float = 0.05) -> Ranking:
    """Rank policies that ran the same episodes, by a hierarchical bootstrap with common indices.

    A policy is tied with the best unless it is shown to be worse than some other: by Hsu's comparison with the best
    (1981; the highest of its deficits exceeds the 1 - ``level`` quantile of what that maximum varies by) and, as a
    bootstrap says nothing with few episodes, by McNemar's exact test at ``level`` too. So the truly best policy is
    marked with a chance of at least 1 - ``level``, however many are compared.

    Args:
        outcomes: ``[V, M, S, E]`` true where a policy solved the episode: M tasks, S training seeds, E episodes.

    Raises:
        ValueError: if there are no outcomes or more than 63 policies.
    """
    solved = np.asarray(outcomes, np.bool_)
    if solved.ndim != 4 or not solved.size or len(solved) > 63:
        raise ValueError(f"need outcomes [V, M, S, E] of 1 to 63 policies, got {solved.shape}")
    samples = _resampled_means(solved, reps, np.random.default_rng(seed))  # [R, V]
    success = solved.mean(axis=(1, 2, 3))
    highest = samples >= samples.max(axis=1, keepdims=True) - 1e-12
    p_best = (highest / highest.sum(axis=1, keepdims=True)).mean(axis=0)

    deficits = success[None, :] - success[:, None]  # [V, V]: what each lacks to each other
    drawn = samples[:, None, :] - samples[:, :, None] - deficits  # [R, V, V]
    limit = np.quantile(drawn.max(axis=2), 1.0 - level, axis=0)  # [V]
    best = int(success.argmax())
    only_best, only_own = (solved[best] & ~solved).sum(axis=(1, 2, 3)), (solved & ~solved[best]).sum(axis=(1, 2, 3))
    worse = (deficits.max(axis=1) > limit + 1e-12) & (mcnemar_loss(only_best, only_own) < level)
    return Ranking(success, p_best, ~worse)


def _resampled_means(solved: Bools, reps: int, rng: np.random.Generator) -> Floats:
    """Means ``[R, V]`` over tasks; all policies get the same seeds and episodes in a resample."""
    policies, tasks, seeds, episodes = solved.shape
    # One number per episode says who solved it. Sorted, so that the order of the episodes does not matter.
    bits = np.arange(policies, dtype=np.int64)
    codes = np.sort((solved.astype(np.int64) << bits[:, None, None, None]).sum(axis=0), axis=2)  # [M, S, E]
    rate = solved.mean(axis=3)  # [V, M, S]
    centre = rate.mean(axis=2, keepdims=True)
    scale = np.array([seed_scale(r, r * (1 - r) / max(episodes - 1, 1)) for r in rate])  # [V]
    scaled = centre + scale[:, None, None] * (rate - centre)  # [V, M, S]
    task = np.arange(tasks)[None, :, None]
    at_once = max(1, _DRAWN_AT_ONCE // codes.size)
    unbiased = np.sqrt(episodes / max(episodes - 1, 1))  # n episodes drawn again vary by (n - 1)/n too little
    samples = np.empty((reps, policies))
    for start in range(0, reps, at_once):
        size = min(at_once, reps - start)
        drawn = draw_seeds(rng, (size, tasks, seeds))
        picked = rng.integers(episodes, size=(size, tasks, seeds, episodes), dtype=np.uint16)
        who = codes[task[..., None], drawn[..., None], picked]  # [r, M, S, E]
        for v in bits:
            noise = ((who >> v) & 1).mean(axis=(1, 2, 3)) - rate[v][task, drawn].mean(axis=(1, 2))
            samples[start : start + size, v] = scaled[v][task, drawn].mean(axis=(1, 2)) + unbiased * noise
    return samples
