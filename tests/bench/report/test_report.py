"""The written report: files, golden page, stable bytes, unfinished runs, hostile names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.report import summary_table, write_report
from bench.report.measures import groups, measure
from bench.report.style import looks
from bench.report.tradeoff import Point, pareto_front, points
from bench.stats import Estimate
from tests.bench.report.synthetic import make_run, with_rows

GOLDEN = Path(__file__).parent / "golden"
TASKS = ["metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]
PICTURES = ["learning_curves.png", "learning_curves.svg", "success_latency.png", "success_latency.svg"]


def test_files_and_golden_page(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.95, "sdm": 0.9}, broken=[(TASKS[2], "sdm")])
    files = write_report(run, tmp_path / "deep" / "report")
    assert files[0].name == "README.md"
    names = ("summary", "tasks", "paired", "selection", "latency", "published")
    tables = [f"{name}.{kind}" for name in names for kind in ("md", "csv", "tex")]
    assert sorted(f.name for f in files) == sorted(["README.md", *tables, *PICTURES])
    assert all(f.stat().st_size > 0 for f in files)
    for name in ("README.md", "summary.csv", "latency.csv", "tasks.tex"):
        written = (tmp_path / "deep" / "report" / name).read_text(encoding="utf-8")
        assert written == (GOLDEN / name).read_text(encoding="utf-8"), f"{name} changed; copy it to golden/ if right"
    links = set(re.findall(r"\]\(([^)#]+)\)", files[0].read_text(encoding="utf-8")))
    assert links <= {f.name for f in files}


def test_same_records_same_bytes(tmp_path: Path) -> None:
    run = make_run(TASKS[:2], {"dp3": 0.9, "dp3@nfe=1": 0.4}, seeds=(0, 1))
    first, second = write_report(run, tmp_path / "a"), write_report(run, tmp_path / "b")
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


@pytest.mark.parametrize("what", ["nothing", "no latency", "no curves", "only latency"])
def test_unfinished_runs(tmp_path: Path, what: str) -> None:
    run = make_run(TASKS[:2], {"dp3": 0.9, "sdm": 0.9}, latency="no l" not in what, curves="no c" not in what)
    if what in ("nothing", "only latency"):
        run = with_rows(run, episodes=run.episodes.iloc[:0], curves=run.curves.iloc[:0])
    if what == "nothing":
        run = with_rows(run, latency=run.latency.iloc[:0])
    names = {f.name for f in write_report(run, tmp_path)}
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert ("success_latency.svg" in names) == (what == "no curves")
    assert ("learning_curves.svg" in names) == (what == "no latency")
    assert ("metaworld/door-open, sdm, training seed 0: not run" in page) == (what in ("nothing", "only latency"))
    assert ("Nothing has been measured yet" in page) == (what == "nothing")


def test_many_tasks_get_group_means_and_a_page_of_panels(tmp_path: Path) -> None:
    run = make_run([f"metaworld/task-{i}" for i in range(10)], {"dp3": 0.9}, latency=False)
    assert {"learning_curves.svg", "learning_curves_tasks.svg"} <= {f.name for f in write_report(run, tmp_path)}


@pytest.mark.filterwarnings("ignore:Glyph")
def test_hostile_names(tmp_path: Path) -> None:
    names = {"_a|b$x$": 0.9, "<script>alert(1)</script>": 0.8, "``` \\end{tabular} é策": 0.7}
    run = make_run(["metaworld/x|y_$\\alpha$", "metaworld/" + "long" * 40], names)
    write_report(run, tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    prose, _, tail = page.partition("````sh\n")  # a fence longer than the ticks in the command
    assert "<script" not in prose
    assert "\n````\n" in tail
    for table in ("summary.md", "tasks.md", "selection.md", "published.md"):
        rows = [line for line in (tmp_path / table).read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "\\end{tabular} " not in (tmp_path / "summary.tex").read_text(encoding="utf-8")


def test_output_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        write_report(make_run(TASKS[:1], {"dp3": 0.9}), tmp_path / "file" / "report")


def test_several_machines_have_no_common_scale_of_milliseconds(tmp_path: Path) -> None:
    run = make_run(["metaworld/drawer-open", "metaworld/door-open"], {"dp3": 0.9})
    other = {**run.latency["hardware"].iloc[0], "cpu": "Other CPU"}
    first = run.latency["task"] == "metaworld/drawer-open"
    hardware = [other if own else found for own, found in zip(first, run.latency["hardware"], strict=True)]
    write_report(with_rows(run, latency=run.latency.assign(hardware=hardware)), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "Machines: cpu " in text
    assert "Other CPU" in text
    assert "Test CPU" in text
    assert "Timed on 2 different machines: milliseconds have no common scale" in text


def test_summary_for_the_terminal_has_a_row_per_method() -> None:
    table = summary_table(make_run(TASKS, {"dp3": 0.9, "sdm": 0.9}))
    assert [row[0] for row in table.body()] == ["dp3", "sdm"]
    assert table.header()[:4] == ["method", "success %", "best", "n"]


def test_pareto_front_keeps_what_nothing_dominates() -> None:
    def point(name: str, value: float, ms: float) -> Point:
        return Point(name, Estimate(value, value, value), ms, None)

    found = [point("slow", 0.9, 10), point("fast", 0.8, 1), point("beaten", 0.7, 5), point("tie", 0.8, 2)]
    assert [p.variant for p in pareto_front(found)] == ["fast", "slow"]


def test_points_leave_out_other_checkpoints() -> None:
    run = make_run(TASKS, {"dp3": 0.9, "sdm": 0.9})
    latency = run.latency.copy()
    latency.loc[latency["variant"] == "sdm", "checkpoint"] = "f" * 64
    measures = measure(with_rows(run, latency=latency))
    assert [p.variant for p in points(measures, groups(measures)[0], "t_e2e")] == ["dp3"]


def test_looks_tell_variants_apart() -> None:
    found = looks(["dp3", "sdm", "dp3@nfe=1", "dp3@nfe=4", "dp3+onnx", "dp3+onnx@nfe=1", "dp3:0123456789ab"])
    assert {found[v].colour for v in found if v.startswith("dp3") and ":" not in v} == {found["dp3"].colour}
    assert len({found[v].colour for v in ("dp3", "sdm", "dp3:0123456789ab")}) == 3
    assert len({look.marker for look in found.values()}) == 7
    assert [v for v, look in found.items() if look.filled] == ["dp3", "sdm", "dp3:0123456789ab"]
