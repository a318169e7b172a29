"""Write the figures of `docs/findings.md` from the records of a run.

    python tools/findings.py results/reference --seeds results/ten-tasks                          # print them
    python tools/findings.py results/reference --seeds results/ten-tasks --into docs/findings.md  # fill the page

A page has a place for each set of figures, from a line `<!-- figures: NAME -->` to the line `<!-- end of figures -->`;
what stands between them is replaced, the rest is left alone. Unfinished runs have figures too: of the tasks that are
complete. `--seeds` names a run of fewer tasks over several training seeds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import findings_seeds
import findings_tables as tables
from findings_orderings import group_orders, method_orders

from bench.interfaces import UserError
from bench.published import load_published
from bench.report import published as verdicts
from bench.report.measures import measure
from bench.report.table import Table
from bench.store import Run, load_run

NOTHING = "Not measured yet."
_PLACE = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def figures(run: Run) -> dict[str, str]:
    """Markdown of every set of figures by the name of its place."""
    none = "None." if tables.complete(run, [tables.TEACHER]).manifest["spec"]["tasks"] else NOTHING
    return {
        "tasks": _state(run),
        "success": _text(tables.success(run)),
        "paired": _text(tables.paired(run)),
        "spread": _text(tables.spreads(run)),
        "speed": _text(tables.speed(run)),
        "weak-tasks": _text(tables.weak_tasks(run), none),
        "falls": _text(tables.falls(run), none),
        "convergence": _text(tables.convergence(run)),
        "published": _published(run),
    }


def filled(page: str, found: Mapping[str, str]) -> str:
    """The page with its places filled.

    Raises:
        UserError: if its places are not those of the figures.
    """
    names = [name for _, name, _ in _PLACE.findall(page)]
    if sorted(names) != sorted(found):
        raise UserError(f"places of figures in the page: {', '.join(names)}; there are figures for {', '.join(found)}")
    return _PLACE.sub(lambda place: f"{place[1]}{found[place[2]]}\n{place[3]}", page)


def _state(run: Run) -> str:
    spec, git = run.manifest["spec"], run.manifest.get("git") or {}
    whole = len(tables.complete(run, spec["methods"]).manifest["spec"]["tasks"])
    words = "All" if whole == len(spec["tasks"]) else f"**Unfinished: {whole}** of the"
    gone = [
        task if set(variants) == set(spec["methods"]) else f"{task} ({', '.join(dict.fromkeys(variants))})"
        for task, variants in tables.lacking(run).items()
    ]
    return (
        f"{words} {len(spec['tasks'])} tasks are complete for all {len(spec['methods'])} variants "
        f"({', '.join(spec['methods'])}): profile {spec['profile']}, training seeds "
        f"{', '.join(map(str, spec['seeds']))}, {spec['episodes']} episodes a cell, code of revision "
        f"{str(git.get('revision') or 'unknown')[:7]}." + (f" Not complete: {'; '.join(gone)}." if gone else "")
    )


def _published(run: Run) -> str:
    figures = load_published()
    judged = verdicts.against_published(run, measure(run), figures)
    orders = (group_orders(run, figures), method_orders(run, figures))
    return "\n\n".join([verdicts.summary(judged), *(f"{table.title}:\n\n{_text(table)}" for table in orders)])


def _text(table: Table, nothing: str = NOTHING) -> str:
    return table.to_markdown().rstrip("\n") if table.rows else nothing


def main() -> int:
    """Print the figures, or fill a page."""
    parser = argparse.ArgumentParser(description="Write the figures of docs/findings.md from the records of a run.")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--seeds", type=Path, help="folder of a run over several training seeds")
    parser.add_argument("--into", type=Path, help="fill the places of this page instead of printing")
    options = parser.parse_args()
    try:
        found = figures(load_run(options.run))
        if options.seeds:
            again = findings_seeds.tables(load_run(options.seeds))
            found |= {name: _text(table) for name, table in again.items()}
        if options.into:
            page = filled(options.into.read_text(encoding="utf-8"), found)
            options.into.write_text(page, encoding="utf-8")
        else:
            print("\n\n".join(f"## {name}\n\n{content}" for name, content in found.items()))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
