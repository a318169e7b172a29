"""Learning curves: success on the selection episodes against gradient steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.report.measures import Group, dense
from bench.report.style import Look, legend, readable, style
from bench.stats import Estimate, mean_success

MANY_TASKS = 9
"""With more tasks than this, the first figure shows means over groups and a second one every task."""
_TRAINING = ["task", "training_seed"]


class Point(NamedTuple):
    """Mean success after so many gradient steps."""

    step: int
    success: Estimate


class Curve(NamedTuple):
    """Learning curve of a method."""

    points: list[Point]
    seeds: list[list[float]]
    """Success at these points by training seed, mean over the tasks that have all seeds; none with fewer than two."""


def curve(rows: pd.DataFrame) -> Curve:
    """The curve of one method, at the steps at which every (task, training seed) was evaluated: so all points compare.

    Args:
        rows: of ``curves.jsonl``.
    """
    (steps, *_), (k, n) = dense(rows, ["step", "task", "training_seed"], "successes", "episodes")  # [P, M, S]
    whole = ((n > 0) == (n > 0).any(axis=0)).all(axis=(1, 2))
    k, n = k[whole], n[whole]
    points = [Point(int(step), mean_success(*own)) for step, *own in zip(steps[whole], k, n, strict=True)]
    every = (n > 0).all(axis=(0, 2))
    if n.shape[2] < 2 or not every.any():
        return Curve(points, [])
    return Curve(points, [seed.tolist() for seed in (k[:, every] / n[:, every]).mean(axis=1).T])


class Panel(NamedTuple):
    """Curves that are drawn together."""

    title: str
    rows: pd.DataFrame
    """Of ``curves.jsonl``."""


def group_panels(curves: pd.DataFrame, groups: Sequence[Group]) -> list[Panel]:
    """A panel per group, of the trainings that all its methods have: so means of methods are over the same tasks.

    The title counts them where they are not all. Trainings that broke are none. Suites that train for different numbers
    of steps share the first of them alone, so groups of such suites have no panel.
    """
    seeds = curves["training_seed"].nunique()
    unit = "tasks" if seeds == 1 else "trainings"
    panels = []
    for group in groups:
        rows = _shared(curves[curves["task"].isin(group.tasks)])
        found, of = len(rows[_TRAINING].drop_duplicates()), len(group.tasks) * seeds
        if found:
            panels.append(Panel(group.label if found == of else f"{group.label}: {found} of {of} {unit}", rows))
    return panels


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trainings that all methods have, none where suites train for different numbers of steps."""
    length = rows.groupby(["method", *_TRAINING])["step"].transform("max")
    trained = length.groupby([rows["method"], rows["suite"]]).transform("max")
    if (trained.groupby(rows["method"]).nunique() > 1).any():
        return rows.iloc[:0]
    whole = rows[length == trained]
    return whole[whole.groupby(_TRAINING)["method"].transform("nunique") == rows["method"].nunique()]


def group_curves(panels: Sequence[Panel], look: Mapping[str, Look]) -> Figure:
    """Mean success over the tasks of each of the `group_panels`, with a 95 % band, training seeds as thin lines."""
    return _figure(panels, look, columns=3, size=(3.4, 2.7))


def task_curves(curves: pd.DataFrame, look: Mapping[str, Look]) -> Figure:
    """A panel per task."""
    tasks = sorted(set(curves["task"]))
    few = len(tasks) <= MANY_TASKS
    parts = [(task if few else task.partition("/")[2], curves[curves["task"] == task]) for task in tasks]
    return _figure(parts, look, columns=3 if few else 6, size=(3.4, 2.7) if few else (1.95, 1.6))


def _figure(
    parts: Sequence[tuple[str, pd.DataFrame]], look: Mapping[str, Look], columns: int, size: tuple[float, float]
) -> Figure:
    columns = min(columns, len(parts))
    rows, roomy = math.ceil(len(parts) / columns), size[0] > 3
    with style():
        figure = Figure(figsize=(max(size[0] * columns, 5.0), size[1] * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, (title, part) in zip(axes, parts, strict=False):
            axis.set_title(readable(title, 40 if roomy else 28), fontsize=9.5 if roomy else 8)
            for method in look:
                _draw(axis, part[part["method"] == method], look[method], seed_lines=roomy)
            axis.set_ylim(-3, 103)
        axes[0].set_xlim(left=0)  # of all, once all are drawn: it ends the scaling by what is drawn
        for axis in axes[len(parts) :]:
            axis.set_visible(False)
        for axis in axes[max(len(parts) - columns, 0) : len(parts)]:  # the last panel of each column
            axis.tick_params(labelbottom=True)
            axis.xaxis.set_major_locator(MaxNLocator(4 if roomy else 3, steps=[1, 2, 5, 10]))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
        figure.supxlabel("gradient steps", fontsize=9)
        figure.supylabel("success on selection episodes, %", fontsize=9)
        legend(figure, {method: own for method, own in look.items() if _has(parts, method)}, lines=True)
    return figure


def _draw(axis: Axes, rows: pd.DataFrame, look: Look, *, seed_lines: bool) -> None:
    """Mean line with band."""
    if rows.empty:
        return
    found, seeds = curve(rows)
    if not found:
        return
    steps = [point.step for point in found]
    low, high = [100 * point.success.low for point in found], [100 * point.success.high for point in found]
    axis.fill_between(steps, low, high, color=look.colour, alpha=0.13, lw=0)
    if seed_lines:
        for rates in seeds:
            axis.plot(steps, [100 * rate for rate in rates], color=look.colour, lw=0.7, alpha=0.5)
    axis.plot(steps, [100 * point.success.value for point in found], color=look.colour, lw=1.8, marker="o", ms=3.2)


def _has(parts: Sequence[tuple[str, pd.DataFrame]], method: str) -> bool:
    return any(method in set(part["method"]) for _, part in parts)
