"""Comparing runs: what is judged, what is refused, what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.comparison import Comparison, compare
from bench.comparison.matching import same_machine
from bench.interfaces import UserError
from bench.stats import Verdict
from bench.store import Run, load_run
from tests.bench.report.synthetic import make_run, save_run, with_rows

TASKS = [f"metaworld/task-{i}" for i in range(8)]


def make(**arguments: Any) -> Run:
    return make_run(TASKS, {"dp3": 0.9, "sdm": 0.85}, **arguments)


def losing(run: Run, variant: str, every: int = 2) -> Run:
    """The run, in which a variant fails every so many episodes that it solved."""
    episodes = run.episodes.copy()
    solved = episodes.index[(episodes["variant"] == variant) & episodes["success_ever"]]
    episodes.loc[solved[::every], "success_ever"] = False
    return with_rows(run, episodes=episodes)


def with_manifest(run: Run, section: str, **fields: Any) -> Run:
    return replace(run, manifest={**run.manifest, section: {**run.manifest[section], **fields}})


def with_latency(run: Run, change: Mapping[str, Any] | None = None, factor: float = 1.0) -> Run:
    latency = run.latency.copy()
    for clock in ("t_e2e", "t_policy"):
        latency[clock] = [{"p50": factor * c["p50"], "p90": c["p90"] and factor * c["p90"]} for c in latency[clock]]
    latency["block_medians"] = [{c: [factor * ms for ms in b[c]] for c in b} for b in latency["block_medians"]]
    for name, value in (change or {}).items():
        latency[name] = [value] * len(latency)
    return with_rows(run, latency=latency)


def test_a_run_is_not_worse_than_itself() -> None:
    found = compare(make(), make())
    assert not found.regression
    assert found.summary == "no regression"
    assert [(row.variant, row.tasks, row.pairs) for row in found.success] == [("dp3", 8, 160), ("sdm", 8, 160)]
    assert {row.verdict for row in found.success} == {Verdict.IDENTICAL}
    assert {row.verdict for row in found.latency} == {"alike"}


def test_a_loss_is_named() -> None:
    base = make(seeds=(0, 1))
    found = compare(base, losing(base, "sdm"))
    verdicts = {row.variant: row.verdict for row in found.success}
    assert verdicts == {"dp3": Verdict.IDENTICAL, "sdm": Verdict.REGRESSION}
    assert found.summary == "REGRESSION: success lost: sdm on metaworld"
    row = found.success[1]
    assert row.new - row.base == pytest.approx(row.difference.value)
    assert row.difference.low < row.difference.value < row.difference.high < 0
    assert not compare(losing(base, "sdm"), base).regression


def test_a_method_that_ends_in_errors_has_lost_its_success() -> None:
    found = compare(make(), make(broken=[(task, "sdm") for task in TASKS]))
    assert found.success[1].verdict is Verdict.REGRESSION
    assert found.success[1].new == 0
    assert found.success[1].lost_tasks


def test_order_of_records_does_not_matter() -> None:
    base, new = make(), losing(make(), "dp3", 5)
    rng = np.random.default_rng(0)
    mixed = [with_rows(r, episodes=r.episodes.iloc[rng.permutation(len(r.episodes))]) for r in (base, new)]
    assert compare(*mixed).to_json() == compare(base, new).to_json()


def test_few_episodes_decide_nothing() -> None:
    base = make_run(TASKS[:1], {"dp3": 0.9}, episodes=5, latency=False)
    found = compare(base, losing(base, "dp3", 5))
    assert not found.regression
    assert found.summary == "no regression; 1 of 1 undecided: too few episodes"


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("spec", {"profile": "paper"}, "spec.profile: lite in base, paper in new"),
        ("spec", {"base_seed": 7}, "spec.base_seed: 0 in base, 7 in new"),
        ("spec", {"control_hz": 20}, "spec.control_hz: None in base, 20 in new"),
        ("versions", {"mujoco": "9.9"}, "versions.mujoco: None in base, 9.9 in new"),
    ],
)
def test_another_contract_is_refused(section: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(make(), with_manifest(make(), section, **fields))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("assets", "metaworld-v3/2", "assets: metaworld-v3/1 in base, metaworld-v3/2 in new"),
        (
            "state_hash",
            "f" * 16,
            "320 episodes have another initial state .first: episode 0 of metaworld/task-0, state_",
        ),
        ("seed", 5, "320 episodes have another initial state"),
    ],
)
def test_other_scenes_are_refused(column: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(make(), with_rows(make(), episodes=make().episodes.assign(**{column: value})))


def test_all_differences_are_named_at_once() -> None:
    other = with_manifest(with_manifest(make(), "spec", profile="smoke"), "versions", metaworld="4")
    with pytest.raises(UserError, match=r"profile.*; versions\.metaworld"):
        compare(make(), other)


def test_missing_episodes_are_refused_and_additional_ones_left_out() -> None:
    part = make(not_run=[(task, "sdm") for task in TASKS[:5]])
    with pytest.raises(
        UserError, match=r"100 episodes are missing in new .sdm on metaworld/task-0, seed 0, .* and 2 more"
    ):
        compare(make(), part)
    assert compare(part, make()).notes == ["100 episodes that only the new run has were left out."]
    with pytest.raises(UserError, match="no episodes"):
        compare(with_rows(make(), episodes=make().episodes.iloc[:0]), make())


def test_latency_is_compared_on_one_machine_only() -> None:
    base = make()
    slow = compare(base, with_latency(base, factor=1.5))
    assert {row.verdict for row in slow.latency} == {"slower"}
    assert slow.regression
    assert slow.latency[0].ratio is not None
    assert slow.latency[0].ratio.value == pytest.approx(1.5)
    assert {row.verdict for row in compare(with_latency(base, factor=1.5), base).latency} == {"faster"}
    assert {row.verdict for row in compare(base, with_latency(base, factor=1.1)).latency} == {"undecided"}
    for change, verdict in (
        (
            {"hardware": {**base.latency["hardware"][0], "cpu": "Other"}},
            "not comparable: cpu Test CPU in base, Other in new",
        ),
        ({"contended": True}, "not comparable: machine busy while timed"),
        ({"warm": False}, "not comparable: not warm"),
        ({"gpu": {"start": {"throttle_reasons": 0x20}, "end": {}}}, "not comparable: GPU throttled"),
    ):
        found = compare(base, with_latency(base, change, factor=1.5))
        assert {row.verdict for row in found.latency} == {verdict}
        assert not found.regression
    torch = {**base.latency["hardware"][0], "torch": "9"}
    assert compare(base, with_latency(base, {"hardware": torch}, factor=1.5)).regression


@pytest.mark.parametrize("change", [{"task": "metaworld/other"}, {"mode": "gpu"}, {"device": "cuda"}])
def test_what_new_did_not_time_is_said(change: dict[str, str]) -> None:
    base = make_run(TASKS[:1], {"dp3": 0.9, "sdm": 0.85})
    found = compare(base, with_latency(base, change, factor=3.0))
    why = "not compared: new has no timing of metaworld/task-0, training seed 0, cpu1 on cpu and 1 more"
    assert {row.verdict for row in found.latency} == {why}
    assert {(row.new_ms, row.ratio, row.p) for row in found.latency} == {(None, None, None)}
    assert found.summary == "no regression; 4 of 4 latencies not compared"
    assert json.loads(found.to_json())["latency"][0]["new_ms"] is None
    assert f"| {why} |" in found.to_markdown()


def test_a_run_without_latency_is_compared_in_none(tmp_path: Path) -> None:
    untimed = load_run(save_run(make(latency=False), tmp_path / "untimed"))
    base = load_run(save_run(make(), tmp_path / "timed"))
    assert compare(base, untimed).summary == "no regression; 4 of 4 latencies not compared"
    assert compare(base, untimed, exact=True).summary == "no regression"  # asked to leave it out
    assert not compare(untimed, base).latency


def test_timings_that_both_have_are_judged_beside_one_that_new_has_not() -> None:
    base = make()
    slow = with_latency(base, factor=3.0)
    part = with_rows(slow, latency=slow.latency[slow.latency["task"] != TASKS[0]])
    found = compare(base, part)
    assert [row.verdict.partition(":")[0] for row in found.latency] == ["slower", "slower", *["not compared"] * 2] * 2
    missing = base.latency[(base.latency["task"] == TASKS[0]) & (base.latency["variant"] == "dp3")]
    assert found.latency[2].base_ms == pytest.approx(np.exp(np.mean([np.log(t["p50"]) for t in missing["t_e2e"]])))


def test_real_time_is_not_judged_and_that_is_said() -> None:
    base = make(control_hz=20)
    lost = with_rows(base, realtime=base.realtime.assign(success_ever=False, success_end=False))
    found = compare(base, lost)
    assert found.summary == "no regression"
    assert found.notes == ["320 real-time episodes of the base run were not compared: no verdict is about them."]


def test_a_slower_method_needs_the_interval_and_mann_whitney() -> None:
    base = make_run(TASKS[:1], {"dp3": 0.9})
    few = base.latency.copy()
    few["block_medians"] = [{clock: ms[:4] for clock, ms in blocks.items()} for blocks in few["block_medians"]]
    few = with_rows(base, latency=few)
    row = compare(few, with_latency(few, factor=1.5)).latency[0]
    assert row.ratio is not None
    assert row.ratio.low > 1.1
    assert row.p is not None
    assert row.p > 0.002  # four blocks against four cannot say more
    assert row.verdict == "undecided"
    assert compare(base, with_latency(base, factor=1.5)).latency[0].verdict == "slower"


def test_rows_without_block_medians_are_not_judged() -> None:
    base = make()
    before = with_rows(base, latency=base.latency.drop(columns="block_medians").assign(block_medians=None))
    found = compare(before, with_latency(base, factor=3.0))
    assert {(row.ratio, row.p) for row in found.latency} == {(None, None)}
    assert {row.verdict for row in found.latency} == {"not judged: recorded without block medians; time again"}
    assert found.latency[0].new_ms / found.latency[0].base_ms == pytest.approx(3.0)
    assert not found.regression
    assert found.summary == "no regression; 4 of 4 latencies not compared"


def test_exact_episodes_on_the_same_machine() -> None:
    base = make()
    episodes = base.episodes.copy()
    episodes.loc[3, "return"] = 0.5
    new = with_rows(base, episodes=episodes)
    found = compare(base, new, exact=True)
    assert found.changed == ["dp3 on metaworld/task-0, training seed 0, episode 3: return was 0.0, is 0.5"]
    assert found.regression
    assert compare(base, new).changed is None
    other = with_manifest(new, "hardware", cpu="Other")
    assert not same_machine(base.manifest, other.manifest)
    elsewhere = compare(base, other, exact=True)
    assert elsewhere.changed is None
    assert "not asked for" in elsewhere.notes[0]
    assert not elsewhere.regression


def test_runs_on_other_gpus_need_not_be_equal() -> None:
    def of(device: str, *gpus: str) -> dict[str, Any]:
        return {"versions": {}, "device": device, "hardware": {"cpu": "x", "gpus": gpus}}

    assert not same_machine(of("cuda", "A100"), of("cuda", "H100"))
    assert same_machine(of("cuda", "A100"), of("cuda", "A100", "A100"))
    assert same_machine(of("cpu"), of("cpu", "A100"))  # not used


def test_json_and_markdown() -> None:
    base = make()
    found: Comparison = compare(base, losing(base, "sdm"))
    content = json.loads(found.to_json())
    assert content["schema"] == "comparison/1"
    assert content["regression"] is True
    assert content["success"][1]["verdict"] == "regression"
    assert len(content["success"][1]["difference"]) == 3
    page = found.to_markdown()
    assert page.startswith("# runs/synthetic against runs/synthetic\n\n**REGRESSION: success lost: sdm")
    assert "| metaworld | sdm | 8 | 160 |" in page


def test_pairs_with_an_empty_hash_are_matched_by_seed() -> None:
    episodes = make().episodes
    episodes.loc[0, ["state_hash", "error"]] = ["", "SimulatorError"]
    assert isinstance(episodes, pd.DataFrame)
    assert compare(make(), with_rows(make(), episodes=episodes)).success[0].pairs == 160
