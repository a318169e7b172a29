"""Do intervals cover, does the gate raise false alarms, and how long do the estimators take? By simulation.

Parts: `coverage` of every interval, error rates of the regression `gate`, `speed` of all estimators at 57 tasks x 3
training seeds x 20 episodes with 2,000 resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench import stats
from bench.stats import Verdict
from benchmarks.coverage import Design, discordant, table
from benchmarks.output import Row, argument_parser, at_least, begin, names, publish, ratio_fields
from benchmarks.paired import Side, interleave, speedup, timed
from benchmarks.reference.statistics import probability_of_improvement as plain_improvement

SIZES = (20, 60, 200)  # episodes
CHANCES = (0.1, 0.5, 0.9)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Simulate or measure, and print; returns the rows."""
    parser = argument_parser(__doc__, blocks=4, calls=2)
    parser.add_argument("--parts", type=names, default=list(PARTS), help="comma list of coverage, gate, speed")
    parser.add_argument(
        "--sims", type=at_least(10), default=2000, help="simulated data sets; an eighth where each is resampled"
    )
    parser.add_argument(
        "--reps", type=at_least(10), default=300, help="resamples of each interval whose coverage is counted"
    )
    args = begin(parser, argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    return publish("statistics", [row for part in args.parts for row in PARTS[part](args)], args)


def _coverage(args: Any) -> list[Row]:
    found = table(args.sims, args.reps, SIZES, CHANCES)
    return [{"what": what, **design._asdict(), "coverage %": 100 * share} for what, design, share in found]


# ----------------------------------------------------------------------------------------------------- gate


def verdicts(design: Design, loss: float, sims: int, seed: int = 8) -> dict[Verdict, float]:
    """Share of each verdict over simulated comparisons in which all tasks lose ``loss``.

    Trainings are drawn anew for both sides, so ``seed_sd`` is noise that no code change made.
    """
    rng = np.random.default_rng(seed)
    pairs = discordant(rng, design.trained(rng, sims), design.trained(rng, sims) - loss, design.episodes)
    found = [stats.judge([(old, new, design.counts())])[0].verdict for old, new in zip(*pairs, strict=True)]
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
