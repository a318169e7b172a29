"""Final, selected and best five beside each other: what each is made of, and what is said where it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report import selection, write_report
from bench.report.measures import measure, success
from bench.stats import paper_top5
from bench.store import Run
from tests.bench.report.synthetic import make_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]


def rows(run: Run) -> dict[str, dict[str, object]]:
    return {str(row["method"]): dict(row) for row in selection.table(run.curves, measure(run)).rows}


def with_curve(run: Run, successes: list[int]) -> Run:
    """The run with the same learning curve everywhere."""
    cells = len(run.curves) // len(successes)
    return with_rows(run, curves=run.curves.assign(successes=successes * cells))


def test_numbers_by_hand() -> None:
    run = with_curve(make_run(TASKS, {"dp3": 0.9}), [1, 7, 9, 8, 6])
    row = rows(run)["dp3"]
    assert row["final"] == success(measure(run).cells)
    assert row["selected"].value == pytest.approx(0.9)  # type: ignore[attr-defined]
    assert row["top5"].value == pytest.approx(0.62)  # type: ignore[attr-defined]
    assert (row["trainings"], row["evaluations"], row["last_is_best"], row["n"]) == (3, "5 × 10", 0, 60)
    rates = measure(run).cells["k"] / measure(run).cells["n"]
    bias = [paper_top5(p, episodes=10, evaluations=5, best=1).bias for p in rates]
    assert row["selected_bias"] == pytest.approx(sum(bias) / 3)
    assert row["top5_bias"] == pytest.approx(0, abs=1e-12)
    assert row["notes"] == "five evaluations in all: early weights count too"


def test_too_few_evaluations_are_said_and_not_made_up() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    row = rows(with_rows(run, curves=run.curves[run.curves["step"] > 1800]))["dp3"]
    assert row["top5"] == "has 2 evaluations"
    assert row.get("top5_bias") is None
    assert row["selected"] is not None


def test_variants_without_a_curve_of_their_own_and_cells_without_one() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "dp3@nfe=1": 0.8}, broken=[(TASKS[2], "dp3")])
    found = rows(run)
    assert (found["dp3@nfe=1"]["notes"], found["dp3@nfe=1"].get("selected")) == ("no learning curve", None)
    assert found["dp3@nfe=1"]["final"] is not None
    assert (found["dp3"]["trainings"], found["dp3"]["n"]) == (2, 40)  # all three numbers are of the same trainings
    assert "1 training without a whole curve left out" in str(found["dp3"]["notes"])
    assert rows(with_rows(run, curves=run.curves.iloc[:0])) == {}


def test_order_of_records_changes_nothing() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.8}, seeds=(0, 1))
    shuffled = with_rows(run, curves=run.curves.sample(frac=1, random_state=1))
    assert rows(run) == rows(shuffled)


def test_files_and_place_on_the_page(tmp_path: Path) -> None:
    write_report(make_run(TASKS, {"dp3": 0.9, "sdm": 0.8}), tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "## Which number\n\n| method | trainings | final % |" in page
    assert (tmp_path / "selection.csv").read_text(encoding="utf-8").startswith("suite,method,trainings,final,final_low")
