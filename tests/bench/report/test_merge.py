"""Several runs in one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.report.measures import measure
from bench.report.merge import merge
from bench.report.tables import summary
from bench.store import Run
from tests.bench.report.synthetic import make_replay, make_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/door-open"]


def named(run: Run, name: str) -> Run:
    return replace(run, path=Path("results") / name)


def other_keys(run: Run, by: str = "ab") -> Run:
    """The same methods, trained by other code."""
    frames = {n: getattr(run, n) for n in ("episodes", "curves", "latency", "realtime")}
    return with_rows(run, **{n: f.assign(key=f["key"].str.replace("^..", by, regex=True)) for n, f in frames.items()})


def test_one_run_stays_as_it_is() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    assert merge([(run, [])]) == (run, [])


def test_a_common_teacher_is_there_once_and_new_methods_join() -> None:
    one, two = make_run(TASKS, {"dp3": 0.9, "sdm": 0.8}), make_run(TASKS, {"dp3": 0.9, "manicm": 0.7})
    both, _ = merge([(named(one, "a"), []), (named(two, "b"), [])])
    assert both.path.name == "a+b"
    assert both.manifest["spec"]["methods"] == ["dp3", "sdm", "manicm"]
    assert both.manifest["command"].count("bench run") == 2
    measures = measure(both)
    assert measures.variants == ["dp3", "sdm", "manicm"]
    assert not measures.missing
    assert len(both.episodes) == 3 * 2 * 20
    marks = {str(row["method"]): row["best"] for row in summary(measures).rows if row["group"] == "all"}
    assert "best" in marks.values()


def test_a_name_that_is_taken_gets_the_name_of_its_run() -> None:
    variants = {"dp3": 0.9, "dp3@nfe=1": 0.5, "sdm": 0.8}
    one, two = make_run(TASKS, variants), other_keys(make_run(TASKS, {**variants, "new": 0.9}))
    replay = make_replay(two, TASKS[0], "sdm", success=True)
    assert replay
    both, replays = merge([(named(one, "a"), []), (named(two, "b"), [replay])])
    assert both.manifest["spec"]["methods"] == [*variants, "b: dp3", "b: dp3@nfe=1", "b: sdm", "new"]
    assert set(both.episodes["method"]) == {"dp3", "sdm", "b: dp3", "b: sdm", "new"}
    assert set(both.curves["method"]) == set(both.episodes["method"])
    rows = both.latency[both.latency["variant"] == "b: dp3@nfe=1"]
    assert set(rows["reference"]) == {"b: dp3"}
    assert measure(both).latency["same_model"].all()
    assert [r.about.variant for r in replays] == ["b: sdm"]


def test_a_variant_of_a_runtime_goes_with_its_method() -> None:
    variants = {"dp3": 0.9, "sdm": 0.8, "sdm+onnx": 0.8}
    one, two = make_run(TASKS, variants), other_keys(make_run(TASKS, variants))
    both, _ = merge([(named(one, "a"), []), (named(two, "b"), [])])
    assert both.manifest["spec"]["methods"] == [*variants, "b: dp3", "b: sdm", "b: sdm+onnx"]
    assert set(both.episodes["method"]) == {"dp3", "sdm", "b: dp3", "b: sdm"}
    assert not measure(both).missing


def test_imported_demos_are_those_of_their_run() -> None:
    one, two = make_run(TASKS, {"dp3": 0.9}), make_run(TASKS, {"sdm": 0.9})
    demos = {TASKS[0]: "1" * 20}
    own = with_rows(one, manifest={**one.manifest, "spec": {**one.manifest["spec"], "demos": demos}})  # type: ignore[arg-type]
    both, _ = merge([(named(own, "a"), []), (named(two, "b"), [])])
    assert both.manifest["spec"]["demos"] == {f"{TASKS[0]} in a": "1" * 20}
    alike, _ = merge([(named(own, "a"), []), (named(own, "b"), [])])
    assert alike.manifest["spec"]["demos"] == demos


def test_three_runs_and_other_tasks() -> None:
    runs = [
        named(make_run([task], {"dp3": 0.9}), name) for task, name in zip([*TASKS, "adroit/pen"], "abc", strict=True)
    ]
    both, _ = merge([(run, []) for run in runs])
    assert both.path.name == "a+b+c"
    assert set(both.episodes["task"]) == {*TASKS, "adroit/pen"}


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    run = make_run(TASKS, {"dp3": 0.9})
    places = ("one/run", "two/run", "two/run", "two-run")
    runs = [(named(other_keys(run, f"a{i}"), place), []) for i, place in enumerate(places)]
    both, _ = merge(runs)
    assert both.path.name == "one-run+two-run+two-run (2)+two-run (3)"
    assert both.manifest["spec"]["methods"] == ["dp3", *(f"two-run{n}: dp3" for n in ("", " (2)", " (3)"))]
    assert len(both.episodes) == 4 * 2 * 20
    assert measure(both).variants == both.manifest["spec"]["methods"]


def test_what_has_no_common_ground_is_refused() -> None:
    one = named(make_run(TASKS, {"dp3": 0.9}), "a")
    fewer = named(make_run(TASKS, {"sdm": 0.9}, episodes=10), "b")
    with pytest.raises(UserError, match="cannot be shown together: episodes 20 and 10"):
        merge([(one, []), (fewer, [])])
    two = named(make_run(TASKS, {"sdm": 0.9}), "b")
    moved = with_rows(two, episodes=two.episodes.assign(state_hash="f" * 16))
    with pytest.raises(UserError, match="starts from another state"):
        merge([(one, []), (moved, [])])
