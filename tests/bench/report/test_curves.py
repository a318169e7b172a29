"""Learning curves of groups: of the same tasks for all methods, to their end."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.report import write_report
from bench.report.curves import curve, group_curves, group_panels
from bench.report.measures import groups, measure
from bench.report.style import looks
from bench.site import write_site
from bench.store import Run
from tests.bench.report.synthetic import make_run, with_rows

TASKS = [f"metaworld/task-{i}" for i in range(10)]
ALL = [*TASKS, "adroit/door", "adroit/pen"]


def panels(run: Run) -> dict[str, pd.DataFrame]:
    return dict(group_panels(run.curves, groups(measure(run))))


def titles(run: Run, folder: Path) -> str:
    """The site's learning curves."""
    write_site(run, [], folder)
    page = (folder / "index.html").read_text(encoding="utf-8")
    return page.partition("Learning curves</h2>")[2].partition("</section>")[0]


@pytest.fixture
def unfinished() -> Run:
    """Both methods succeed alike, and the second was not run where both always fail."""
    run = make_run(ALL, {"dp3": 0.9, "sdm": 0.9}, not_run=[(task, "sdm") for task in TASKS[8:]], latency=False)
    return with_rows(run, curves=run.curves.assign(successes=(~run.curves["task"].isin(TASKS[8:])) * 10))


def test_methods_are_compared_over_the_tasks_that_all_have(unfinished: Run, tmp_path: Path) -> None:
    found = panels(unfinished)
    assert "metaworld: 8 of 10 tasks" in found
    assert {"adroit", "metaworld, easy", "all suites: 10 of 12 tasks"} <= set(found)
    rows = found["metaworld: 8 of 10 tasks"]
    assert {curve(own).points[-1].success.value for _, own in rows.groupby("method")} == {1.0}
    assert "metaworld: 8 of 10 tasks" in titles(unfinished, tmp_path / "site")
    files = {file.name for file in write_report(unfinished, tmp_path)}
    assert {"learning_curves.svg", "learning_curves_tasks.svg"} <= files
    assert "8 of 10" not in "".join(panels(make_run(ALL, {"dp3": 0.9, "sdm": 0.9})))


def test_panels_reach_to_the_end_of_the_longest_training() -> None:
    run = make_run(ALL, {"dp3": 0.9})
    longer = run.curves["step"].where(run.curves["suite"] == "adroit", 2 * run.curves["step"])
    run = with_rows(run, curves=run.curves.assign(step=longer))
    figure = group_curves(group_panels(run.curves, groups(measure(run))), looks(["dp3"]))
    assert all(axis.get_xlim()[1] > longer.max() for axis in figure.axes)


def test_training_seeds_are_shared_too() -> None:
    run = make_run(ALL, {"dp3": 0.9, "sdm": 0.9}, seeds=(0, 1))
    gone = (run.curves["method"] == "sdm") & (run.curves["training_seed"] == 1) & (run.curves["task"] == TASKS[0])
    found = panels(with_rows(run, curves=run.curves[~gone]))
    assert {"metaworld: 19 of 20 trainings", "metaworld, medium"} <= set(found)


def test_trainings_that_broke_do_not_cut_the_others_short() -> None:
    run = make_run(ALL, {"dp3": 0.9, "sdm": 0.9})
    broke = (run.curves["task"] == TASKS[0]) & (run.curves["method"] == "dp3") & (run.curves["step"] > 600)
    rows = panels(with_rows(run, curves=run.curves[~broke]))["metaworld: 9 of 10 tasks"]
    assert curve(rows[rows["method"] == "dp3"]).points[-1].step == 3000


def test_suites_that_train_for_different_numbers_of_steps_share_no_panel(tmp_path: Path) -> None:
    run = make_run(ALL, {"dp3": 0.9, "sdm": 0.9})
    longer = run.curves["step"].where(run.curves["suite"] != "adroit", 2 * run.curves["step"])
    assert "all suites" in panels(run)
    assert "all suites" in titles(run, tmp_path / "alike")
    assert {"adroit", "metaworld"} <= set(found := panels(with_rows(run, curves=run.curves.assign(step=longer))))
    assert "all suites" not in found
    shown = titles(with_rows(run, curves=run.curves.assign(step=longer)), tmp_path / "longer")
    assert "metaworld, easy" in shown
    assert "all suites" not in shown


def test_no_task_in_common_leaves_the_curves_of_tasks(tmp_path: Path) -> None:
    apart = [*((task, "sdm") for task in TASKS[:5]), *((task, "dp3") for task in TASKS[5:])]
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, not_run=apart, latency=False)
    files = {file.name for file in write_report(run, tmp_path)}
    assert "learning_curves_tasks.svg" in files
    assert "learning_curves.svg" not in files
    assert titles(run, tmp_path / "site").count("<figure>") == 0
