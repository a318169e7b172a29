"""Coverage of every 95 % interval of `bench.stats`: summed up exactly where that can be done, else simulated.

Simulations are arrays of many data sets: those that draw no resamples cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from bench import stats
from bench.stats import Estimate
from bench.stats.aggregates import mean_ends
from bench.stats.cells import Cells
from bench.stats.difference import difference_ends
from bench.stats.ranking import improvement_ends

Array = np.ndarray


class Design(NamedTuple):
    """What is simulated: tasks of equal size whose success differs by up to ``spread`` from ``p``."""

    p: float
    episodes: int
    tasks: int = 6
    seeds: int = 1
    seed_sd: float = 0.0  # standard deviation of success among trainings of one task
    spread: float = 0.05

    def chances(self) -> Array:
        """True success ``[M]``, mean over trainings."""
        return np.asarray(self.p + self.spread * np.linspace(-1, 1, self.tasks) * (self.tasks > 1))

    def trained(self, rng: np.random.Generator, sims: int) -> Array:
        """True success ``[sims, M, S]`` of single trainings, Beta distributed."""
        mean, shape = self.chances()[:, None], (sims, self.tasks, self.seeds)
        if self.seed_sd == 0:
            return np.broadcast_to(mean, shape)
        size = mean * (1 - mean) / self.seed_sd**2 - 1
        return rng.beta(mean * size, (1 - mean) * size, shape)

    def draw(self, rng: np.random.Generator, sims: int) -> Array:
        """Success counts ``[sims, M, S]``."""
        return rng.binomial(self.episodes, self.trained(rng, sims))

    def counts(self) -> Array:
        """Episodes ``[M, S]``."""
        return np.full((self.tasks, self.seeds), self.episodes)


def designs(n: int, p: float) -> list[Design]:
    """Tasks and trainings for which coverage of means and differences is measured."""
    seeds = [Design(p, n, tasks=t, seeds=3, seed_sd=sd) for t, sd in ((1, 0), (1, 0.05), (6, 0), (6, 0.02), (57, 0.02))]
    return [Design(p, n, tasks=1), Design(p, n), Design(p, n, tasks=57), *seeds]


def near_one(n: int) -> list[Design]:
    """Success where the best evaluations often, or always, succeed throughout."""
    alone = [Design(p, n, tasks=tasks, spread=1 - p) for p in (0.97, 1.0) for tasks in (1, 6, 57)]
    return [*alone, Design(0.97, n, seeds=3, spread=0.03)]


def share_inside(low: Array, high: Array, truth: float) -> float:
    """Share of intervals that hold the truth."""
    return float(((low <= truth) & (truth <= high)).mean())


def looped(estimate: Callable[[Any], Estimate], draws: Sequence[Any], truth: float) -> float:
    """The same for an estimator that takes one data set at a time."""
    ends = np.array([estimate(draw)[1:] for draw in draws])
    return share_inside(ends[:, 0], ends[:, 1], truth)


def exact_coverage(interval: Callable[[int, int], Estimate], n: int, p: float) -> float:
    """Of an interval for one share: summed over all counts that can come out."""
    covers = [e.low <= p <= e.high for e in (interval(k, n) for k in range(n + 1))]
    return float(scipy_stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum())


def mean_coverage(design: Design, sims: int) -> float:
    """Of `mean_success`."""
    draws = design.draw(np.random.default_rng(1), sims)
    return share_inside(*mean_ends(Cells.of(draws, design.counts()))[1:], float(design.chances().mean()))


def iqm_coverage(design: Design, sims: int, reps: int) -> float:
    """Of `iqm_success`, for the interquartile mean that so many episodes have on average."""
    rng = np.random.default_rng(2)
    rates = design.draw(rng, 20_000).reshape(20_000, -1) / design.episodes
    truth = float(scipy_stats.trim_mean(rates, 0.25, axis=1).mean())
    return looped(lambda k: stats.iqm_success(k, design.counts(), reps=reps), list(design.draw(rng, sims)), truth)


def gain(design: Design) -> float:
    """True difference of two policies in the simulations: 5 points, towards 1/2."""
    return 0.05 if design.p >= 0.5 else -0.05


def difference_coverage(design: Design, sims: int) -> float:
    """Of `mean_difference`; the second policy is 5 points off, and often meets the same luck."""
    rng = np.random.default_rng(3)
    first, second = discordant(
        rng, design.trained(rng, sims), design.trained(rng, sims) - gain(design), design.episodes
    )
    return share_inside(*difference_ends(first, second, design.counts())[1:], gain(design))


def discordant_chances(first: Array, second: Array) -> tuple[Array, Array]:
    """Chances that one of two policies alone solves an episode, at true success of any shape.

    In every other episode, by chance, both meet the same luck; else each has its own.
    """
    a, b = np.clip(first, 0, 1), np.clip(second, 0, 1)
    alone = (np.maximum(a - b, 0) + a * (1 - b)) / 2, (np.maximum(b - a, 0) + b * (1 - a)) / 2
    return np.asarray(alone[0]), np.asarray(alone[1])


def discordant(rng: np.random.Generator, first: Array, second: Array, episodes: int) -> tuple[Array, Array]:
    """Episodes that one of two policies alone solves (`discordant_chances`), of any shape."""
    only_first, only_second = discordant_chances(first, second)
    drawn = rng.binomial(episodes, only_first)
    return drawn, rng.binomial(episodes - drawn, only_second / np.maximum(1 - only_first, 1e-12))


def exact_difference(p: float, n: int) -> tuple[Array, Array, Array]:
    """All discordant counts of one checkpoint on one task, and their chances (designs as in `difference_coverage`)."""
    b, c = (x[np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n] for x in np.indices((n + 1, n + 1)))
    alone = discordant_chances(np.array(p), np.array(p - gain(Design(p, n))))
    chances = [*alone, 1 - alone[0] - alone[1]]
    return b, c, scipy_stats.multinomial.pmf(np.stack([b, c, n - b - c], axis=1), n, chances)


def exact_difference_coverage(p: float, n: int) -> float:
    """Of `mean_difference` for one checkpoint on one task: summed over all counts that can come out."""
    b, c, chance = exact_difference(p, n)
    _, low, high = difference_ends(b[:, None, None], c[:, None, None], np.array([[n]]))
    truth = gain(Design(p, n))
    return float(chance[(low <= truth) & (truth <= high)].sum())


def within_reach(p: float, n: int) -> Array:
    """Every coverage that an interval can have whose ends follow from n and b - c alone, rising with it.

    b and c are the discordant episodes of one checkpoint on one task. Such an interval holds the truth for a run of
    values of b - c, so its coverage is the chance of one of these runs. Runs that miss one side in more than 5 % are
    left out.
    """
    b, c, chance = exact_difference(p, n)
    below = np.concatenate([[0.0], np.bincount(b - c + n, chance).cumsum()])
    runs = below[None, below >= 0.95] - below[below <= 0.05, None]
    return np.unique(runs)


def improvement_coverage(design: Design, sims: int, behind: float = 0.0) -> float:
    """Of `probability_of_improvement`; the second policy is ``behind``, towards 1/2."""
    rng = np.random.default_rng(4)
    other = design._replace(p=design.p - behind if design.p >= 0.5 else design.p + behind)
    x, n = np.arange(design.episodes + 1)[:, None], design.episodes
    a, b = (scipy_stats.binom.pmf(x, n, side.chances()) for side in (design, other))  # [n + 1, M]
    truth = float((a * (b.cumsum(axis=0) - b / 2)).sum(axis=0).mean())
    ends = improvement_ends(*(side.draw(rng, sims) for side in (design, other)))[1:]
    return share_inside(*ends, truth)


def median_coverage(episodes: int) -> float:
    """Of the median of `time_to_success`, where more than half of the episodes succeed and times do not repeat.

    Exact, whatever the times: the interval reaches from one order statistic to another, and the number of episodes
    below the true median is Binomial(n, 1/2).
    """
    _, low, high = stats.time_to_success(np.arange(1, episodes + 1)).median
    return float(np.diff(scipy_stats.binom.cdf([low - 1, high - 1], episodes, 0.5))[0])


def ratio_coverage(sims: int, blocks: int = 16, calls: int = 20, reps: int = 300) -> float:
    """Of `ratio_of_medians` under drift that both sides share."""
    rng = np.random.default_rng(6)
    drift = 1 + 0.2 * rng.random((sims, 1, blocks, 1))
    times = np.array([10.0, 2.0])[:, None, None] * drift * (1 + 0.1 * rng.exponential(size=(sims, 2, blocks, calls)))
    return looped(lambda t: stats.ratio_of_medians(*t, reps=reps), list(times), 5.0)


def runs_coverage(sims: int, blocks: int = 16) -> float:
    """Of `ratio_between_runs`, two runs of the same speed."""
    times = 10.0 * np.exp(0.05 * np.random.default_rng(0).standard_normal((sims, 2, blocks)))
    return looped(lambda t: stats.ratio_between_runs(t[:1], t[1:]).ratio, list(times), 1.0)


def spread_coverage(sims: int, tasks: int) -> float:
    """Of `geometric_ratio`, two methods alike but for a factor that differs from task to task."""
    first, second = np.exp(np.random.default_rng(11).normal(0.0, 0.3, (2, sims, tasks)))
    return looped(lambda pair: stats.geometric_ratio(*pair), list(np.stack([first, second], axis=1)), 1.0)


def best_five_coverage(design: Design, sims: int, reps: int, evaluations: int = 15) -> float:
    """Of `best_evaluations`, for what the same selection gives on average."""
    rng = np.random.default_rng(9)
    truth = float(np.mean([stats.paper_top5(p, episodes=design.episodes).expected for p in design.chances()]))
    shape = (sims, design.tasks * design.seeds, evaluations)
    k = rng.binomial(design.episodes, np.repeat(design.chances(), design.seeds)[:, None], shape)
    n, task = np.full(shape[1:], design.episodes), np.repeat(np.arange(design.tasks), design.seeds)
    return looped(lambda own: stats.best_evaluations(own, n, task, reps=reps), list(k), truth)


def best_is_marked(design: Design, sims: int, policies: int = 4, reps: int = 500) -> float:
    """How often `rank` marks a policy that is as good as all others; the share is to be 95 % or more."""
    rng = np.random.default_rng(7)
    p = design.trained(rng, sims * policies).reshape(sims, policies, design.tasks, design.seeds, 1)
    shape = (sims, policies, design.tasks, design.seeds, design.episodes)
    return float(np.mean([stats.rank(outcomes, reps=reps).tied[0] for outcomes in list(rng.random(shape) < p)]))


def table(sims: int, reps: int, sizes: Sequence[int], chances: Sequence[float]) -> Iterator[tuple[str, Design, float]]:
    """Every interval: its name, the design, its coverage. An eighth of ``sims`` where each needs resamples."""
    few = max(10, sims // 8)
    for n in sizes:
        for p in chances:
            one = Design(p, n, tasks=1)
            for interval in (stats.wilson, stats.jeffreys, stats.clopper_pearson):
                yield interval.__name__, one, exact_coverage(interval, n, p)
            for design in designs(n, p):
                yield "mean_success", design, mean_coverage(design, sims)
                alone = design.tasks == design.seeds == 1
                share = exact_difference_coverage(p, n) if alone else difference_coverage(design, sims)
                yield "mean_difference", design, share
            for design in (Design(p, n), Design(p, n, seeds=3), Design(p, n, seeds=3, seed_sd=0.02)):
                yield "iqm_success", design, iqm_coverage(design, few, reps)
            for tasks, behind in ((6, 0.0), (57, 0.0), (57, 0.02)):
                design = Design(p, n, tasks=tasks, seeds=3)
                name = "probability_of_improvement" + (", 2 points" if behind else "")
                yield name, design, improvement_coverage(design, sims, behind)
            for design in (Design(p, n), Design(p, n, seeds=3)):
                yield "best_evaluations", design, best_five_coverage(design, few, reps)
            yield "rank, best is marked", Design(p, n), best_is_marked(Design(p, n), few, reps=reps)
        for design in near_one(n):
            yield "best_evaluations", design, best_five_coverage(design, few, reps)
        yield "time_to_success, median", Design(0.8, n, tasks=1), median_coverage(n)
    for seeds in (2, 3, 5):
        for n in sizes:
            design = Design(0.5, n, tasks=1, seeds=seeds, seed_sd=0.1)
            yield "mean_success", design, mean_coverage(design, sims)
    for tasks in (3, 50):
        yield f"geometric_ratio, {tasks} tasks", Design(0, 0, 0), spread_coverage(sims, tasks)
    yield "ratio_of_medians, 16 x 20", Design(0, 0, 0), ratio_coverage(few, reps=reps)
    yield "ratio_between_runs, 16 blocks", Design(0, 0, 0), runs_coverage(few)
