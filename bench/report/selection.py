"""Which number: the last checkpoint, the best evaluation, or the mean of the five best, beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.report.measures import CELL, Measures, success, suite_title
from bench.report.table import Column, Table, Value, count, share, signed_points
from bench.stats import Estimate, best_evaluations, paper_top5

TOP = 5
WORDS = (
    "Three answers to *how often does it succeed*, over the same trainings. **final**: the last weights on test "
    "episodes. **selected**: the best evaluation of each training, on the very selection episodes that chose it; "
    "records hold no test episodes of earlier weights. **paper-top5**: the mean of the five best evaluations, as the "
    "papers have it. *Bias*: what choosing alone adds if success never changed and was that of *final*. *Last is "
    "best*: trainings of which selection would keep the final weights."
)


@dataclass(frozen=True)
class Trainings:
    """Learning curves of equal length: C trainings with P evaluations each."""

    cells: pd.DataFrame  # [C] their final weights on test episodes, rows of `Measures.cells`
    k: npt.NDArray[np.int64]  # [C, P] successes on selection episodes
    n: npt.NDArray[np.int64]

    @property
    def evaluations(self) -> str:
        """For people: ``5 × 10`` is five evaluations of ten episodes each."""
        low, high = int(self.n.min()), int(self.n.max())
        return f"{self.k.shape[1]} × {low if low == high else f'{low}–{high}'}"

    def best(self, count: int) -> Estimate | None:
        """Mean of the best evaluations, or None with fewer than ``count``."""
        if self.k.shape[1] < count:
            return None
        return best_evaluations(self.k, self.n, self.cells["task"], best=count)

    def bias(self, count: int) -> float:
        """What choosing the best ``count`` adds to the final success, if that were true all along; mean over tasks."""
        rates = self.cells["k"] / self.cells["n"]
        shape = {"evaluations": self.k.shape[1], "best": count}
        cells = list(zip(rates.tolist(), self.n[:, -1].tolist(), strict=True))
        known = {(p, n): paper_top5(p, episodes=n, **shape).bias for p, n in set(cells)}  # few rates are possible
        each = [known[cell] for cell in cells]
        return float(pd.Series(each).groupby(self.cells["task"].to_numpy()).mean().mean())

    def last_is_best(self) -> int:
        """Trainings whose last evaluation no other exceeds."""
        rates = self.k / self.n
        return int((rates[:, -1] >= rates.max(axis=1)).sum())


def trainings(curves: pd.DataFrame, cells: pd.DataFrame) -> Trainings | None:
    """The curves of the trainings behind ``cells`` (rows of one variant), or None where they have none.

    Curves belong to methods; a variant with inference options of its own was not evaluated during training. Curves
    with fewer points than others (cut short by an error) are left out, and so are cells without a curve.
    """
    own = curves[curves["method"].isin(cells["variant"].unique()) & curves["task"].isin(cells["task"].unique())]
    points = own.rename(columns={"method": "variant"}).sort_values([*CELL, "step"])
    by_cell = {
        cell: (own["successes"].to_numpy(int), own["episodes"].to_numpy(int)) for cell, own in points.groupby(CELL)
    }
    rows = [(row, *by_cell[cell]) for row, cell in enumerate(_cells(cells)) if cell in by_cell]
    if not rows:
        return None
    length = max(len(k) for _, k, _ in rows)
    whole = [(row, k, n) for row, k, n in rows if len(k) == length]
    index, k, n = zip(*whole, strict=True)
    return Trainings(cells.iloc[list(index)].reset_index(drop=True), np.stack(k), np.stack(n))


def table(curves: pd.DataFrame, measures: Measures) -> Table:
    """Each variant on each suite, over the trainings that have a learning curve."""
    columns = [
        Column("suite", "suite"), Column("method", "method"), Column("trainings", "trainings", count),
        Column("final", "final %", share, interval=True), Column("n", "n", count),
        Column("evaluations", "evaluations × episodes"),
        Column("selected", "selected %", share, interval=True), Column("selected_bias", "bias, points", signed_points),
        Column("top5", "paper-top5 %", share, interval=True), Column("top5_bias", "bias, points", signed_points),
        Column("last_is_best", "last is best", count), Column("notes", "notes"),
    ]  # fmt: skip
    rows: list[Mapping[str, Value]] = []
    for suite, variant in product(sorted(set(measures.cells["suite"])), measures.variants):
        cells = measures.cells[(measures.cells["suite"] == suite) & (measures.cells["variant"] == variant)]
        if cells.empty or curves.empty:
            continue
        row: dict[str, Value] = {"suite": suite_title(suite), "method": variant}
        found = trainings(curves, cells)
        if found is None:
            rows.append(row | {"final": success(cells), "n": int(cells["n"].sum()), "notes": "no learning curve"})
            continue
        points = found.k.shape[1]
        row |= {
            "trainings": len(found.k), "final": success(found.cells), "n": int(found.cells["n"].sum()),
            "evaluations": found.evaluations, "selected": found.best(1), "selected_bias": found.bias(1),
            "last_is_best": found.last_is_best(),
        }  # fmt: skip
        without = len(cells) - len(found.k)
        notes = [f"{without} training{'s' * (without > 1)} without a whole curve left out"] * bool(without)
        if points < TOP:
            row["top5"] = f"has {points} evaluations"
        else:
            row |= {"top5": found.best(TOP), "top5_bias": found.bias(TOP)}
            notes += ["five evaluations in all: early weights count too"] * (points == TOP)
        rows.append(row | {"notes": "; ".join(notes)})
    return Table("Which number", columns, rows)


def _cells(cells: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(zip(*(cells[name] for name in CELL), strict=True))
