"""The first sentences of the site, and the cards: of how much they speak."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.site import write_site
from bench.store import Run
from tests.bench.report.synthetic import make_run, with_rows

TASKS = [f"metaworld/task-{i}" for i in range(6)]


def words(run: Run, out: Path, start: str, end: str) -> str:
    """Text of the first page from one string of HTML to another."""
    html = write_site(run, [], out).read_text(encoding="utf-8")
    return re.sub("<[^>]+>", "", html.partition(start)[2].partition(end)[0])


def lead(run: Run, out: Path) -> str:
    return words(run, out, '<p class="lead">', "</p>")


def solved(**tasks: list[int]) -> Run:
    """A run in which each method solves all or nothing of these tasks, and has not run the others."""
    run = make_run(TASKS, dict.fromkeys(tasks, 0.9), latency=False, curves=False)
    ran = [
        TASKS.index(t) in map(abs, tasks[v]) for t, v in zip(run.episodes["task"], run.episodes["variant"], strict=True)
    ]
    return with_rows(run, episodes=run.episodes[ran].assign(success_ever=run.episodes["variant"].eq("sdm")))


def test_a_whole_run_says_nothing_of_its_tasks(tmp_path: Path) -> None:
    run = solved(dp3=[*range(6)], sdm=[*range(6)])
    assert lead(run, tmp_path).startswith("sdm succeeds most often: 100.0 %.")
    assert "unfinished" not in words(run, tmp_path, "<header>", "</header>")


def test_an_unfinished_run_says_so_first(tmp_path: Path) -> None:
    run = solved(dp3=[0, 1], sdm=[0, 1])
    assert lead(run, tmp_path).startswith("sdm succeeds most often on 2 of 6 tasks: 100.0 %; the run is unfinished.")
    about = words(run, tmp_path, '<p class="about">', "</p>")
    assert about.endswith("profile lite. The run is unfinished: 2 of 6 tasks are whole.")


def test_methods_are_ranked_on_the_same_tasks_alone(tmp_path: Path) -> None:
    ahead = solved(dp3=[0, 1, 2], sdm=[0, 1], manicm=[0, 1])
    text = lead(ahead, tmp_path / "ahead")
    assert text.startswith("sdm succeeds most often on 2 of 6 tasks: 100.0 %; the run is unfinished.")
    assert "Not ranked, as not run on the same tasks: dp3." in text
    others = solved(dp3=[0, 1, 2], manicm=[0, 1, 2], sdm=[3, 4, 5])
    assert lead(others, tmp_path / "others").startswith("dp3 and manicm succeed most often on 3 of 6 tasks: 0.0 %;")


@pytest.mark.parametrize("dp3", [[0], [0, 1, 3]])
def test_without_common_tasks_nothing_is_ranked(tmp_path: Path, dp3: list[int]) -> None:
    text = lead(solved(dp3=dp3, sdm=[3, 4, 5]), tmp_path)
    assert text == "The run is unfinished: no two methods were run on the same tasks, so none is ranked."


def test_a_card_names_the_task_of_its_times(tmp_path: Path) -> None:
    run = make_run(["adroit/pen", TASKS[0]], {"dp3": 0.9, "sdm": 0.9}, curves=False)
    label = "<dt>times, size and memory of</dt>"
    assert words(run, tmp_path / "two", label, "</dd>") == "adroit/pen, the first of 2 timed tasks"
    once = with_rows(run, latency=run.latency[run.latency["task"] == TASKS[0]])
    assert words(once, tmp_path / "one", label, "</dd>") == TASKS[0]
