"""From records to numbers: what counts, what is refused, what is missing."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.interfaces import UserError
from bench.report import tables
from bench.report.latency import latencies
from bench.report.measures import best, group_latency, groups, measure, success
from bench.stats import wilson
from tests.bench.report.synthetic import make_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]


def test_success_of_one_cell_is_its_wilson_interval() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    measures = measure(run)
    cell = measures.cells[measures.cells["task"] == TASKS[0]]
    solved = run.episodes["success_ever"][run.episodes["task"] == TASKS[0]].sum()
    assert success(cell) == pytest.approx(wilson(int(solved), 20))


def test_order_of_records_changes_nothing() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.8}, seeds=(0, 1))
    shuffled = with_rows(
        run, episodes=run.episodes.sample(frac=1, random_state=1), latency=run.latency.sample(frac=1, random_state=1)
    )
    assert tables.tasks(measure(run)).rows == tables.tasks(measure(shuffled)).rows
    assert tables.summary(measure(run)).rows == tables.summary(measure(shuffled)).rows


def test_an_episode_with_an_error_has_failed() -> None:
    run = make_run(TASKS[:1], {"dp3": 1.0})
    episodes = run.episodes.astype({"error": object})
    episodes.loc[:4, "error"] = "SimulatorError: unstable"
    cells = measure(with_rows(run, episodes=episodes)).cells
    assert (int(cells["k"].iloc[0]), int(cells["n"].iloc[0]), int(cells["errors"].iloc[0])) == (15, 20, 5)


def test_an_episode_recorded_twice_is_refused() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    doubled = with_rows(run, episodes=pd.concat([run.episodes, run.episodes.iloc[[3]]]))
    with pytest.raises(UserError, match=r"episode 3 of dp3 on metaworld/drawer-open.*twice"):
        measure(doubled)


def test_speed_up_is_refused_for_another_checkpoint() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9})
    latency = run.latency.copy()
    of_sdm = (latency["variant"] == "sdm") & (latency["task"] == TASKS[1])
    latency.loc[of_sdm, "checkpoint"] = "f" * 64
    rows = tables.tasks(measure(with_rows(run, latency=latency))).rows
    refused = {(r["task"], r["method"]): r for r in rows}[(TASKS[1], "sdm")]
    assert refused["policy_speedup"] is None
    assert "speed-up refused" in str(refused["notes"])
    assert sum(r["policy_speedup"] is not None for r in rows) == 2  # the other two tasks keep theirs


def test_speed_up_is_refused_where_the_reference_was_another_checkpoint() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9, "sdm": 0.9})
    latency = run.latency.copy()
    latency.loc[latency["variant"] == "dp3", "checkpoint"] = "f" * 64
    timed = measure(with_rows(run, latency=latency)).latency
    assert not timed["same_model"].any()
    found = group_latency(timed[timed["variant"] == "sdm"])
    assert found is not None
    assert found.speedup == {}


def test_a_reference_that_was_only_timed_is_shown_as_not_run() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9})
    only_sdm = with_rows(
        run,
        episodes=run.episodes[run.episodes["variant"] == "sdm"],
        manifest={**run.manifest, "spec": {**run.manifest["spec"], "methods": ["sdm"]}},
    )
    rows = {r["method"]: r for r in tables.summary(measure(only_sdm)).rows if r["group"] == "all"}
    assert rows["dp3"]["success"] == "not run"
    assert rows["sdm"]["policy_speedup"] is not None
    assert measure(only_sdm).missing == []


def test_the_headline_is_one_thread_and_the_latency_table_has_all_modes() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9, "sdm": 0.9})
    backwards = measure(with_rows(run, latency=run.latency.iloc[::-1]))
    for measures in (measure(run), backwards):
        assert set(measures.latency["mode"]) == {"cpu1"}
        rows = latencies(measures).rows
        assert [(r["mode"], r["method"]) for r in rows] == [
            ("cpu1", "dp3"), ("cpu1", "sdm"), ("cpuN", "dp3"), ("cpuN", "sdm"),
        ]  # fmt: skip
        assert rows[1]["per_step_ms"] == rows[1]["e2e_p50_ms"] / 3
        assert (rows[1]["e2e_p97_ms_high"], rows[1]["e2e_p99_ms"], rows[1]["verdict"]) == (None, None, "faster")


def test_a_timing_of_another_checkpoint_is_marked_in_its_mode_alone() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9, "sdm": 0.9})
    latency = run.latency.copy()
    latency.loc[(latency["variant"] == "sdm") & (latency["mode"] == "cpuN"), "checkpoint"] = "f" * 64
    notes = [row["notes"] for row in latencies(measure(with_rows(run, latency=latency))).rows]
    assert notes == ["", "", "", "timed another checkpoint"]


def test_untrained_weights_are_another_checkpoint() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9})
    measures = measure(with_rows(run, latency=run.latency.assign(checkpoint=None)))
    assert not measures.timings["same_model"].any()


def test_marks_of_disturbed_timings() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    latency = run.latency.copy()
    latency.loc[0, "contended"] = True
    latency["warm"] = False
    found = group_latency(measure(with_rows(run, latency=latency)).latency)
    assert found is not None
    assert found.notes == ["machine busy while timed (1 of 3)", "not warm"]
    latency["gpu"] = pd.Series([{"after": {"throttle_reasons": 0x40}}, *[None] * (len(latency) - 1)], dtype=object)
    found = group_latency(measure(with_rows(run, latency=latency)).latency)
    assert found is not None
    assert "GPU throttled (1 of 3)" in found.notes


def test_missing_and_unfinished_cells_are_named() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}, not_run=[(TASKS[0], "sdm")])
    measures = measure(with_rows(run, episodes=run.episodes.iloc[5:]))
    assert sorted(measures.missing) == [(TASKS[0], "dp3", 0, "15 of 20 episodes"), (TASKS[0], "sdm", 0, "not run")]
    row = next(r for r in tables.summary(measures).rows if r["method"] == "sdm")
    assert row["notes"] == "2 of 3 tasks run"


def test_groups_follow_difficulty_and_suites() -> None:
    run = make_run([*TASKS, "adroit/pen"], {"dp3": 0.9})
    assert [g.label for g in groups(measure(run))] == [
        "adroit", "metaworld", "metaworld, easy", "metaworld, medium", "all suites",
    ]  # fmt: skip


def test_pairs_need_the_same_initial_state() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9, "sdm": 0.5})
    episodes = run.episodes.copy()
    episodes.loc[episodes["variant"].eq("sdm") & episodes["episode"].lt(4), "state_hash"] = "0" * 16
    (row,) = tables.paired(run, measure(run)).rows
    (partly,) = tables.paired(with_rows(run, episodes=episodes), measure(run)).rows
    assert (row["pairs"], partly["pairs"]) == (20, 16)
    assert partly["notes"] == "4 refused: other initial state"


def test_pairs_count_a_broken_cell_as_failures() -> None:
    run = make_run(TASKS[:1], {"dp3": 1.0, "sdm": 1.0}, broken=[(TASKS[0], "sdm")])
    (row,) = tables.paired(run, measure(run)).rows
    assert (row["pairs"], row["only_against"], row["difference"]) == (20, 20, -1.0)


def test_a_suite_is_timed_once_for_all_its_groups() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9})
    once = with_rows(run, latency=run.latency[run.latency["task"] == TASKS[0]])
    rows = tables.summary(measure(once)).rows
    assert len({row["e2e_ms"] for row in rows if row["method"] == "sdm"}) == 1
    assert {row["group"] for row in rows} == {"all", "easy", "medium"}


def test_timings_that_failed_are_listed() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9}, latency=False)
    failure = {"unit": "latency", "task": TASKS[0], "training_seed": 0, "key": "a", "error": "MemoryError"}
    failures = [failure, {**failure, "error": "killed"}, {**failure, "key": "b"}]  # twice in one thread mode
    rows = tables.errors(with_rows(run, errors=pd.DataFrame(failures, columns=run.errors.columns))).rows
    assert rows == [{"task": TASKS[0], "error": f"not timed: {what}"} for what in ("killed", "MemoryError")]


def test_a_mode_that_failed_is_listed_beside_one_that_was_timed() -> None:
    run = make_run(TASKS[:1], {"dp3": 0.9})
    failure = {"unit": "latency", "task": TASKS[0], "training_seed": 0, "error": "killed"}
    failures = [{**failure, "key": "untimed"}, {**failure, "key": run.latency["key"].iloc[0]}]
    (row,) = tables.errors(with_rows(run, errors=pd.DataFrame(failures, columns=run.errors.columns))).rows
    assert row == {"task": TASKS[0], "error": "not timed: killed"}


def test_errors_are_listed_by_cell() -> None:
    run = make_run(TASKS, {"dp3": 1.0, "sdm": 1.0}, broken=[(TASKS[0], "sdm")])
    assert tables.errors(run).rows == [
        {
            "task": TASKS[0], "method": "sdm", "training_seed": 0, "error": "SimulatorError: unstable", "episodes": 20,
        }
    ]  # fmt: skip


def test_best_and_tied_with_it() -> None:
    run = make_run([f"metaworld/task-{i}" for i in range(6)], {"dp3": 0.98, "sdm": 0.97, "manicm": 0.2})
    row = {r["method"]: r for r in tables.summary(measure(run)).rows if r["group"] == "all"}
    assert sorted(str(row[name]["best"]) for name in ("dp3", "sdm")) == ["best", "tied with best"]
    assert row["manicm"]["best"] == ""
    assert row["dp3"]["optimality_gap"] == pytest.approx(1 - row["dp3"]["success"].value)
    assert row["dp3"]["iqm"].low <= row["dp3"]["iqm"].value <= row["dp3"]["iqm"].high


def test_best_is_said_of_those_only_that_ran_everything() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9, "manicm": 0.9}, not_run=[(TASKS[0], "manicm")])
    found = best(measure(run).episodes)
    assert set(found) == {"dp3", "sdm"}
    assert not best(measure(make_run(TASKS, {"dp3": 0.9})).episodes)


def test_the_dexart_port_is_never_called_dexart() -> None:
    run = make_run(["dexart/laptop", "dexart/faucet"], {"dp3": 0.9, "sdm": 0.8})
    measures = measure(run)
    assert [group.label for group in groups(measures)] == ["DexArt (MuJoCo port)"]
    for table in (tables.summary(measures), tables.paired(run, measures)):
        assert {row["suite"] for row in table.rows} == {"DexArt (MuJoCo port)"}
