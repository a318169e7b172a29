"""How far the sampled actions of each variant spread, and what of the first variant's spread is left."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from scipy import stats

from bench.report.measures import Measures, groups, suite_title
from bench.report.table import Column, Table, Value, count, factor
from bench.stats import Estimate, geometric_ratio

WORDS = (
    "Root mean square deviation of the sampled actions over the policy's noise, in units of the action, at "
    "observations that the policy came to itself; geometric mean over tasks. *Of it*: the ratio over tasks of both, "
    "with its 95 % interval. A small spread is no fault where one way of acting is enough: see success, too."
)


def task_spreads(episodes: pd.DataFrame) -> Mapping[str, pd.Series]:
    """By variant, the root mean square over the episodes of each task; tasks where nobody looked are missing."""
    looked = episodes[episodes["action_spread"].notna()]
    squares = looked["action_spread"].astype(float) ** 2
    spreads = squares.groupby([looked["variant"], looked["task"]]).mean() ** 0.5
    return {str(variant): own.droplevel("variant") for variant, own in spreads.groupby(level="variant")}


def ratio(own: pd.Series, other: pd.Series) -> Estimate | float | None:
    """How much larger the spreads of one variant are than another's, over the tasks that both have.

    Without an interval where that is one task; None where there is none, or a spread of 0.
    """
    both = pd.concat([own, other], axis=1, join="inner").to_numpy()
    if not len(both) or not (both > 0).all():
        return None
    return geometric_ratio(*both.T) if len(both) > 1 else float(both[0, 0] / both[0, 1])


def table(measures: Measures) -> Table:
    """Each variant on each suite and difficulty group; no rows where the run has no spreads, as older ones."""
    columns = [
        Column("suite", "suite"), Column("group", "group"), Column("method", "method"), Column("tasks", "tasks", count),
        Column("spread", "spread", two_digits), Column("ratio", "of it", factor, interval=True),
        Column("against", "against"),
    ]  # fmt: skip
    spreads = task_spreads(measures.episodes)
    rows: list[Mapping[str, Value]] = []
    for group in groups(measures):
        own = {variant: found[found.index.isin(group.tasks)] for variant, found in spreads.items()}
        shown = [variant for variant in measures.ran if len(own.get(variant, ()))]
        rows += [
            {
                "suite": suite_title(group.suite), "group": group.difficulty.replace("_", " "), "method": variant,
                "tasks": len(own[variant]), "spread": float(stats.gmean(own[variant])),
                **({"ratio": ratio(own[variant], own[shown[0]]), "against": shown[0]} if variant != shown[0] else {}),
            }
            for variant in shown
        ]  # fmt: skip
    return Table("Action spread", columns, rows)


def two_digits(value: float) -> str:
    """Two significant digits."""
    return f"{value:#.2g}"
