"""`tools/findings.py` on runs whose answers are known."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench.interfaces import UserError
from bench.published import load_published
from bench.store import Run
from tests.bench.report.synthetic import make_run, save_run, with_rows

ROOT = Path(__file__).parent.parent
METAWORLD = [f"metaworld/task-{i}" for i in range(10)]  # difficulties repeat: easy, easy, medium, hard, very hard
TASKS = [*METAWORLD, "adroit/door"]
SOLVED = {"dp3": 18, "dp3@nfe=1": 12, "manicm": 12, "sdm": 16}
SPREADS = {"dp3": 0.4, "dp3@nfe=1": 0.1, "sdm": 0.2}


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import findings_tables

    return findings_tables


@pytest.fixture
def orderings(tables: ModuleType) -> ModuleType:
    import findings_orderings

    return findings_orderings


@pytest.fixture
def seeds(tables: ModuleType) -> ModuleType:
    import findings_seeds

    return findings_seeds


@pytest.fixture
def findings(tables: ModuleType) -> ModuleType:
    import findings

    return findings


def solved(run: Run, variant: str, count: int, tasks: list[str] = TASKS) -> Run:
    """The run in which a variant solves the first ``count`` episodes of these tasks, to their end."""
    own = (run.episodes["variant"] == variant) & run.episodes["task"].isin(tasks)
    wins = run.episodes["success_ever"].where(~own, run.episodes["episode"] < count)
    return with_rows(run, episodes=run.episodes.assign(success_ever=wins, success_end=wins))


@pytest.fixture
def known() -> Run:
    run = make_run(TASKS, dict.fromkeys(SOLVED, 0.9), spreads=SPREADS)
    for variant, count in SOLVED.items():
        run = solved(run, variant, count)
    return run


def without(run: Run, task: str, variant: str) -> Run:
    """The run that lacks one episode there."""
    gone = (run.episodes["task"] == task) & (run.episodes["variant"] == variant) & (run.episodes["episode"] == 7)
    return with_rows(run, episodes=run.episodes[~gone])


def test_differences_are_paired_and_adjusted(tables: ModuleType, known: Run) -> None:
    rows = tables.paired(known).rows
    overall = [row for row in rows if (row["suite"], row["group"]) == ("all suites", "all")]
    assert rows[: len(overall)] == overall
    assert [(row["method"], row["against"]) for row in overall] == tables.COMPARISONS
    gains = [4, 4, 0, -2, -6, -6]  # of 20 episodes
    assert [row["difference"].value for row in overall] == pytest.approx([gain / 20 for gain in gains])
    assert (overall[0]["only_first"], overall[0]["only_second"], overall[0]["tasks"]) == (44, 0, 11)
    assert overall[0]["difference"].low > 0 > overall[3]["difference"].high
    exact = 2 / 2**11
    assert [row["p"] for row in overall] == pytest.approx([exact] * 2 + [1] + [exact] * 3)
    assert [row["p_holm"] for row in overall] == pytest.approx([6 * exact] * 2 + [1] + [6 * exact] * 3)
    assert [row["shown"] for row in overall] == [
        "sdm more", "sdm more", "no", "sdm less", "manicm less", "dp3@nfe=1 less",
    ]  # fmt: skip


def test_groups_are_suites_and_difficulties_and_few_tasks_show_nothing(tables: ModuleType, known: Run) -> None:
    rows = [row for row in tables.paired(known).rows if (row["method"], row["against"]) == ("sdm", "manicm")]
    assert [(row["suite"], row["group"], row["tasks"]) for row in rows] == [
        ("all suites", "all", 11), ("adroit", "all", 1), ("metaworld", "all", 10), ("metaworld", "easy", 4),
        ("metaworld", "medium", 2), ("metaworld", "hard", 2), ("metaworld", "very hard", 2),
        ("all suites", "dp3 spreads little", 11), ("metaworld", "no fine contact", 10),
    ]  # fmt: skip
    assert [row["shown"] for row in rows[3:7]] == ["too few tasks"] * 4
    assert {row["group"] for row in tables.paired(known).rows if row["against"] == "dp3"} == {"all"}


def test_kinds_of_task(tables: ModuleType) -> None:
    """A spread is wide or not within its suite, as units of actions differ."""
    tasks = ["adroit/door", "adroit/pen", "metaworld/assembly", "metaworld/reach", "metaworld/push"]
    run = make_run(tasks, dict.fromkeys(SOLVED, 0.9), spreads=SPREADS)
    scale = run.episodes["task"].map(dict(zip(tasks, [90, 10, 3, 1, 2], strict=True)))
    run = with_rows(run, episodes=run.episodes.assign(action_spread=run.episodes["action_spread"] * scale))
    assert {group.difficulty: group.tasks for group in tables.kinds(run)} == {
        "dp3 spreads widely": ["adroit/door", "metaworld/assembly"],
        "dp3 spreads little": ["adroit/pen", "metaworld/push", "metaworld/reach"],
        "fine contact": ["metaworld/assembly"],
        "no fine contact": ["metaworld/reach", "metaworld/push"],
    }
    rows = [row for row in tables.spreads(run).rows if (row["group"], row["method"]) == ("dp3 spreads widely", "sdm")]
    assert [(row["tasks"], row["ratio"].value) for row in rows] == [(2, pytest.approx(2.0))]


def test_spreads_are_ratios_over_tasks(tables: ModuleType, known: Run) -> None:
    rows = [row for row in tables.spreads(known).rows if (row["suite"], row["group"]) == ("all suites", "all")]
    assert [(row["method"], row["against"], row["shown"]) for row in rows] == [
        ("sdm", "dp3@nfe=1", "sdm more"), ("sdm", "dp3", "sdm less"), ("dp3@nfe=1", "dp3", "dp3@nfe=1 less"),
    ]  # fmt: skip
    assert [row["ratio"].value for row in rows] == pytest.approx([2.0, 0.5, 0.25])
    assert rows[0]["p_holm"] == pytest.approx(3 * 2 / 2**11)
    assert tables.spreads(make_run(TASKS, dict.fromkeys(SOLVED, 0.9))).rows == []


def test_only_complete_tasks_count(findings: ModuleType, tables: ModuleType, known: Run) -> None:
    run = without(known, METAWORLD[0], "sdm")
    assert "**Unfinished: 10** of the 11 tasks" in findings.figures(run)["tasks"]
    assert f" Not complete: {METAWORLD[0]} (sdm)." in findings.figures(run)["tasks"]
    counts = {(row["method"], row["against"]): row["tasks"] for row in reversed(tables.paired(run).rows)}
    assert counts["sdm", "manicm"] == 10
    assert counts["manicm", "dp3"] == 11
    assert {row["tasks"] for row in tables.success(run).rows if row["suite"] == "all suites"} == {10}


def test_nothing_measured_yet(findings: ModuleType, known: Run) -> None:
    empty = {name: getattr(known, name).iloc[:0] for name in ("episodes", "curves", "latency")}
    found = findings.figures(with_rows(known, **empty))
    assert found["tasks"].startswith("**Unfinished: 0** of the 11 tasks")
    assert f"Not complete: {'; '.join(TASKS)}." in found["tasks"]
    assert [found[name] for name in ("success", "paired", "spread", "speed")] == [findings.NOTHING] * 4


def test_weak_spots(tables: ModuleType, known: Run) -> None:
    run = solved(solved(known, "dp3", 3, METAWORLD[:1]), "dp3", 4, METAWORLD[1:2])
    assert [row["task"] for row in tables.weak_tasks(run).rows] == METAWORLD[:1]  # 20 % is not below 20 %
    assert tables.weak_tasks(run).body()[0][1:] == ["3/20", "12/20", "12/20", "16/20"]
    fallen = tables.falls(solved(solved(run, "sdm", 14, TASKS[2:3]), "sdm", 9, TASKS[3:4])).rows
    assert {(row["task"], row["method"]) for row in fallen} == {
        *((task, "manicm") for task in TASKS[2:]), (TASKS[3], "sdm"),
    }  # fmt: skip
    sdm = next(row for row in fallen if row["method"] == "sdm")
    assert (sdm["only_first"], sdm["only_second"]) == (0, 9)
    assert sdm["p"] == pytest.approx(0.5**9, rel=0.5)
    assert sdm["p_adjusted"] > sdm["p"]


def test_convergence_is_the_first_evaluation_near_the_last(tables: ModuleType, known: Run) -> None:
    share = known.curves.groupby(["task", "method"])["step"].rank().map({1: 1, 2: 5, 3: 8, 4: 9, 5: 10}).astype(int)
    late = share.where(known.curves["task"] != METAWORLD[0], 0)  # never succeeds
    rows = tables.convergence(with_rows(known, curves=known.curves.assign(successes=late))).rows
    dp3 = next(row for row in rows if (row["suite"], row["method"]) == ("all suites", "dp3"))
    assert (dp3["steps"], dp3["mean_at"], dp3["zero"], dp3["tasks"]) == ("3000", 80, 1, 11)
    assert dp3["task_at"] == (80, 80, 80)
    flat = tables.convergence(with_rows(known, curves=known.curves.assign(successes=9))).rows
    assert {row["mean_at"] for row in flat} == {"≤ 20"}  # by the first evaluation, or before
    assert dp3["final"].value == pytest.approx(10 / 11)


def test_suites_that_train_longer_do_not_stand_for_all(tables: ModuleType, known: Run) -> None:
    longer = known.curves["step"].where(~known.curves["task"].str.startswith("adroit/"), 2 * known.curves["step"])
    rows = tables.convergence(with_rows(known, curves=known.curves.assign(step=longer))).rows
    dp3 = next(row for row in rows if (row["suite"], row["method"]) == ("all suites", "dp3"))
    assert (dp3["tasks"], dp3["steps"]) == (len(TASKS), "3000, 6000")


def test_a_training_that_broke_does_not_shorten_the_others(tables: ModuleType, known: Run) -> None:
    short = known.curves[(known.curves["task"] != TASKS[0]) | (known.curves["step"] <= 600)]
    rows = [row for row in tables.convergence(with_rows(known, curves=short)).rows if row["suite"] == "all suites"]
    assert {row["method"]: (row["steps"], row["tasks"]) for row in rows} == {
        "dp3": ("3000", 10), "manicm": ("1500", 10), "sdm": ("1500", 10),
    }  # fmt: skip


def test_order_of_groups(orderings: ModuleType, known: Run) -> None:
    """DP3* of ManiCM's page: easy 91.7, adroit 76.1, very hard 62.3, medium 46.3, hard 44.8."""
    hardest = {"adroit": 16, "easy": 20, "very_hard": 12, "medium": 8, "hard": 4}
    alike = known
    for name, count in hardest.items():
        own = known.episodes[(known.episodes["difficulty"] == name) | (known.episodes["suite"] == name)]
        alike = solved(alike, "dp3", count, sorted(set(own["task"])))
    rows = {(row["method"], row["groups"]): row for row in orderings.group_orders(alike, load_published()).rows}
    assert rows["DP3*", 5]["rho"] == pytest.approx(1.0)
    assert rows["DP3*", 5]["variant"] == "dp3"
    assert "Adroit(3) 76.1" in rows["DP3*", 5]["published"]
    assert rows["ManiCM", 5]["rho"] is None  # the same success everywhere


def test_order_of_methods(orderings: ModuleType, known: Run) -> None:
    """By ManiCM's page ManiCM is better than DP3* on easy tasks (92.9, 91.7), and worse on Adroit (74.9, 76.1)."""
    rows = {(r["method"], r["against"], r["group"]): r for r in orderings.method_orders(known, load_published()).rows}
    easy, average = (rows["manicm", "dp3 (DP3*)", group] for group in ("MetaWorld Easy(18)", "Average(31)"))
    assert easy["published"] == pytest.approx(0.012)
    assert (easy["tasks"], easy["agreement"], average["tasks"]) == (4, "the opposite", 11)
    assert easy["here"].value == pytest.approx(-0.3)
    even = solved(known, "manicm", 18)
    rows = {(r["against"], r["group"]): r for r in orderings.method_orders(even, load_published()).rows}
    assert rows["dp3 (DP3*)", "MetaWorld Easy(18)"]["agreement"] == "open"


def test_orders_judge_adroit_by_the_last_step_as_published(orderings: ModuleType, known: Run) -> None:
    """The teacher loses the door again in all episodes; on MetaWorld any step counts."""
    lost = known.episodes["success_end"] & (known.episodes["variant"] != "dp3")
    run = with_rows(known, episodes=known.episodes.assign(success_end=lost))
    rows = {(r["method"], r["groups"]): r for r in orderings.group_orders(run, load_published()).rows}
    assert sorted(rows["DP3*", 5]["here"].split(", ")) == ["0.0 (1)", "90.0 (2)", "90.0 (2)", "90.0 (2)", "90.0 (4)"]
    pairs = {(r["method"], r["against"], r["group"]): r for r in orderings.method_orders(run, load_published()).rows}
    assert pairs["manicm", "dp3 (DP3*)", "Adroit(3)"]["here"].value == pytest.approx(0.6)
    assert pairs["manicm", "dp3 (DP3*)", "MetaWorld Easy(18)"]["here"].value == pytest.approx(-0.3)


def test_training_again(seeds: ModuleType) -> None:
    """The teacher solves 10, 12, 14 of 20 on each task, the student two more each time: the gap has no luck in it."""
    run = make_run(METAWORLD, {"dp3": 0.9, "sdm": 0.9}, seeds=(0, 1, 2))
    count = 10 + 2 * run.episodes["training_seed"] + 2 * (run.episodes["variant"] == "sdm")
    wins = run.episodes["episode"] < count
    found = seeds.tables(with_rows(run, episodes=run.episodes.assign(success_ever=wins, success_end=wins)))
    teacher, student = found["seeds"].rows
    assert teacher["success"].value == pytest.approx(0.6)
    assert (teacher["seeds"], student["seeds"]) == ("50.0, 60.0, 70.0", "60.0, 70.0, 80.0")
    assert (teacher["sd"], student["sd"], student["gap_sd"]) == pytest.approx((0.1, 0.1, 0.0))
    assert teacher["gap_sd"] is None
    tasks = found["seeds-tasks"].rows
    assert [row["task"] for row in tasks] == METAWORLD
    assert {(row["n"], row["dp3"], row["sdm"]) for row in tasks} == {(20, "10, 12, 14", "12, 14, 16")}
    assert [(row["method"], row["against"], row["tasks"]) for row in found["seeds-paired"].rows] == [("sdm", "dp3", 10)]
    assert found["seeds-paired"].rows[0]["difference"].value == pytest.approx(0.1)
    assert {row["method"] for row in found["seeds-convergence"].rows} == {"dp3", "sdm"}


def test_a_task_that_lacks_a_training_does_not_count(seeds: ModuleType) -> None:
    run = make_run(METAWORLD, {"dp3": 0.9, "sdm": 0.9}, seeds=(0, 1, 2))
    gone = (run.episodes["task"] == METAWORLD[3]) & (run.episodes["training_seed"] == 2)
    found = seeds.tables(with_rows(run, episodes=run.episodes[~gone]))
    assert METAWORLD[3] not in {row["task"] for row in found["seeds-tasks"].rows}
    assert [row["tasks"] for row in found["seeds"].rows] == [9, 9]


def test_page_is_filled_twice_alike(findings: ModuleType, tmp_path: Path, monkeypatch, known: Run) -> None:
    page, folder = tmp_path / "findings.md", save_run(known, tmp_path / "run")
    page.write_text((ROOT / "docs" / "findings.md").read_text(encoding="utf-8"), encoding="utf-8")
    texts = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["findings", str(folder), "--seeds", str(folder), "--into", str(page)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tools" / "findings.py"), run_name="__main__")
        assert end.value.code == 0
        texts.append(page.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert "| all suites | all | sdm | manicm | 11 | +20.0" in texts[0]
    assert "All 11 tasks are complete for all 4 variants" in texts[0]
    words = findings._PLACE.sub("", texts[0])
    assert words == findings._PLACE.sub("", (ROOT / "docs" / "findings.md").read_text(encoding="utf-8"))


def test_a_page_with_other_places_is_refused(findings: ModuleType) -> None:
    page = "<!-- figures: paired -->\nold\n<!-- end of figures -->\nwords\n"
    assert findings.filled(page, {"paired": "new"}) == page.replace("old", "new")
    with pytest.raises(UserError, match="places of figures"):
        findings.filled(page, {"paired": "new", "speed": "new"})


def test_what_is_no_run_is_one_line(findings: ModuleType, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["findings", str(tmp_path)])
    assert findings.main() == 2
    assert "no run there" in capsys.readouterr().err


def test_figures_of_real_records(findings: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["findings", str(ROOT / "results" / "six-tasks")])
    assert findings.main() == 0
    text = capsys.readouterr().out
    assert "| metaworld | all | sdm | manicm | 6 | 0.94× \\[0.78, 1.13\\] | 0.562 |" in text
    assert "## speed\n\n| suite | method |" in text
    assert "All 6 tasks are complete" in text
    assert "| metaworld | all | sdm | manicm | 6 | +0.8 \\[-2.3, +4.6\\] | 1 | 0 | 1.000 |" in text  # by hand, too
