"""Charts as SVG that is complete as it stands; ``charts.js`` only adds tooltips and hides methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.report.curves import Curve
from bench.report.style import Look
from bench.report.table import milliseconds
from bench.report.tradeoff import Point, pareto_front
from bench.site.html import Html, el, join
from bench.stats import Estimate

_SHAPES = {  # in units of the radius
    "s": "M-.85-.85H.85V.85H-.85Z", "^": "M0-1.1L1 .8H-1Z", "D": "M0-1.15L1.15 0L0 1.15L-1.15 0Z",
    "v": "M0 1.1L1-.8H-1Z", "P": "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "X": "M-.55-1.1L0-.55L.55-1.1L1.1-.55L.55 0L1.1 .55L.55 1.1L0 .55L-.55 1.1L-1.1 .55L-.55 0L-1.1-.55Z",
    "*": "M0-1.2L.32-.4L1.15-.37L.5 .14L.7 .95L0 .48L-.7 .95L-.5 .14L-1.15-.37L-.32-.4Z",
    "o": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
}  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """A plotting area in a drawing of ``width`` x ``height``, and the way from numbers to places in it."""

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]  # percent
    log: bool = False
    left: float = 40
    bottom: float = 38

    def at(self, x: float, y: float) -> tuple[float, float]:
        low, high = map(math.log, self.x) if self.log else self.x
        across = ((math.log(x) if self.log else x) - low) / ((high - low) or 1)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        right, top = self.width - 14, 10
        return round(self.left + across * (right - self.left), 2), round(
            self.height - self.bottom - up * (self.height - self.bottom - top), 2
        )


def colour(look: Look, index: Mapping[str, int]) -> str:
    """A style that sets ``--c`` to the colour of a method, which differs between light and dark."""
    return f"--c:var(--m{index[look.colour]})"


def marker(look: Look, x: float, y: float, radius: float) -> Html:
    """The marker of a variant; one with options or a runtime is hollow."""
    return el(
        "path", d=_SHAPES[look.marker], transform=f"translate({x} {y}) scale({radius})",
        class_="mark" if look.filled else "mark hollow",
    )  # fmt: skip


def swatch(look: Look, index: Mapping[str, int]) -> Html:
    """The marker beside a name."""
    return el(
        "svg", marker(look, 8, 8, 5.5), class_="swatch", viewBox="0 0 16 16", aria_hidden="true",
        style=colour(look, index),
    )  # fmt: skip


def tradeoff(found: Sequence[Point], look: Mapping[str, Look], index: Mapping[str, int], name: str) -> Html:
    """Success against latency (log), with intervals and the Pareto front."""
    slowest, fastest = max(p.p90 or p.p50 for p in found), min(p.p50 for p in found)
    bottom = max(0.0, math.floor((100 * min(p.success.low for p in found) - 5) / 10) * 10)
    frame = _Frame(
        680, 360, (fastest / 1.35, max(slowest * 1.35, fastest * 4)), (bottom, 102), log=True, left=46, bottom=48
    )
    front = pareto_front(found)
    steps = [frame.at(p.p50, 100 * p.success.value) for p in front]
    path = f"M{steps[0][0]} {steps[0][1]}" + "".join(f"H{x}V{y}" for x, y in steps[1:]) + f"H{frame.width - 14}"
    drawn = []
    for point in found:
        value, low, high = (100 * v for v in point.success)
        x, y = frame.at(point.p50, value)
        whiskers = f"M{x} {frame.at(point.p50, low)[1]}V{frame.at(point.p50, high)[1]}"
        if point.p90 is not None:
            whiskers += f"M{x} {y}H{frame.at(point.p90, value)[0]}"
        lines = [point.variant, f"success {interval(point.success)} %", f"median {milliseconds(point.p50)} ms"]
        lines += [f"90th percentile {milliseconds(point.p90)} ms"] if point.p90 is not None else []
        lines += ["on the Pareto front"] if point in front else []
        drawn.append(
            _tipped(
                lines,
                el("circle", cx=x, cy=y, r=16, class_="hit"),
                el("path", d=whiskers, class_="whisker"),
                marker(look[point.variant], x, y, 8 if point in front else 6),
                data_variant=point.variant, style=colour(look[point.variant], index),
            )
        )  # fmt: skip
    ticks = _log_ticks(*frame.x)
    return _chart(
        frame, name, ticks, [f"{t:g}" for t in ticks], "milliseconds per call, log scale",
        el("path", d=path, class_="front"), drawn,
    )  # fmt: skip


def curves(lines: Mapping[str, Curve], look: Mapping[str, Look], index: Mapping[str, int], name: str) -> Html:
    """Success during training, by method, with bands and, thin, training seeds."""
    last = max(p.step for line in lines.values() for p in line.points)
    frame = _Frame(330, 210, (0, last * 1.02), (0, 102))
    drawn = []
    for method, (points, seeds) in lines.items():
        upper = [frame.at(p.step, 100 * p.success.high) for p in points]
        lower = [frame.at(p.step, 100 * p.success.low) for p in reversed(points)]
        mean = [frame.at(p.step, 100 * p.success.value) for p in points]
        thin = [[frame.at(p.step, 100 * rate) for p, rate in zip(points, rates, strict=True)] for rates in seeds]
        tips = [method, *(f"{p.step:,} steps: {interval(p.success)} %" for p in points)]
        drawn.append(
            _tipped(
                tips,
                el("path", d=_line([*upper, *lower]) + "Z", class_="band"),
                el("path", d=_line(mean), class_="hit"),
                [el("path", d=_line(places), class_="thin") for places in thin],
                el("path", d=_line(mean), class_="curve"),
                [el("circle", cx=x, cy=y, r=3, class_="mark") for x, y in mean],
                data_method=method, style=colour(look[method], index),
            )
        )  # fmt: skip
    size = 10 ** math.floor(math.log10(last / 2)) if last >= 2 else 1
    step = next(size * m for m in (1, 2, 5, 10) if last / (size * m) <= 4.5)
    ticks = [float(t) for t in range(0, last + 1, max(1, int(step)))]
    texts = [f"{t / 1000:g}k" if t >= 1000 else f"{t:g}" for t in ticks]
    return _chart(frame, name, ticks, texts, "gradient steps", drawn)


def interval_bar(found: Estimate) -> Html:
    """A success rate with its interval on a line from 0 to 100 %."""
    value, low, high = (round(100 * v, 2) for v in found)
    return el(
        "svg",
        el("line", x1=0, x2=100, y1=6, y2=6, class_="rail"),
        el("line", x1=low, x2=high, y1=6, y2=6, class_="range"),
        el("circle", cx=value, cy=6, r=3.4, class_="mark"),
        class_="interval", viewBox="-4 0 108 12", aria_hidden="true",
    )  # fmt: skip


def interval(found: Estimate) -> str:
    """``80.5 [71.0, 88.2]``, in percent."""
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _chart(
    frame: _Frame, name: str, ticks: Iterable[float], texts: Iterable[str], across: str, *content: object
) -> Html:
    grid: list[Html] = []
    right, floor = frame.width - 14, frame.height - frame.bottom
    low = int(frame.y[0])
    for percent in range(low, 101, 20 if 100 - low > 50 else 10):
        _, y = frame.at(frame.x[1], percent)
        grid += [
            el("line", x1=frame.left, x2=right, y1=y, y2=y, class_="grid"),
            el("text", percent, x=frame.left - 7, y=y + 4, class_="tick end"),
        ]
    for tick, text in zip(ticks, texts, strict=True):
        x, _ = frame.at(tick, frame.y[0])
        grid.append(el("text", text, x=x, y=floor + 18, class_="tick middle"))
    grid += [
        el("line", x1=frame.left, x2=right, y1=floor, y2=floor, class_="axis"),
        el("text", across, x=right, y=frame.height - 5, class_="tick end"),
    ]
    return el(
        "svg", el("g", grid, aria_hidden="true"), *content, class_="chart", role="group", aria_label=name,
        viewBox=f"0 0 {frame.width:g} {frame.height:g}",
    )  # fmt: skip


def _tipped(lines: Sequence[str], *content: object, **attributes: str) -> Html:
    """A part of a chart that can be pointed at and focused; its text is for tooltip and screen reader alike."""
    return el(
        "g", *content, class_="point", tabindex=0, role="img", aria_label="; ".join(lines), data_tip="\n".join(lines),
        **attributes,
    )  # fmt: skip


def _line(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in places)


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [t for d in decades for m in (1, 2, 3, 5) if low <= (t := m * 10.0**d) <= high]


def legend(names: Iterable[str], look: Mapping[str, Look], index: Mapping[str, int], *, key: str) -> Html:
    """Names with their markers; ``key`` is the attribute by which they are hidden, ``variant`` or ``method``."""
    items = [el("li", swatch(look[name], index), name, **{f"data_{key}": name}) for name in names]
    return el("ul", join(*items), class_="legend")
