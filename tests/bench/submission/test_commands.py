"""submit, validate and report on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.interfaces import UserError
from tests.bench.report.synthetic import make_run, save_run

TASK = "metaworld/drawer-open"


def test_a_run_travels_into_a_common_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_run(make_run([TASK], {"dp3": 0.9, "sdm": 0.8}, episodes=4), Path("results/mine"))
    save_run(make_run([TASK], {"dp3": 0.9, "new": 0.8}, episodes=4), Path("results/theirs"))
    bench = CliRunner().invoke
    assert bench(app, ["submit", "results/theirs"]).exit_code == 0
    found = bench(app, ["validate", "theirs.zip"])
    assert (found.exit_code, "8 episodes" in found.output) == (0, True)
    shown = bench(app, ["report", "results/mine", "theirs.zip"])
    assert shown.exit_code == 0
    last = shown.output.strip().splitlines()[-1]
    assert last == "site: reports/mine+theirs/site/index.html"
    page = Path(last.removeprefix("site: ")).read_text(encoding="utf-8")
    assert all(f'data-variant="{name}"' in page for name in ("dp3", "sdm", "new"))


def test_the_schema_is_printed() -> None:
    schema = json.loads(CliRunner().invoke(app, ["validate", "--schema"]).output)
    assert set(schema["$defs"]) == {"manifest", "episodes", "curves", "latency", "realtime", "errors", "timings"}


def test_what_to_validate_must_be_said_and_be_there(tmp_path: Path) -> None:
    for arguments, words in (([], "give a file"), ([str(tmp_path / "no.zip")], "no run there")):
        error = CliRunner().invoke(app, ["validate", *arguments]).exception
        assert isinstance(error, UserError)
        assert words in str(error)
