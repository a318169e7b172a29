"""How far actions spread: by task, by group, and only where it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report import write_report
from bench.report.measures import measure
from bench.report.spread import ratio, table, task_spreads
from bench.site import write_site
from tests.bench.report.synthetic import make_run, with_rows

TASKS = ["adroit/door", "metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]
SPREADS = {"dp3": 0.2, "sdm": 0.05, "bc": 0.0}


def test_root_mean_square_by_task_leaves_out_episodes_without() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9}, spreads=SPREADS)
    episodes = run.episodes.assign(action_spread=[0.3, 0.4, None] + [None] * 17)
    assert task_spreads(episodes)["dp3"].to_dict() == pytest.approx({"adroit/door": (0.125) ** 0.5})


def test_each_method_against_the_first() -> None:
    run = make_run(TASKS, dict.fromkeys(["dp3", "sdm", "bc", "manicm"], 0.9), spreads=SPREADS)
    rows = {(row["suite"], row["group"], row["method"]): row for row in table(measure(run)).rows}
    everywhere = rows["all suites", "all", "sdm"]
    assert (everywhere["tasks"], everywhere["against"]) == (4, "dp3")
    assert everywhere["spread"] == pytest.approx(0.05)
    assert everywhere["ratio"] == pytest.approx((0.25, 0.25, 0.25))
    assert rows["adroit", "all", "sdm"]["ratio"] == pytest.approx(0.25)  # one task: no interval
    assert "ratio" not in rows["metaworld", "all", "dp3"]
    assert rows["metaworld", "all", "bc"]["spread"] == 0
    assert rows["metaworld", "all", "bc"]["ratio"] is None
    assert not [row for row in rows if row[2] == "manicm"]


def test_ratio_is_of_the_tasks_that_both_have() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, spreads=SPREADS)
    other = (run.episodes["variant"] == "sdm") & (run.episodes["task"] == TASKS[0])
    run.episodes.loc[run.episodes["task"] == TASKS[0], "action_spread"] = 100.0
    run.episodes.loc[other, "action_spread"] = None
    found = task_spreads(run.episodes)
    assert ratio(found["sdm"], found["dp3"]) == pytest.approx((0.25, 0.25, 0.25))
    assert ratio(found["sdm"].iloc[:0], found["dp3"]) is None


@pytest.mark.parametrize("spreads", [SPREADS, None])
def test_report_and_site_show_it_where_rows_have_it(tmp_path: Path, spreads: dict[str, float] | None) -> None:
    run = make_run(TASKS[:2], {"dp3": 0.9, "sdm": 0.9}, spreads=spreads)
    names = {file.name for file in write_report(run, tmp_path / "report")}
    assert ({"spread.md", "spread.csv", "spread.tex"} <= names) == bool(spreads)
    page = (tmp_path / "report" / "README.md").read_text(encoding="utf-8")
    shown = "| sdm | 2 | 0.050 | 0.25× [0.25, 0.25] | dp3 |" in page.replace("\\", "")
    assert shown == ("## Action spread" in page) == bool(spreads)
    site = write_site(run, [], tmp_path / "site").read_text(encoding="utf-8")
    assert ("Action spread" in site) == bool(spreads)


def test_unfinished_runs_have_no_rows() -> None:
    run = make_run(TASKS, {"dp3": 0.9}, spreads=SPREADS)
    assert table(measure(with_rows(run, episodes=run.episodes.iloc[:0]))).rows == []
