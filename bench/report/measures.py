"""From the records of a run to the numbers of the report: success and latency of every cell, and of groups of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.clocks import CLOCKS
from bench.interfaces import UserError
from bench.latency_figures import throttled
from bench.stats import Estimate, iqm_success, mean_success, optimality_gap, rank
from bench.store import Run

Counts = npt.NDArray[np.int64]
CELL = ["task", "variant", "training_seed"]
ALL, EVERY_SUITE = "all", "all suites"
DIFFICULTIES = ("easy", "medium", "hard", "very_hard")
SUITE_TITLES = {"dexart": "DexArt (MuJoCo port)"}
"""Suites whose id could be taken for that of a published benchmark with other figures."""


def suite_title(suite: str) -> str:
    """What tables and pictures call a suite."""
    return SUITE_TITLES.get(suite, suite)


@dataclass(frozen=True)
class Measures:
    """What all tables and figures of a report are made from."""

    variants: list[str]  # in the order asked for, then those that were only timed
    episodes: pd.DataFrame  # one row per episode, with ``success``
    cells: pd.DataFrame  # one row per CELL with episodes: suite, difficulty, k, n, errors, checkpoint
    timings: pd.DataFrame  # the last per CELL, device and mode, with ``same_model``, ``<clock>_p50``, ``<clock>_p90``
    latency: pd.DataFrame  # those of one device and mode: the headline
    missing: list[tuple[str, str, int, str]]  # task, variant, training seed, what is missing

    @property
    def ran(self) -> list[str]:
        """The variants with episodes."""
        found = set(self.cells["variant"])
        return [variant for variant in self.variants if variant in found]


@dataclass(frozen=True)
class Group:
    """Tasks that are averaged: a suite, or those of one difficulty in it."""

    suite: str
    difficulty: str  # ALL or a difficulty
    tasks: list[str]

    @property
    def label(self) -> str:
        """For people: ``metaworld, very hard``."""
        suite = suite_title(self.suite)
        return suite if self.difficulty == ALL else f"{suite}, {self.difficulty.replace('_', ' ')}"


@dataclass(frozen=True)
class GroupLatency:
    """Latency of a variant over the tasks of a group."""

    tasks: int
    p50: Mapping[str, float]  # by clock, ms: median over the cells
    p90: Mapping[str, float | None]
    speedup: Mapping[str, Estimate]  # by clock; empty where none may be shown
    common: Mapping[str, Any]  # NFE, parameters and reference where all cells share them, else None
    notes: list[str]


def measure(run: Run) -> Measures:
    """Count successes and match latencies with them. Raises `UserError` where an episode is recorded twice."""
    episodes = with_success(run.episodes)
    cells = count_successes(episodes)
    timings = _timings(run.latency, cells)
    asked = list(run.manifest["spec"]["methods"])
    found = [*cells["variant"], *timings["variant"]]
    variants = [*asked, *sorted(set(found) - set(asked))]
    spec = run.manifest["spec"]
    missing = _missing(spec, cells)
    if spec.get("control_hz"):
        late = _missing(spec, count_successes(run.realtime, "realtime"))
        missing += [(task, variant, seed, f"in real time: {what}") for task, variant, seed, what in late]
    return Measures(variants, episodes, cells, timings, _headline(timings), missing)


def count_successes(episodes: pd.DataFrame, file: str = "episodes") -> pd.DataFrame:
    """One row per CELL of the episodes. Raises `UserError` where an episode is recorded twice in ``file``."""
    cells = (
        with_success(episodes, file)
        .sort_values([*CELL, "episode"])
        .groupby(["suite", *CELL], sort=True)
        .agg(
            difficulty=("difficulty", "first"),
            k=("success", "sum"),
            n=("success", "size"),
            errors=("error", "count"),
            checkpoint=("checkpoint", "first"),
        )
        .reset_index()
    )
    cells["difficulty"] = cells["difficulty"].astype(object).where(cells["difficulty"].notna(), None)
    return cells


def groups(measures: Measures) -> list[Group]:
    """Every suite, each followed by its difficulty groups where it has several; then all suites, if more than one.

    A suite counts the tasks that were asked for; tasks without any record have no known difficulty.
    """
    difficulty = measures.cells.set_index("task")["difficulty"].to_dict()
    by_suite: dict[str, set[str]] = {}
    for task in [*measures.cells["task"], *measures.latency["task"], *(task for task, *_ in measures.missing)]:
        by_suite.setdefault(task.split("/")[0], set()).add(task)
    found = []
    for suite in sorted(by_suite):
        names = sorted(by_suite[suite])
        parts = [Group(suite, d, own) for d in DIFFICULTIES if (own := [t for t in names if difficulty.get(t) == d])]
        found += [Group(suite, ALL, names), *(parts if len(parts) > 1 else [])]
    if len(by_suite) > 1:
        found.append(Group(EVERY_SUITE, ALL, sorted(set().union(*by_suite.values()))))
    return found


def success(cells: pd.DataFrame) -> Estimate | None:
    """Mean success over the tasks of ``cells`` (rows of one variant), or None where there are none."""
    return None if cells.empty else mean_success(*_counts(cells))


def interquartile_success(cells: pd.DataFrame) -> Estimate | None:
    """Interquartile mean of the success rates of ``cells`` (rows of one variant), or None where there are none."""
    return None if cells.empty else iqm_success(*_counts(cells))


def success_gap(cells: pd.DataFrame) -> float | None:
    """Optimality gap of ``cells`` (rows of one variant) to full success, or None where there are none."""
    return None if cells.empty else optimality_gap(cells["k"] / cells["n"])


def best(episodes: pd.DataFrame) -> dict[str, str]:
    """``best`` and ``tied with best`` by variant, among those that ran all of ``episodes`` (see `with_success`).

    Empty with fewer than two such variants: there is nothing to be best among.
    """
    if episodes.empty:
        return {}
    counted = episodes.assign(n=1)
    (variants, *_), (solved, ran) = dense(counted, ["variant", "task", "training_seed", "episode"], "success", "n")
    whole = ran.any(axis=0).all() & ran.all(axis=(1, 2, 3))
    if np.count_nonzero(whole) < 2:
        return {}
    ranking = rank(solved[whole] > 0)
    top = ranking.success >= ranking.success.max()
    words = np.where(ranking.tied, "tied with best", "")
    if top.sum() == 1:
        words[top] = "best"
    return dict(zip(map(str, variants[whole]), words.tolist(), strict=True))


def dense(rows: pd.DataFrame, by: Sequence[str], *values: str) -> tuple[list[npt.NDArray[Any]], Counts]:
    """Whole numbers of tidy rows as arrays.

    Args:
        rows: One for each combination of the columns ``by`` that is there.
        by: The axes of the arrays.
        values: A column for each array; 0 where there is no row.

    Returns:
        The sorted labels of each axis, and the arrays, stacked in the order of ``values``.
    """
    codes, labels = zip(*(pd.factorize(rows[column].to_numpy(), sort=True) for column in by), strict=True)
    arrays = np.zeros((len(values), *map(len, labels)), np.int64)
    for array, column in zip(arrays, values, strict=True):
        array[codes] = rows[column].to_numpy(np.int64)
    return list(labels), arrays


def split(rows: pd.DataFrame, by: str | list[str]) -> Mapping[Any, pd.DataFrame]:
    """Rows by their value in a column or their values in several, in their order; what no row has gives no rows."""
    none = rows.iloc[:0]
    return defaultdict(lambda: none, iter(rows.groupby(by, sort=False)))


def _counts(cells: pd.DataFrame) -> tuple[Counts, Counts]:
    """Successes and episodes ``[M, S]`` of the cells of one variant; 0 episodes where a task lacks a training seed."""
    _, (k, n) = dense(cells, ["task", "training_seed"], "k", "n")
    return k, n


def seed_spread(cells: pd.DataFrame) -> str | None:
    """Lowest and highest success among training seeds, mean over the tasks that have all of them.

    Over other tasks seeds would differ as tasks do. None with fewer than two seeds, or without such a task.
    """
    by_task = cells.assign(rate=cells["k"] / cells["n"]).pivot(index="task", columns="training_seed", values="rate")
    rates = by_task.dropna().mean()
    return f"{100 * rates.min():.1f}–{100 * rates.max():.1f}" if len(rates) > 1 and rates.notna().all() else None


def with_success(episodes: pd.DataFrame, file: str = "episodes") -> pd.DataFrame:
    """Add ``success``: an episode that ended in an error has failed, whatever was seen before."""
    twice = episodes[episodes.duplicated([*CELL, "episode"])]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"{file}.jsonl: episode {row['episode']} of {row['variant']} on {row['task']}, training seed "
            f"{row['training_seed']}, is recorded twice; delete one of the lines"
        )
    return episodes.assign(success=episodes["success_ever"].astype(bool) & episodes["error"].isna())


def group_latency(latency: pd.DataFrame) -> GroupLatency | None:
    """Latency over ``latency`` (rows of one variant), or None where nothing was timed."""
    if latency.empty:
        return None
    p50 = {clock: float(latency[f"{clock}_p50"].median()) for clock in CLOCKS}
    p90 = {clock: None if (v := latency[f"{clock}_p90"]).isna().any() else float(v.median()) for clock in CLOCKS}
    notes = []
    for count, words in (
        (int(latency["contended"].sum()), "machine busy while timed"),
        (int((~latency["warm"].astype(bool)).sum()), "not warm"),
        (sum(throttled({"gpu": readings}) for readings in latency["gpu"]), "GPU throttled"),
        (int((~latency["same_model"]).sum()), "timed another checkpoint: speed-up refused"),
    ):
        if count:
            notes.append(words if count == len(latency) else f"{words} ({count} of {len(latency)})")
    shared = ("nfe", "params_network", "reference")
    common = {name: latency[name].iloc[0] if latency[name].nunique(dropna=False) == 1 else None for name in shared}
    return GroupLatency(latency["task"].nunique(), p50, p90, _speedup(latency), common, notes)


def _headline(timings: pd.DataFrame) -> pd.DataFrame:
    """The timings of one device in one mode (``cpu1`` before ``cpuN``): others have no common scale with them."""
    if timings.empty:
        return timings
    device, mode = min(zip(timings["device"], timings["mode"], strict=True))
    shown: pd.DataFrame = timings[(timings["device"] == device) & (timings["mode"] == mode)]
    return shown.reset_index(drop=True)


def _timings(latency: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The last timing of each cell by device and mode, with its percentiles and the same-model mark."""
    by = [*CELL, "device", "mode"]
    timed = latency.drop_duplicates(by, keep="last").sort_values(by).reset_index(drop=True)
    evaluated = cells.set_index(CELL)["checkpoint"].to_dict()
    hashes = dict(zip(zip(*(timed[name] for name in by), strict=True), timed["checkpoint"], strict=True))

    def same(variant: Any, row: Any) -> bool:
        """Whether success and latency are of one checkpoint; without success rows nothing contradicts."""
        cell = (row.task, variant, row.training_seed)
        key = (*cell, row.device, row.mode)
        return pd.isna(variant) or key not in hashes or evaluated.get(cell, hashes[key]) == hashes[key]

    rows = [*timed.itertuples()]
    own, refs = [same(row.variant, row) for row in rows], [same(row.reference, row) for row in rows]
    columns: dict[str, Any] = {"same_model": pd.Series([a and b for a, b in zip(own, refs, strict=True)], dtype=bool)}
    for clock, part in product(CLOCKS, ("p50", "p90")):
        columns[f"{clock}_{part}"] = pd.Series([c[part] for c in timed[clock]], dtype=float)
    return timed.assign(**columns)


def _keys(frame: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    return zip(frame["task"], frame["variant"], frame["training_seed"], strict=True)


def _speedup(latency: pd.DataFrame) -> dict[str, Estimate]:
    """Geometric mean over cells of the ratios and of the ends of their intervals, where the same-model rule allows it.

    Averaging the ends treats the errors of the cells as common to all (one machine), so the interval is on the wide
    side.
    """
    allowed = [s for s in latency["speedup"][latency["same_model"]] if isinstance(s, dict)]
    if not allowed:
        return {}
    return {
        clock: Estimate(*(float(np.exp(np.mean([np.log(s[clock][k]) for s in allowed]))) for k in _RATIO))
        for clock in allowed[0]
    }


_RATIO = ("ratio", "low", "high")


def _missing(spec: Mapping[str, Any], cells: pd.DataFrame) -> list[tuple[str, str, int, str]]:
    """Cells that were asked for and have fewer episodes than asked for."""
    n = {key: int(count) for key, count in zip(_keys(cells), cells["n"], strict=True)}
    missing = []
    for key in product(spec["tasks"], spec["methods"], spec["seeds"]):
        have = n.get(key, 0)
        if have < spec["episodes"]:
            missing.append((*key, "not run" if have == 0 else f"{have} of {spec['episodes']} episodes"))
    return missing
