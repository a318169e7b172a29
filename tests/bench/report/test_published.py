"""Against published figures: the protocol first, then the number, and a line of reason either way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import methods
from bench.published import Published, load_published
from bench.report import write_report
from bench.report.measures import measure
from bench.report.protocol import Match
from bench.report.published import against_published, compared, refused, summary, verdict
from bench.stats import Estimate
from bench.store import Run
from tests.bench.report.synthetic import make_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/door-open"]  # both easy
FIGURE = {
    "trust": "primary", "method": "DP3", "suite": "metaworld", "group": "Easy(2)", "n_tasks": 2,
    "metric": "success_rate", "value": 90.0, "unit": "%", "variants": ["dp3"], "tasks": "metaworld:easy",
}  # fmt: skip
SOURCE = {
    "name": "a paper", "sizes": "paper", "engines": {"metaworld": "metaworld 3.1.1"}, "success": {"metaworld": "ever"},
    "training_seeds": 1, "selection": "final", "episodes": 20,
}  # fmt: skip
TOP5 = {"selection": "paper-top5", "evaluations": 5, "episodes": 10}


def paper_run(tasks: list[str] = TASKS, profile: str = "paper", **arguments: Any) -> Run:
    run = make_run(tasks, {"dp3": 0.95, "sdm": 0.9}, **arguments)
    return replace(run, manifest={**run.manifest, "spec": {**run.manifest["spec"], "profile": profile}})


def judge(run: Run, figure: dict[str, Any] | None = None, source: dict[str, Any] | None = None) -> dict[str, Any]:
    facts = {k: v for k, v in {**SOURCE, **(source or {})}.items() if v is not None}
    content = {"schema": "published/1", "ports": {"dexart": "DexArt is a port here"}}
    sources = [{**facts, "figures": [{**FIGURE, **(figure or {})}]}]
    (row,) = against_published(run, measure(run), Published.model_validate({**content, "sources": sources})).rows
    return dict(row)


def test_every_published_figure_has_a_verdict_or_a_reason() -> None:
    published = load_published()
    for run in (make_run(TASKS, {"dp3": 0.9, "manicm": 0.9, "sdm": 0.9}), paper_run(seeds=(0, 1, 2))):
        table = against_published(run, measure(run), published)
        assert len(table.rows) == 105
        for row in table.rows:
            assert row["verdict"] in ("reproduced", "close", "differs", "not comparable")
            assert row["verdict"] != "not comparable" or row["reason"]
            assert "\n" not in str(row["reason"])
            assert row["source"]
            assert row["trust"]
        assert "Of 105 figures" in summary(table)


def test_a_lite_run_is_compared_with_nothing() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "manicm": 0.9, "sdm": 0.9})
    table = against_published(run, measure(run), load_published())
    assert not compared(table).rows
    assert "none is comparable" in summary(table)


def test_dexart_figures_are_never_compared() -> None:
    engines = {"dexart": "metaworld 3.1.1"}
    run = paper_run(["dexart/laptop"])
    for metric in ("success_rate", "inference_time", "parameters"):
        figure = {"suite": "dexart", "tasks": "dexart/laptop", "n_tasks": None, "metric": metric}
        row = judge(run, figure, {"engines": engines, "hardware": "Test CPU"})
        assert (row["verdict"], row["reason"]) == ("not comparable", "DexArt is a port here")
    table = against_published(run, measure(run), load_published())
    assert not [row for row in compared(table).rows if "dexart" in str(row["suite"])]
    port = load_published().ports["dexart"]
    assert [row["reason"] for row in table.rows if row["suite"] == "dexart"] == [port, port]
    assert refused(table) == [f"2 published figures of dexart are {port}."]
    assert "DexArt (MuJoCo port)" in port


@pytest.mark.parametrize("tasks", [TASKS, ["dexart/laptop", *TASKS]])
def test_the_report_says_that_dexart_figures_are_refused(tmp_path: Path, tasks: list[str]) -> None:
    write_report(make_run(tasks, {"dp3": 0.9, "sdm": 0.9}), tmp_path)
    line = "refused: the suite here is DexArt (MuJoCo port), with another engine"
    assert f"2 published figures of dexart are {line}" in (tmp_path / "README.md").read_text(encoding="utf-8")
    for name in ("published.md", "published.csv", "published.tex"):
        assert (tmp_path / name).read_text(encoding="utf-8").count(line) == 2
    suites = {line.split(",")[0] for line in (tmp_path / "selection.csv").read_text(encoding="utf-8").splitlines()[1:]}
    assert suites <= {"metaworld", "DexArt (MuJoCo port)"}


def test_no_method_of_this_project_is_said_to_be_none() -> None:
    """Names of papers lead to names here: whoever adds a method learns that figures of it are known."""
    for source in load_published().sources:
        for figure in source.figures:
            own = figure.method.rstrip("*").lower().replace(" ", "_")
            names = {own, own.partition("_")[0]} if own.endswith("_policy") else {own, own.partition("_(")[0]}
            if names & set(methods.names()):
                assert figure.variants or figure.barred, figure.method


def test_an_average_that_holds_a_port_says_so() -> None:
    faster = {"metric": "speedup_vs_DP3", "value": 1.0, "unit": "x", "variants": ["sdm"], "reference": "dp3"}
    row = judge(paper_run(), faster, {"engines": {"metaworld": "v2", "dexart": "SAPIEN"}})
    assert "an average that holds dexart, a port here" in row["reason"]


@pytest.mark.parametrize(
    ("metric", "published", "word"),
    [
        ("success_rate", 78.0, "reproduced"), ("success_rate", 82.0, "reproduced"), ("success_rate", 84.9, "close"),
        ("success_rate", 75.0, "close"), ("success_rate", 85.1, "differs"), ("inference_time", 87.9, "close"),
        ("inference_time", 72.8, "close"), ("inference_time", 88.1, "differs"), ("parameters", 72.0, "differs"),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_interval_then_nearness(metric: str, published: float, word: str) -> None:
    found = Match("dp3", Estimate(80.0, 78.0, 82.0), published)
    assert verdict(found, metric) == (word, "")


@pytest.mark.parametrize("selection", [{}, TOP5])
def test_equal_protocols_are_compared(selection: dict[str, Any]) -> None:
    here = judge(paper_run(), source=selection)["here"]
    row = judge(paper_run(), {"value": here.value}, selection)
    assert (row["verdict"], row["reason"], row["kind"]) == ("reproduced", "", None)
    assert judge(paper_run(), {"value": 10.0}, selection)["verdict"] == "differs"


def test_the_published_selection_rule_is_followed() -> None:
    run = paper_run()
    final, best = judge(run)["here"], judge(run, source=TOP5)["here"]
    curve = run.curves[run.curves["method"] == "dp3"]
    assert best.value == pytest.approx(100 * (curve["successes"] / curve["episodes"]).mean())
    assert final.value != best.value


@pytest.mark.parametrize(
    ("source", "figure", "reason"),
    [
        ({"engines": {"metaworld": "metaworld v2"}}, {}, "metaworld v2 there, metaworld 3.1.1 here"),
        ({"engines": {}}, {}, "its simulator is not stated"),
        ({"sizes": None}, {}, "its network sizes are not stated"),
        ({"success": {"metaworld": "end"}}, {}, "success at the end of an episode there, in any step here"),
        ({**TOP5, "evaluations": 15}, {}, "best five of 15 × 10 there, evaluations are 5 × 10 here"),
        ({}, {"tasks": None, "n_tasks": 18}, "its 18 tasks are not named"),
        ({}, {"n_tasks": 28}, "2 of 28 tasks were run"),
        ({}, {"tasks": "metaworld/assembly"}, "dp3 was not run on metaworld/assembly"),
        ({}, {"variants": ["dp3@nfe=4"]}, "dp3@nfe=4 was not run on metaworld:easy"),
        ({}, {"variants": [], "method": "MP1"}, "MP1 is not part of this project"),
        ({}, {"barred": "measured on a real robot"}, "measured on a real robot"),
    ],
)
def test_another_protocol_is_not_comparable(source: dict[str, Any], figure: dict[str, Any], reason: str) -> None:
    row = judge(paper_run(), figure, source)
    assert (row["verdict"], row["reason"], row["here"]) == ("not comparable", reason, None)


def test_all_that_bars_a_comparison_is_named_at_once() -> None:
    row = judge(paper_run(profile="lite"), {"n_tasks": 28}, {"engines": {"metaworld": "metaworld v2"}})
    assert row["reason"] == (
        "profile lite, published sizes are those of paper; metaworld v2 there, metaworld 3.1.1 here; "
        "2 of 28 tasks were run"
    )
    assert row["kind"] == "other network sizes"


def test_without_curves_the_best_five_cannot_be_had() -> None:
    row = judge(paper_run(curves=False), source=TOP5)
    assert row["reason"] == "best five of 5 × 10 there, dp3 has no learning curve here"


def test_unfinished_cells_are_not_compared() -> None:
    run = paper_run()
    row = judge(with_rows(run, episodes=run.episodes.iloc[3:]))
    assert row["reason"] == "cells of 1 tasks are unfinished"


@pytest.mark.parametrize(
    ("source", "figure", "limit"),
    [
        ({"training_seeds": 3}, {}, "3 training seeds there, 1 here"),
        ({"training_seeds": None}, {}, "unknown training seeds there, 1 here"),
        ({"episodes": 100}, {}, "100 episodes there, 20 here"),
        ({"selection": None}, {}, "which evaluation it reports is not stated: the final one is taken"),
        ({}, {"trust": "secondary"}, "secondary source"),
        ({}, {"variants": ["dp3-released", "dp3"]}, "dp3 is not dp3-released, the form that was published"),
    ],
)
def test_smaller_differences_make_a_verdict_directional(
    source: dict[str, Any], figure: dict[str, Any], limit: str
) -> None:
    row = judge(paper_run(), figure, source)
    assert row["verdict"] in ("reproduced", "close", "differs")
    assert row["reason"] == f"directional: {limit}"


def test_times_need_the_same_hardware() -> None:
    run = paper_run()
    figure = {"metric": "inference_time", "value": 9.2, "unit": "ms/call"}
    assert judge(run, figure)["reason"] == "its hardware is not stated"
    assert judge(run, figure, {"hardware": "RTX 4090"})["reason"] == "RTX 4090 there, Test CPU here"
    assert judge(run, {**figure, "value": 40.0}, {"hardware": "Test CPU"})["verdict"] == "differs"
    clock = measure(run).latency["t_policy"][measure(run).latency["variant"] == "dp3"].iloc[0]
    row = judge(run, {**figure, "value": clock["p50"]}, {"hardware": "Test CPU", "clock": "unsynchronised"})
    assert (row["verdict"], row["reason"]) == ("reproduced", "directional: unsynchronised there")


def test_ratios_and_counts() -> None:
    run = paper_run()
    faster = {"metric": "speedup_vs_teacher", "value": 1.0, "unit": "x", "variants": ["sdm"], "reference": "dp3"}
    row = judge(run, faster)
    assert row["verdict"] == "differs"
    assert row["reason"] == "directional: hardware not stated there; timed on 2 tasks here"
    assert judge(run, {**faster, "value": row["here"].value})["verdict"] == "reproduced"
    assert judge(run, {**faster, "reference": "dp"})["reason"] == "sdm was not timed against dp"
    busy = with_rows(run, latency=run.latency.assign(contended=True))
    assert judge(busy, faster)["reason"].endswith("timed on 2 tasks here; machine busy while timed")
    parameters = {"metric": "parameters", "value": 1_150_000, "encoder": 50_000, "unit": "count", "tasks": "metaworld"}
    assert judge(run, parameters)["verdict"] == "reproduced"
    assert judge(run, {**parameters, "encoder": 40_000})["verdict"] == "close"
    assert judge(run, {**parameters, "encoder": None, "value": 255_138_308})["verdict"] == "differs"
