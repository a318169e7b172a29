"""What every page of the site is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.report.measures import Measures, split
from bench.report.style import Look, looks
from bench.report.table import Table
from bench.site.charts import swatch
from bench.site.html import Html, el, slug
from bench.spec import policy_of
from bench.store import Run


@dataclass(frozen=True)
class Context:
    """A run, its numbers, and how its methods look."""

    run: Run
    measures: Measures
    tables: Mapping[str, Table]

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.path.resolve().name

    @cached_property
    def look(self) -> dict[str, Look]:
        """By variant, and by bare method for learning curves."""
        variants = self.measures.variants
        methods = dict.fromkeys([*map(policy_of, variants), *sorted(set(self.run.curves["method"]))])
        return looks(list(methods)) | looks(variants)

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each colour: pages give it another shade in the dark."""
        return {colour: i for i, colour in enumerate(dict.fromkeys(look.colour for look in self.look.values()))}

    @cached_property
    def tasks(self) -> list[str]:
        """All tasks with a page."""
        missing = [task for task, *_ in self.measures.missing]
        return sorted({*self.measures.cells["task"], *self.measures.latency["task"], *missing})

    @cached_property
    def episodes(self) -> Mapping[str, pd.DataFrame]:
        """Those of each task, in order."""
        return split(self.measures.episodes.sort_values(["episode", "training_seed"], kind="stable"), "task")

    @cached_property
    def cells(self) -> Mapping[str, pd.DataFrame]:
        """Those of each task."""
        return split(self.measures.cells, "task")

    @cached_property
    def curves(self) -> Mapping[str, pd.DataFrame]:
        """Rows of the learning curves on each task."""
        return split(self.run.curves, "task")

    @cached_property
    def difficulty(self) -> dict[str, str]:
        """Of each task that has one, for people."""
        known = self.measures.cells.set_index("task")["difficulty"].dropna().to_dict()
        return {str(task): str(difficulty).replace("_", " ") for task, difficulty in known.items()}

    def label(self, variant: str) -> Html:
        """A variant's name with its marker."""
        return el("span", swatch(self.look[variant], self.index), el("span", variant), class_="name")


_LONG = {"notes", "reason", "source", "error"}
"""Columns of whole sentences, which need room."""


def task_file(task: str) -> str:
    """Page of a task, relative to the site."""
    return f"tasks/{slug(task)}.html"


def method_anchor(variant: str) -> str:
    """Id of the card of a variant."""
    return f"method-{slug(variant)}"


def plain_table(table: Table, caption: str, **attributes: str) -> Html:
    """Any table of the report, inside a box that scrolls; ``attributes`` are those of the table."""
    kind = {c.title: "number" if c.text else "long" if c.key in _LONG else None for c in table.columns}
    header = table.header()
    kinds = [kind[title] for title in header]
    head = [el("th", title, scope="col", class_=kind) for title, kind in zip(header, kinds, strict=True)]
    body = [
        el("tr", [el("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in table.body()
    ]
    return scrolling(
        el(
            "table",
            el("caption", caption, class_="quiet"),
            el("thead", el("tr", head)),
            el("tbody", body),
            **attributes,
        ),
        caption,
    )


def finder(words: str, table: str) -> Html:
    """A field that hides the rows of a table without its text: ``find.js``, and hidden without scripts."""
    return el("label", f"{words} ", el("input", type="search", data_find=table), class_="find", hidden=True)


def scrolling(table: Html, label: str) -> Html:
    """A table that scrolls by itself on a narrow screen, by keyboard too."""
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def section(anchor: str, title: str, *content: object) -> Html:
    """A part of a page under its heading."""
    return el("section", el("h2", title, id=f"{anchor}-title"), *content, id=anchor, aria_labelledby=f"{anchor}-title")


def facts(pairs: Mapping[str, object]) -> Html:
    """Terms and their values; empty ones are left out."""
    shown = ((term, value) for term, value in pairs.items() if value not in (None, ""))
    return el("dl", [el("div", el("dt", term), el("dd", value)) for term, value in shown])
