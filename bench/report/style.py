"""How figures look: colours that a colour-blind reader can tell apart, and files that are the same for the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

RC: Mapping[str, Any] = {
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


@dataclass(frozen=True)
class Look:
    """Colour of a method, marker of a variant of it."""

    colour: str
    marker: str
    filled: bool


def looks(variants: Sequence[str]) -> dict[str, Look]:
    """A look for each variant: its method decides on the colour; options give other, hollow markers."""
    methods = list(dict.fromkeys(v.partition("@")[0] for v in variants))
    found = {}
    for method in methods:
        own = sorted((v for v in variants if v.partition("@")[0] == method), key=lambda v: ("@" in v, variants.index(v)))
        i = methods.index(method)
        for j, variant in enumerate(own):
            hollow = "@" in variant
            marker = _MARKERS[(i + j) % len(_MARKERS)]
            found[variant] = Look(_COLOURS[i % len(_COLOURS)], marker, not hollow)
    return {variant: found[variant] for variant in variants}


def legend(figure: Figure, shown: Mapping[str, Look], extra: Sequence[Line2D] = (), *, lines: bool = False) -> None:
    """One legend for the whole figure, above its panels."""
    handles = [
        Line2D(
            [], [], color=look.colour, marker=None if lines else look.marker, linewidth=2 if lines else 0, markersize=7,
            markerfacecolor=look.colour if look.filled else "white", label=readable(variant),
        )
        for variant, look in shown.items()
    ]  # fmt: skip
    handles += extra
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 6), handlelength=1.6)


def readable(name: str, width: int = 40) -> str:
    """A name as a label: shortened, and not starting with an underscore, which would hide it from legends."""
    short = name if len(name) <= width else f"{name[: width - 1]}…"
    return f" {short}" if short.startswith("_") else short


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``<stem>.svg`` and ``<stem>.png``; the SVG carries no date. Returns the files."""
    FigureCanvasAgg(figure)
    files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with matplotlib.rc_context(dict(RC)):
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1])
    return files
