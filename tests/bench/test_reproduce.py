"""`bench reproduce`: a run again, cell by cell; 0 equal, 1 different, 2 cannot be."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import app, cli
from bench.interfaces import UserError
from bench.reproduce import reproduce
from bench.spec import make_spec
from bench.store import read_manifest
from tests.fakes import FakeMethod

pytestmark = pytest.mark.usefixtures("fake_registry")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("bench.report.save", lambda *_: [])  # pictures take most of the time
    spec = make_spec(["student", "base@nfe=2"], ["fake/walk", "fake/run"], (0, 1), "smoke")
    places = (tmp_path / "run", tmp_path / "cache", tmp_path / "reports")
    app.run(spec, app.Settings(*places, 0, None, "cpu", False, latency=False), Console(file=io.StringIO()))
    return tmp_path / "run"


def again(run: Path, sample: int = 100, cache: Path | None = None) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    return reproduce(run, sample, 0, cache, console), console.file.getvalue()


def test_a_run_again_is_equal_and_left_alone(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, said = again(run)
    assert code == 0
    assert "8 of 8 cells again" in said
    assert "all 16 equal" in said  # 8 cells, 8 trainings
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_sample_needs_no_more_than_its_own_trainings(run: Path) -> None:
    code, said = again(run, sample=1)
    assert code == 0
    assert "1 of 8 cells again" in said
    assert said.count(": equal, 2 rows") in (2, 3)  # a cell, its training, and that of its teacher


def test_with_checkpoints_only_episodes_are_made_again(run: Path) -> None:
    code, said = again(run, cache=run.parent / "cache")
    assert code == 0
    assert "train" not in said.partition("cells again")[2].partition("evaluate")[0]


def test_other_outcomes_are_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = FakeMethod.sample
    monkeypatch.setattr(FakeMethod, "sample", lambda self, *arguments: 0.9 * sample(self, *arguments))
    code, said = again(run)
    assert code == 1
    assert "2 rows differ in action_hash, action_spread, return" in said
    assert "differ\n" in said


def test_other_code_cannot_reproduce_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.plan.PROTOCOL", 0)
    with pytest.raises(UserError, match="made by other code or simulators"):
        again(run)


def test_the_manifest_says_where_a_run_came_from(run: Path) -> None:
    manifest = read_manifest(run)
    assert manifest["packages"]["numpy"] == manifest["versions"]["numpy"]
    assert len(manifest["keys"]) == 2 + 8 + 8
    assert set(manifest["git"]) == {"revision", "dirty", "diff_sha256"}
    assert manifest["spec"]["seeds"] == [0, 1]


def test_nowhere_is_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "reproduce", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
