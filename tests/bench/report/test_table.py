"""Rendering of the table model: golden text, hostile names."""

from __future__ import annotations

import csv
import io

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from bench.report.table import (
    Column,
    Table,
    count,
    escape_latex,
    factor,
    milliseconds,
    probability,
    share,
    signed_points,
)
from bench.stats import Estimate

TABLE = Table(
    "Small",
    [
        Column("method", "method"), Column("success", "success %", share, interval=True),
        Column("ms", "ms", milliseconds), Column("notes", "notes"), Column("unused", "unused", count),
    ],
    [
        {"method": "dp3@nfe=1", "success": Estimate(0.85, 0.64, 0.948), "ms": 12.345, "notes": ""},
        {"method": "a|b_c", "success": "not run", "ms": None, "notes": "50% & more"},
    ],
)  # fmt: skip
HOSTILE = [
    "a|b",
    "a\nb",
    "`x`",
    "<script>alert(1)</script>",
    "[x](http://y)",
    r"\end{tabular}",
    "$x^2$ & 5% #1 ~",
    "策略é",
]


def test_markdown() -> None:
    assert TABLE.to_markdown() == (
        "| method | success % | ms | notes |\n"
        "| --- | ---: | ---: | --- |\n"
        "| dp3@nfe=1 | 85.0 \\[64.0, 94.8\\] | 12.3 |  |\n"
        "| a\\|b\\_c | not run | – | 50% &amp; more |\n"
    )


def test_csv_keeps_full_numbers_and_every_column() -> None:
    assert TABLE.to_csv() == (
        "method,success,success_low,success_high,ms,notes,unused\n"
        "dp3@nfe=1,0.85,0.64,0.948,12.345,,\n"
        "a|b_c,not run,,,,50% & more,\n"
    )


def test_latex() -> None:
    assert TABLE.to_latex() == (
        "% Small; needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lrrl}\n"
        "\\toprule\n"
        "method & success \\% & ms & notes \\\\\n"
        "\\midrule\n"
        "dp3@nfe=1 & 85.0 {[}64.0, 94.8{]} & 12.3 &  \\\\\n"
        "a\\textbar{}b\\_c & not run & -- & 50\\% \\& more \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_cell(name: str) -> None:
    table = Table("T", [Column("a", "a"), Column("b", "b")], [{"a": name, "b": "x"}])
    line = table.to_markdown().splitlines()[2]
    assert line.replace("\\\\", "").replace("\\|", "").count("|") == 3
    assert "<script" not in line
    assert list(csv.reader(io.StringIO(table.to_csv())))[1] == [name, "x"]
    row = table.to_latex().splitlines()[5]
    assert row.replace("\\&", "").count("&") == 1
    assert "\\end" not in row


@given(st.text(max_size=30))
def test_any_name_makes_one_row(name: str) -> None:
    table = Table("T", [Column("a", name), Column("b", "b")], [{"a": name, "b": "x"}])
    assert table.to_markdown().count("\n") == 3
    assert table.to_latex().count("\n") == 8


def test_latex_escapes_every_special() -> None:
    assert escape_latex(r"\{}$&#%_~^") == (
        r"\textbackslash{}\{\}\$\&\#\%\_\textasciitilde{}\textasciicircum{}"
    )  # fmt: skip


def test_numbers() -> None:
    assert [milliseconds(v) for v in (0.01234, 1.0, 99.44, 99.96, 1234.5)] == ["0.0123", "1.00", "99.4", "100", "1234"]
    assert [factor(v) for v in (1.049, 7.26, 123.4)] == ["1.05×", "7.3×", "123×"]
    assert [probability(v) for v in (0.0, 0.0491)] == ["<0.001", "0.049"]
    assert count(1234567) == "1,234,567"
    assert [signed_points(v) for v in (0.012, -0.0351, -0.0001, -1e-17)] == ["+1.2", "-3.5", "-0.0", "+0.0"]


def test_terminal_takes_no_markup_from_names() -> None:
    console = rich.console.Console(width=80, record=True, file=io.StringIO())
    console.print(Table("T", [Column("a", "a")], [{"a": "[red]x[/red]"}]).to_rich())
    assert "[red]x[/red]" in console.export_text()


def test_terminal_cuts_no_name_off() -> None:
    """Two variants of a method must be told apart, however narrow the terminal."""
    names = ["student+onnx@nfe=2", "student+onnx@nfe=4"]
    console = rich.console.Console(width=24, record=True, file=io.StringIO())
    table = Table("T", [Column("a", "a"), Column("b", "b", share)], [{"a": name, "b": 0.5} for name in names])
    console.print(table.to_rich())
    shown = "".join(line[:-8].strip() for line in console.export_text().splitlines()[1:])
    assert all(name in shown for name in names)
