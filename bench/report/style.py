"""How figures look: colours that a colour-blind reader can tell apart; the same data gives the same file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.spec import policy_of

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555",
    "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "xtick.color": "#333333", "ytick.color": "#333333", "legend.frameon": False, "figure.dpi": 100,
    "savefig.dpi": 160, "figure.facecolor": "white", "axes.titlepad": 7,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.hashsalt": "visuomotor-bench",  # element ids, and so files, that depend on the data alone
}  # fmt: skip

# Okabe and Ito's palette without yellow, which is too pale for lines on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def style() -> AbstractContextManager[None]:
    """The settings in force while a figure is made and while it is saved."""
    return matplotlib.rc_context(_RC)


@dataclass(frozen=True)
class Look:
    """Colour of a method, marker of a variant of it."""

    colour: str
    marker: str
    filled: bool


def looks(variants: Sequence[str]) -> dict[str, Look]:
    """A look for each variant: colour by method, hollow if it has options or a runtime, a marker of its own."""
    methods = list(dict.fromkeys(map(policy_of, variants)))
    return {
        variant: Look(
            _COLOURS[methods.index(policy_of(variant)) % len(_COLOURS)],
            _MARKERS[i % len(_MARKERS)],
            filled=variant == policy_of(variant),
        )
        for i, variant in enumerate(variants)
    }


def legend(figure: Figure, shown: Mapping[str, Look], extra: Sequence[Line2D] = (), *, lines: bool = False) -> None:
    """One legend for the whole figure, above its panels."""
    handles = [
        Line2D(
            [], [], color=look.colour, marker=None if lines else look.marker, linewidth=2 if lines else 0, markersize=7,
            markeredgewidth=1.6, markerfacecolor=look.colour if look.filled else "none", label=readable(variant),
        )
        for variant, look in shown.items()
    ]  # fmt: skip
    handles += extra
    inches = [0.6 + 0.075 * len(str(handle.get_label())) for handle in handles]  # a handle, and each letter
    width = figure.get_figwidth()
    columns = len(handles) if sum(inches) < width else max(1, int(width / max(inches)))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=1.6, columnspacing=1.6)


def readable(name: str, width: int = 40) -> str:
    """A name as a label: shortened, and not starting with an underscore, which would hide it from legends."""
    short = name if len(name) <= width else f"{name[: width - 1]}…"
    return f" {short}" if short.startswith("_") else short


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``<stem>.svg`` and ``<stem>.png``; the SVG carries no date. Returns the files."""
    FigureCanvasAgg(figure)
    files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with style():
        figure.savefig(files[0], metadata={"Date": None})
        figure.set_layout_engine("none")  # it is laid out now; doing so again takes seconds with 50 panels
        figure.savefig(files[1])
    return files
