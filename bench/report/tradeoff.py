"""Success against latency: which variants are best at their speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.report.measures import ALL, Group, Measures, group_latency, groups, split, success
from bench.report.style import Look, legend, readable, style
from bench.stats import Estimate

_CLOCKS = {"t_e2e": "whole call, raw observation to action", "t_policy": "policy alone"}


class Point(NamedTuple):
    """One variant: success over the tasks of a group, latency over those that were timed."""

    variant: str
    success: Estimate
    p50: float  # ms
    p90: float | None


def points(measures: Measures, group: Group, clock: str) -> list[Point]:
    """Points of the variants that have both numbers from one checkpoint."""
    found = []
    of_group = (frame[frame["task"].isin(group.tasks)] for frame in (measures.latency, measures.cells))
    latency, cells = (split(frame, "variant") for frame in of_group)
    for variant in measures.variants:
        own = latency[variant]
        # Success over all cells, as in the tables: a cell that broke has no latency but counts as a failure.
        estimate, timed = success(cells[variant]), group_latency(own[own["same_model"]])
        if estimate and timed:
            found.append(Point(variant, estimate, timed.p50[clock], timed.p90[clock]))
    return found


def pareto_front(found: Sequence[Point]) -> list[Point]:
    """Points that no other beats in success without being slower, from fast to slow."""
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.p50, -p.success.value)):
        if not front or point.success.value > front[-1].success.value:
            front.append(point)
    return front


def tradeoff(measures: Measures, look: Mapping[str, Look]) -> Figure | None:
    """A row per suite, a column per clock; None where no variant has both numbers."""
    panels = [g for g in groups(measures) if g.difficulty == ALL and points(measures, g, "t_e2e")]
    if not panels:
        return None
    with style():
        figure = Figure(figsize=(9.6, 3.5 * len(panels) + 0.7), layout=ConstrainedLayoutEngine(h_pad=0.09))
        axes = figure.subplots(len(panels), len(_CLOCKS), squeeze=False, sharey="row")
        shown = set()
        for row, group in zip(axes, panels, strict=True):
            for axis, (clock, words) in zip(row, _CLOCKS.items(), strict=True):
                found = points(measures, group, clock)
                shown |= {point.variant for point in found}
                _draw(axis, found, look)
                axis.set_title(f"{readable(group.label)}: {words}")
                axis.set_xlabel(f"{clock}: ms per call, median to 90th percentile (log)")
            row[0].set_ylabel("success, % of test episodes")
        front = Line2D([], [], color="#777777", lw=1.2, ls=(0, (4, 2)), label="Pareto front")
        legend(figure, {variant: own for variant, own in look.items() if variant in shown}, [front])
    return figure


def _draw(axis: Axes, found: Sequence[Point], look: Mapping[str, Look]) -> None:
    axis.set_xscale("log")
    slowest = max(p.p90 or p.p50 for p in found)
    fastest = min(p.p50 for p in found)
    right = max(slowest * 1.4, fastest * 5)
    axis.set_xlim(fastest / 1.4, right)
    floor = min(p.success.low for p in found)
    axis.set_ylim(max(-4.0, 100 * floor - 6), 102)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())

    front = pareto_front(found)
    xs, ys = [p.p50 for p in front], [100 * p.success.value for p in front]
    axis.step([*xs, right], [*ys, ys[-1]], where="post", color="#777777", lw=1.2, ls=(0, (4, 2)), zorder=1)
    for point in found:
        own, (y, low, high) = look[point.variant], (100 * v for v in point.success)
        axis.plot([point.p50] * 2, [low, high], color=own.colour, lw=1.1, alpha=0.7)
        if point.p90 is not None:
            axis.plot([point.p50, point.p90], [y, y], color=own.colour, lw=1.1, alpha=0.7)
        best = point in front
        axis.plot(
            [point.p50], [y], marker=own.marker, ms=8.5 if best else 6.5, color=own.colour, mew=1.7, ls="",
            mfc=own.colour if own.filled else "none", zorder=3,
        )  # fmt: skip
