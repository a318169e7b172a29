"""Has anything got worse? Two runs compared episode by episode, and their timings where the hardware is the same.

``docs/statistics.md`` says what the verdicts mean and how often they are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.comparison.latency import LatencyRow, compare_latency
from bench.comparison.matching import changed_episodes, pair_episodes, same_machine
from bench.comparison.success import SuccessRow, compare_success
from bench.report.measures import suite_title
from bench.report.table import Column, Table, count, factor, milliseconds, probability, share, signed_points
from bench.stats import ALPHA, MARGIN, Verdict
from bench.store import Run

__all__ = ["Comparison", "LatencyRow", "SuccessRow", "compare"]


_SUCCESS = [
    Column("suite", "suite"), Column("variant", "method"), Column("tasks", "tasks", count),
    Column("pairs", "pairs", count), Column("base", "base %", share), Column("new", "new %", share),
    Column("difference", "difference, points", signed_points, interval=True), Column("p_loss", "p (loss)", probability),
    Column("verdict", "verdict"), Column("lost", "tasks that lost"),
]  # fmt: skip
_LATENCY = [
    Column("suite", "suite"), Column("variant", "method"), Column("clock", "clock"),
    Column("base_ms", "base ms", milliseconds), Column("new_ms", "new ms", milliseconds),
    Column("ratio", "new / base", factor, interval=True), Column("p", "p (Mann-Whitney)", probability),
    Column("verdict", "verdict"),
]  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What became of everything that the base run measured."""

    base: str
    new: str
    margin: float
    success: Sequence[SuccessRow]
    latency: Sequence[LatencyRow]
    changed: Sequence[str] | None  # episodes that differ at all; None where equality cannot be asked for
    notes: Sequence[str]

    @property
    def regression(self) -> bool:
        """Whether success was lost, a method became slower, or outcomes that must be equal are not."""
        worse = any(row.verdict is Verdict.REGRESSION for row in self.success)
        return worse or any(row.verdict == "slower" for row in self.latency) or bool(self.changed)

    @property
    def summary(self) -> str:
        """The overall verdict in a line."""
        lost = [f"{r.variant} on {r.suite}" for r in self.success if r.verdict is Verdict.REGRESSION]
        slow = [f"{r.variant} on {r.suite} ({r.clock})" for r in self.latency if r.verdict == "slower"]
        parts = [f"success lost: {', '.join(lost)}"] * bool(lost) + [f"slower: {', '.join(slow)}"] * bool(slow)
        parts += [f"{len(self.changed)} episodes changed, which must not"] if self.changed else []
        if parts:
            return f"REGRESSION: {'; '.join(parts)}"
        open_ = sum(row.verdict is Verdict.UNDECIDED for row in self.success)
        untold = sum(row.verdict.startswith("not") for row in self.latency)
        words = f"; {open_} of {len(self.success)} undecided: too few episodes" if open_ else ""
        return f"no regression{words}" + (f"; {untold} of {len(self.latency)} latencies not compared" if untold else "")

    def to_json(self) -> str:
        """All of it, schema ``comparison/1``: shares from 0 to 1, intervals as ``[value, low, high]``."""
        content = {
            "schema": "comparison/1", "base": self.base, "new": self.new, "regression": self.regression,
            "summary": self.summary, "margin": self.margin, "alpha": ALPHA,
            "success": [asdict(row) for row in self.success], "latency": [asdict(row) for row in self.latency],
            "changed": self.changed, "notes": self.notes,
        }  # fmt: skip
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def tables(self) -> list[Table]:
        """Success, and latency where the base run has any."""
        made = [Table("Success", _SUCCESS, [
            {**vars(r), "suite": suite_title(r.suite), "lost": ", ".join(r.lost_tasks)} for r in self.success
        ])]  # fmt: skip
        if self.latency:
            made.append(Table("Latency", _LATENCY, [{**vars(r), "suite": suite_title(r.suite)} for r in self.latency]))
        return made

    def to_markdown(self) -> str:
        """A page: the verdict, the tables, what differs."""
        parts = [f"# {self.new} against {self.base}", f"**{self.summary}**"]
        parts += [f"## {table.title}\n\n{table.to_markdown()}" for table in self.tables()]
        if self.changed:
            parts.append("## Changed episodes\n\n" + "\n".join(f"- {line}" for line in self.changed))
        parts += [f"- {note}" for note in self.notes]
        return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def compare(base: Run, new: Run, *, margin: float = MARGIN, exact: bool = False) -> Comparison:
    """Compare ``new`` with ``base`` on everything that ``base`` ran; what only ``new`` ran is left out.

    Args:
        margin: loss of mean success that would matter, as a share of one.
        exact: ``new`` is the base run again, without latency and real time: ask for equal episodes where versions and
            hardware are equal (`same_machine`).

    Raises:
        UserError: if the runs cannot be compared, with every field that differs.
    """
    pairs = pair_episodes(base, new, paused=exact)
    notes, changed = [], None
    if more := len(new.episodes) - len(pairs):
        notes.append(f"{more} episodes that only the new run has were left out.")
    if exact and same_machine(base.manifest, new.manifest):
        changed = changed_episodes(pairs)
    elif exact:
        notes.append("Other versions or another processor or GPU than the base run: equal episodes were not asked for.")
    if unjudged := len(base.realtime):
        notes.append(f"{unjudged} real-time episodes of the base run were not compared: no verdict is about them.")
    success, latency = compare_success(pairs, margin), [] if exact else list(compare_latency(base, new))
    return Comparison(str(base.path), str(new.path), margin, success, latency, changed, notes)
