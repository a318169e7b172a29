"""One small table model, rendered as Markdown, CSV, LaTeX and for a terminal.

Readers get rounded text with the interval in brackets; CSV gets full numbers, the interval in columns of its own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import rich.table
import rich.text

from bench.stats import Estimate

Value = str | int | float | Estimate | None
EMPTY = "–"

# Most specific first: a backslash must not be escaped twice.
_MARKDOWN = {"\\": "\\\\", "&": "&amp;", "<": "&lt;", ">": "&gt;", **{c: f"\\{c}" for c in "`*_[]|~#!"}}
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "×": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column: its key in CSV, its title for readers, and how a value (or the ends of its interval) is written."""

    key: str
    title: str
    text: Callable[[float], str] | None = None  # None: a column of words, aligned to the left
    interval: bool = False  # values are `Estimate`
    csv_only: bool = False  # detail that would crowd a page


@dataclass(frozen=True)
class Table:
    """Rows of values by column key; a key that a row lacks is an empty cell."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Value]]

    def select(self, *keys: str) -> Table:
        """The same rows with these columns only, in this order."""
        by_key = {column.key: column for column in self.columns}
        return replace(self, columns=[by_key[key] for key in keys])

    def header(self) -> list[str]:
        """Titles of the columns that readers see: one that is empty in every row, or for CSV only, is left out."""
        return [column.title for column in self._shown()]

    def body(self) -> list[list[str]]:
        """Text of every cell below `header`."""
        shown = self._shown()
        return [[_text(column, row.get(column.key)) for column in shown] for row in self.rows]

    def to_markdown(self) -> str:
        """A GitHub-flavoured Markdown table; hostile names cannot break out of their cell."""
        rules = ["---" if column.text is None else "---:" for column in self._shown()]
        lines = [[escape_markdown(t) for t in self.header()], rules]
        lines += [[escape_markdown(t) for t in row] for row in self.body()]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)

    def to_csv(self) -> str:
        """All columns at full precision; an interval adds ``<key>_low`` and ``<key>_high``."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in _csv_names(column)])
        for row in self.rows:
            writer.writerow([v for column in self.columns for v in _csv_values(column, row.get(column.key))])
        return out.getvalue()

    def to_latex(self) -> str:
        """A ``tabular`` with the rules of the booktabs package."""
        align = "".join("l" if column.text is None else "r" for column in self._shown())
        lines = [f"% {_one_line(self.title)}; needs \\usepackage{{booktabs}}", f"\\begin{{tabular}}{{{align}}}"]
        lines += [r"\toprule", _latex_row(self.header()), r"\midrule", *map(_latex_row, self.body()), r"\bottomrule"]
        return "\n".join([*lines, r"\end{tabular}", ""])

    def to_rich(self) -> rich.table.Table:
        """For a terminal."""
        table = rich.table.Table(title=self.title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD)
        for column in self._shown():
            if column.text is None:
                table.add_column(rich.text.Text(column.title), overflow="fold")  # variants differ at their ends
            else:
                table.add_column(rich.text.Text(column.title), justify="right")
        for row in self.body():
            table.add_row(*(rich.text.Text(cell) for cell in row))
        return table

    def _shown(self) -> list[Column]:
        shown = [c for c in self.columns if not c.csv_only]
        return [c for c in shown if not self.rows or any(row.get(c.key) not in (None, "") for row in self.rows)]


def share(value: float) -> str:
    """A share of one as percent: 0.805 is ``80.5``."""
    return f"{100 * value:.1f}"


def signed_points(value: float) -> str:
    """A difference of shares as percentage points: 0.012 is ``+1.2``, a small loss ``-0.0``, noise ``+0.0``."""
    return f"{round(100 * value, 9) + 0.0:+.1f}"


def milliseconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def factor(value: float) -> str:
    """A ratio of times: ``7.3×``."""
    return f"{value:.0f}×" if value >= 100 else f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"


def count(value: float) -> str:
    """A whole number, thousands apart."""
    return f"{value:,.0f}"


def probability(value: float) -> str:
    """A p-value, never written as zero."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def escape_markdown(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    return "".join(_MARKDOWN.get(c, c) for c in _one_line(text))


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX.get(c, c) for c in _one_line(text))


def _one_line(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()


def _text(column: Column, value: Value) -> str:
    if value is None or value == "":
        return EMPTY if column.text else ""
    if isinstance(value, str) or column.text is None:
        return str(value)
    if isinstance(value, Estimate):
        ends = f"{column.text(value.low)}, {column.text(value.high)}"
        return f"{column.text(value.value)} [{ends.replace('×', '')}]"
    return column.text(value)


def _csv_names(column: Column) -> Iterable[str]:
    return (column.key, f"{column.key}_low", f"{column.key}_high") if column.interval else (column.key,)


def _csv_values(column: Column, value: Value) -> Iterable[Value]:
    if not column.interval:
        return (value,)
    return tuple(value) if isinstance(value, Estimate) else (value, None, None)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + r" \\"
