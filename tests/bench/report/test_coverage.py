"""Unfinished runs: what the page, the tables and the site say of them, and what they do not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.report import tables, write_report
from bench.report.coverage import unfinished
from bench.report.curves import curve
from bench.report.measures import measure, seed_spread
from bench.store import Run
from tests.bench.report.synthetic import make_run, with_rows

TASKS = [f"metaworld/task-{i}" for i in range(6)]


def cut(run: Run, keep: pd.Series) -> Run:
    """The run with these of its episodes."""
    return with_rows(run, episodes=run.episodes[keep])


def support(run: Run, folder: Path) -> list[str]:
    """Lines of the page's last section."""
    write_report(run, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    return text.partition("## What these numbers can support\n\n")[2].splitlines()


def test_what_is_missing_is_counted_by_task() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, control_hz=20)
    assert unfinished(run, measure(run)) is None
    whole, begun = run.episodes["task"].isin(TASKS[:2]), run.episodes["task"].eq(TASKS[2])
    part = cut(run, whole | (begun & run.episodes["variant"].eq("dp3")))
    assert unfinished(part, measure(part)) == "The run is unfinished: 2 of 6 tasks are whole, 1 in part."
    late = with_rows(run, realtime=run.realtime[run.realtime["task"] != TASKS[0]])
    assert unfinished(late, measure(late)) == "The run is unfinished: 5 of 6 tasks are whole, 1 in part."


def test_support_is_of_what_ran(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, seeds=(0, 1), curves=False)
    lines = support(run, tmp_path / "whole")
    assert lines[0].startswith("- One task, 40 episodes: success near 80 % is known to ±12.1 points")
    assert lines[1].startswith("- Mean over 6 tasks, 240 episodes: to about ±5.0 points")
    assert lines[2].startswith("- 2 training seeds")
    own = run.episodes
    lines = support(cut(run, own["task"].isin(TASKS[:2]) & own["training_seed"].eq(0)), tmp_path / "part")
    assert lines[0].startswith("- The run is unfinished: 0 of 6 tasks are whole, 2 in part.")
    assert lines[1].startswith("- One task, 20 episodes: success near 80 % is known to ±16.8 points")
    assert lines[2].startswith("- Mean over 2 tasks, 40 episodes: to about ±12.1 points. Run more")
    assert lines[3].startswith("- One training seed")


def test_support_is_of_the_method_with_the_least(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, curves=False)
    begun = run.episodes["task"].eq(TASKS[3])
    keep = run.episodes["task"].isin(TASKS[:3]) | (begun & run.episodes["variant"].eq("dp3"))
    lines = support(cut(run, keep & ~(begun & run.episodes["episode"].gt(4))), tmp_path)
    assert lines[1].startswith("- One task, at least 5 episodes: success near 80 % is known to ±")
    assert lines[2].startswith("- Mean over at least 3 tasks, at least 60 episodes: to about ±10.0 points")


@pytest.mark.parametrize("latency", [False, True])
def test_without_an_episode_nothing_is_supported(tmp_path: Path, latency: bool) -> None:
    run = make_run(TASKS, {"dp3": 0.9}, latency=latency, curves=False)
    lines = support(cut(run, run.episodes["task"].eq("")), tmp_path)
    assert lines[0].startswith("- The run is unfinished: 0 of 6 tasks are whole.")
    assert lines[1:] == ["- Nothing yet: no episode was run."]


def test_the_page_says_first_that_the_run_is_unfinished(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, curves=False, latency=False)
    for name, part in (("whole", run), ("part", cut(run, run.episodes["task"].isin(TASKS[:2])))):
        write_report(part, tmp_path / name)
        second = (tmp_path / name / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
        assert (second == "**The run is unfinished: 2 of 6 tasks are whole.**") == (name == "part")


def trained_in_part() -> Run:
    """Task 0 always solved and task 1 never; training seeds 1 and 2 of sdm lack task 1."""
    run = make_run(TASKS[:2], {"dp3": 1.0, "sdm": 1.0}, seeds=(0, 1, 2), latency=False)
    own = run.episodes.assign(success_ever=run.episodes["task"].eq(TASKS[0]))
    whole = with_rows(run, episodes=own, curves=run.curves.assign(successes=10 * run.curves["task"].eq(TASKS[0])))
    late = own["variant"].eq("sdm") & own["task"].eq(TASKS[1]) & own["training_seed"].gt(0)
    curves = whole.curves
    cut_curves = curves["method"].eq("sdm") & curves["task"].eq(TASKS[1]) & curves["training_seed"].gt(0)
    return with_rows(whole, episodes=own[~late], curves=curves[~cut_curves])


def test_the_summary_counts_cells_where_tasks_do_not_tell() -> None:
    rows = {row["method"]: row for row in tables.summary(measure(trained_in_part())).rows if row["group"] == "all"}
    assert (rows["dp3"]["notes"], rows["sdm"]["notes"]) == ("", "4 of 6 cells whole")
    run = make_run(TASKS[:2], {"dp3": 0.9}, latency=False, control_hz=20)
    begun = run.episodes["task"].eq(TASKS[0]) & run.episodes["episode"].gt(4)
    rows = {row["group"]: row for row in tables.summary(measure(cut(run, ~begun))).rows}
    assert rows["all"]["notes"] == "1 of 2 cells whole"
    late = with_rows(run, realtime=run.realtime[run.realtime["task"] != TASKS[0]])
    assert {row["notes"] for row in tables.summary(measure(late)).rows} == {""}


def test_seed_spread_is_not_the_difference_between_tasks() -> None:
    cells = measure(trained_in_part()).cells
    assert seed_spread(cells[cells["variant"] == "dp3"]) == "50.0–50.0"
    sdm = cells[cells["variant"] == "sdm"]
    assert seed_spread(sdm) == "100.0–100.0"
    assert seed_spread(sdm[(sdm["task"] == TASKS[0]) == (sdm["training_seed"] > 0)]) is None


def test_lines_of_seeds_are_not_the_difference_between_tasks() -> None:
    curves = trained_in_part().curves
    assert curve(curves[curves["method"] == "dp3"]).seeds == [[0.5] * 5] * 3
    sdm = curves[curves["method"] == "sdm"]
    assert curve(sdm).seeds == [[1.0] * 5] * 3
    assert curve(sdm[(sdm["task"] == TASKS[0]) == (sdm["training_seed"] > 0)]).seeds == []


def test_what_differs_between_suites_stands_for_none() -> None:
    run = make_run(["adroit/pen", TASKS[0], TASKS[1]], {"dp3": 0.9, "sdm": 0.9})
    small = run.latency["suite"].eq("adroit")
    latency = run.latency.assign(params_network=run.latency["params_network"].where(~small, 700_000))
    rows = tables.summary(measure(with_rows(run, latency=latency))).rows
    found = {row["suite"]: row for row in rows if row["method"] == "sdm" and row["group"] == "all"}
    assert [found[s]["params_network"] for s in ("adroit", "metaworld", "all suites")] == [700_000, 1_100_000, None]
    assert {row["nfe"] for row in found.values()} == {1}
    assert {row["reference"] for row in found.values()} == {"dp3"}
