"""Do intervals cover, does the gate raise false alarms, and how long do the estimators take? By simulation.

Parts: `coverage` of every interval, error rates of the regression `gate`, `speed` of all estimators at 57 tasks x 3
training seeds x 20 episodes with 2,000 resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from bench import stats
from bench.stats import Estimate, Verdict
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish, ratio_fields
from benchmarks.paired import Side, interleave, speedup, timed
from benchmarks.reference.statistics import probability_of_improvement as plain_improvement

SIZES = (20, 60, 200)  # episodes
CHANCES = (0.1, 0.5, 0.9)


class Design(NamedTuple):
    """What is simulated: tasks of equal size whose success differs by up to ``spread`` from ``p``."""

    p: float
    episodes: int
    tasks: int = 6
    seeds: int = 1
    seed_sd: float = 0.0  # standard deviation of success among trainings of one task
    spread: float = 0.05

    def chances(self) -> np.ndarray:
        """True success ``[M]``, mean over trainings."""
        return np.asarray(self.p + self.spread * np.linspace(-1, 1, self.tasks) * (self.tasks > 1))

    def trained(self, rng: np.random.Generator, sims: int) -> np.ndarray:
        """True success ``[sims, M, S]`` of single trainings."""
        return self.chances()[:, None] + self.seed_sd * rng.uniform(-(3**0.5), 3**0.5, (sims, self.tasks, self.seeds))

    def draw(self, rng: np.random.Generator, sims: int) -> np.ndarray:
        """Success counts ``[sims, M, S]``."""
        return rng.binomial(self.episodes, self.trained(rng, sims))


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Simulate or measure, and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=4, calls=2)
    parser.add_argument("--parts", type=names, default=list(PARTS), help="comma list of coverage, gate, speed")
    parser.add_argument("--sims", type=at_least(10), default=2000, help="simulated data sets")
    parser.add_argument(
        "--reps", type=at_least(10), default=1000, help="resamples of each interval whose coverage is counted"
    )
    args = begin(parser, argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    return publish("statistics", [row for part in args.parts for row in PARTS[part](args)], args)


# ------------------------------------------------------------------------------------------------- coverage


def exact_coverage(interval: Callable[[int, int], Estimate], n: int, p: float) -> float:
    """Of an interval for one share: summed over all counts that can come out, no simulation needed."""
    covers = [e.low <= p <= e.high for e in (interval(k, n) for k in range(n + 1))]
    return float(scipy_stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum())


def coverage(estimate: Callable[..., Estimate], draws: Sequence[Any], truth: float) -> float:
    """Share of simulated data sets whose interval holds the truth."""
    ends = np.array([(e.low, e.high) for e in (estimate(draw) for draw in draws)])
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())


def mean_coverage(design: Design, sims: int) -> float:
    """Of `mean_success`."""
    draws = design.draw(np.random.default_rng(1), sims)
    n = np.full(draws.shape[1:], design.episodes)
    return coverage(lambda k: stats.mean_success(k, n), list(draws), float(design.chances().mean()))


def iqm_coverage(design: Design, sims: int, reps: int = 1000) -> float:
    """Of `iqm_success`, for the interquartile mean that so many episodes have on average."""
    rng = np.random.default_rng(2)
    rates = design.draw(rng, 20_000).reshape(20_000, -1) / design.episodes
    truth = float(scipy_stats.trim_mean(rates, 0.25, axis=1).mean())
    draws = design.draw(rng, sims)
    n = np.full(draws.shape[1:], design.episodes)
    return coverage(lambda k: stats.iqm_success(k, n, reps=reps), list(draws), truth)


def difference_coverage(design: Design, sims: int) -> float:
    """Of `mean_difference`, for a second policy that is 5 points off and often meets the same luck."""
    rng = np.random.default_rng(3)
    n = np.full((design.tasks, design.seeds), design.episodes)
    truth = 0.05 if design.p >= 0.5 else -0.05
    pairs = discordant(rng, design.trained(rng, sims), design.trained(rng, sims) - truth, design.episodes)
    return coverage(lambda d: stats.mean_difference(*d, n), list(pairs), truth)


def discordant(rng: np.random.Generator, first: np.ndarray, second: np.ndarray, episodes: int) -> np.ndarray:
    """Episodes ``[sims, 2, M, S]`` that one of two policies alone solves, at true success ``[sims, M, S]``.

    In every other episode, by chance, both meet the same luck; else each has its own.
    """
    shape = (*first.shape, episodes)
    luck = rng.random(shape)
    other = np.where(rng.random(shape) < 0.5, luck, rng.random(shape))
    a, b = luck < first[..., None], other < second[..., None]
    return np.stack([(a & ~b).sum(axis=3), (b & ~a).sum(axis=3)], axis=1)


def improvement_coverage(design: Design, sims: int, reps: int = 1000) -> float:
    """Of `probability_of_improvement` between two policies that are alike: 1/2."""
    rng = np.random.default_rng(4)
    scores = [design.draw(rng, sims) / design.episodes for _ in range(2)]
    return coverage(lambda ab: stats.probability_of_improvement(*ab, reps=reps), list(zip(*scores, strict=True)), 0.5)


def median_coverage(episodes: int, sims: int) -> float:
    """Of the median of `time_to_success` where 8 of 10 episodes succeed: the 5/8 quantile of times of those."""
    rng = np.random.default_rng(5)
    steps = np.where(rng.random((sims, episodes)) < 0.8, rng.gamma(4.0, 10.0, (sims, episodes)), np.inf)
    truth = float(scipy_stats.gamma.ppf(0.5 / 0.8, 4.0, scale=10.0))
    return coverage(lambda s: stats.time_to_success(s).median, list(steps), truth)


def ratio_coverage(sims: int, blocks: int = 16, calls: int = 20, reps: int = 300) -> float:
    """Of `ratio_of_medians` under drift that both sides share."""
    rng = np.random.default_rng(6)
    drift = 1 + 0.2 * rng.random((sims, 1, blocks, 1))
    times = np.array([10.0, 2.0])[:, None, None] * drift * (1 + 0.1 * rng.exponential(size=(sims, 2, blocks, calls)))
    return coverage(lambda t: stats.ratio_of_medians(*t, reps=reps), list(times), 5.0)


def best_is_marked(design: Design, sims: int, policies: int = 4, reps: int = 500) -> float:
    """How often `rank` marks a policy that is as good as all others; the share is to be 95 % or more."""
    rng = np.random.default_rng(7)
    p = design.trained(rng, sims * policies).reshape(sims, policies, design.tasks, design.seeds, 1)
    shape = (sims, policies, design.tasks, design.seeds, design.episodes)
    return float(np.mean([stats.rank(outcomes, reps=reps).tied[0] for outcomes in list(rng.random(shape) < p)]))


def _coverage(args: Any) -> list[Row]:
    rows: list[Row] = []

    def add(what: str, design: Design, share: float) -> None:
        rows.append({"what": what, **design._asdict(), "coverage %": 100 * share})

    for n in SIZES:
        for p in CHANCES:
            one = Design(p, n, tasks=1)
            for interval in (stats.wilson, stats.clopper_pearson, stats.jeffreys):
                add(interval.__name__, one, exact_coverage(interval, n, p))
            add("mean_difference", one, difference_coverage(one, args.sims))
            for design in (Design(p, n), Design(p, n, seeds=3), Design(p, n, seeds=3, seed_sd=0.02)):
                add("mean_success", design, mean_coverage(design, args.sims))
                add("iqm_success", design, iqm_coverage(design, args.sims, args.reps))
                add("mean_difference", design, difference_coverage(design, args.sims))
            design = Design(p, n, tasks=57, seeds=3)
            add("probability_of_improvement", design, improvement_coverage(design, args.sims, args.reps))
            add("rank, best is marked", Design(p, n), best_is_marked(Design(p, n), args.sims, reps=args.reps))
        add("time_to_success, median", Design(0.8, n, tasks=1), median_coverage(n, args.sims))
    for seeds, seed_sd in ((3, 0.1), (5, 0.1)):
        design = Design(0.5, 200, tasks=1, seeds=seeds, seed_sd=seed_sd)
        add("mean_success", design, mean_coverage(design, args.sims))
    rows.append({"what": "ratio_of_medians, 16 x 20", "coverage %": 100 * ratio_coverage(args.sims, reps=args.reps)})
    return rows


# ----------------------------------------------------------------------------------------------------- gate


def verdicts(design: Design, loss: float, sims: int, seed: int = 8) -> dict[Verdict, float]:
    """Share of each verdict over simulated comparisons in which all tasks lose ``loss``.

    Trainings are drawn anew for both sides, so ``seed_sd`` is noise that no code change made.
    """
    rng = np.random.default_rng(seed)
    n = np.full((design.tasks, design.seeds), design.episodes)
    pairs = discordant(rng, design.trained(rng, sims), design.trained(rng, sims) - loss, design.episodes)
    found = [stats.judge([(old, new, n)])[0].verdict for old, new in pairs]
    return {verdict: found.count(verdict) / sims for verdict in Verdict}


def _gate(args: Any) -> list[Row]:
    suite = Design(0.7, 20, tasks=57, spread=0.15)
    designs = [suite, suite._replace(tasks=6), suite._replace(seeds=3), suite._replace(seeds=3, seed_sd=0.08)]
    return [
        {
            "loss, points": 100 * loss, **design._asdict(),
            **{f"{verdict} %": 100 * share for verdict, share in verdicts(design, loss, args.sims).items()},
        }
        for design in designs
        for loss in (0.0, 0.025, 0.05, 0.1, 0.15)
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------- speed


def _speed(args: Any) -> list[Row]:
    rng = np.random.default_rng(0)
    k, other = (rng.binomial(20, p, (57, 3)) for p in (0.75, 0.7))
    n = np.full(k.shape, 20)
    only = rng.binomial(20, 0.15, (2, 57, 3)) // 2
    outcomes = rng.random((4, 57, 3, 20)) < 0.7
    sides: dict[str, Side] = {
        "mean_success": timed(lambda: stats.mean_success(k, n)),
        "iqm_success": timed(lambda: stats.iqm_success(k, n)),
        "mean_difference": timed(lambda: stats.mean_difference(*only, n)),
        "sign_flip": timed(lambda: stats.sign_flip((only[0] - only[1]) / n)),
        "noninferiority": timed(lambda: stats.noninferiority(*only, n)),
        "rank, 4 policies": timed(lambda: stats.rank(outcomes)),
        "probability_of_improvement": timed(lambda: stats.probability_of_improvement(k, other)),
    }
    few = 4  # resamples of the plain loop: its time is per resample
    plain = timed(partial(plain_improvement, k, other, reps=few), per=few)
    times = interleave({**sides, "plain": plain}, args.blocks, args.calls)
    times["plain"] = 2000 * times["plain"]
    rows: list[Row] = [{"what": name, "ms": 1e3 * float(np.median(times[name]))} for name in sides]
    ratio = ratio_fields(speedup(times["plain"], times["probability_of_improvement"]), 500)
    rows[-1] = {**rows[-1], "reference": "a test per task and resample", **ratio}
    return rows


PARTS: dict[str, Callable[[Any], list[Row]]] = {"coverage": _coverage, "gate": _gate, "speed": _speed}

if __name__ == "__main__":
    main()
