"""The table of latency in the loop: what it counts, and that it is there only with such records."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.report import realtime_table, summary_table, write_report
from bench.report.measures import measure
from bench.stats import wilson
from tests.bench.report.synthetic import make_run, with_rows

GOLDEN = Path(__file__).parent / "golden"
TASKS = ["metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]
FILES = {"realtime.md", "realtime.csv", "realtime.tex"}


def test_golden_table_and_its_place_on_the_page(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.95, "sdm": 0.9}, broken=[(TASKS[2], "sdm")], control_hz=20)
    assert {f.name for f in write_report(run, tmp_path)} >= FILES
    written = (tmp_path / "realtime.md").read_text(encoding="utf-8")
    assert written == (GOLDEN / "realtime.md").read_text(encoding="utf-8"), "realtime.md changed; copy it if right"
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    table = written.partition("\n\n")[2]
    assert f"## In real time at 20 Hz\n\n{table}" in page
    assert "| metaworld/basketball | sdm | 0 | 20 | in real time: SimulatorError: unstable |" in page


def test_numbers_by_hand() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9}, episodes=3, control_hz=20)
    late = run.realtime.assign(
        success_ever=[True, True, False], steps_to_success=[10, 25, None], calls=[4, 10, 0], held_steps=[4, 15, 0]
    )
    (row,) = realtime_table(with_rows(run, realtime=late)).rows
    assert row["realtime"] == pytest.approx(wilson(2, 3))
    assert (row["n"], row["n_paused"], row["steps"]) == (3, 3, 17.5)
    assert row["waited_steps"] == 1.25  # the third never called the policy


def test_paused_success_is_that_of_the_cells_that_were_run_in_real_time() -> None:
    run = make_run(TASKS, {"dp3": 0.9}, control_hz=20)
    late = run.realtime[run.realtime["task"] == TASKS[0]]
    (row,) = realtime_table(with_rows(run, realtime=late)).rows
    assert (row["tasks"], row["n"], row["n_paused"]) == (1, 20, 20)
    solved = run.episodes[run.episodes["task"] == TASKS[0]]["success_ever"]
    assert row["paused"] == pytest.approx(wilson(int(solved.sum()), 20))


def test_episodes_in_real_time_count_nowhere_else() -> None:
    with_them = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, control_hz=20)
    empty = with_rows(with_them, realtime=with_them.realtime.iloc[:0])
    assert summary_table(with_them).body() == summary_table(empty).body()


def test_without_records_there_is_no_table(tmp_path: Path) -> None:
    assert not FILES & {f.name for f in write_report(make_run(TASKS, {"dp3": 0.9}), tmp_path)}
    assert "real time" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_cells_that_were_asked_for_and_are_not_there_are_named() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9}, control_hz=20)
    assert measure(run).missing == []
    cut = with_rows(run, realtime=run.realtime.iloc[:5])
    assert measure(cut).missing == [(TASKS[0], "dp3", 0, "in real time: 5 of 20 episodes")]


def test_an_episode_that_is_recorded_twice_is_named_with_its_file() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9}, control_hz=20)
    twice = with_rows(run, realtime=run.realtime.iloc[[0, *range(len(run.realtime))]])
    with pytest.raises(UserError, match=r"realtime\.jsonl: episode 0 of dp3"):
        realtime_table(twice)
