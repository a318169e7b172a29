"""The command line: help that helps, bad input in one line with exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.interfaces import UserError


def bench(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`bench` in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--methods", "sdn"], "unknown method 'sdn': did you mean sdm?"),
        (["run", "--methods", "dp3", "--tasks", "metaworld/drawr-open"], "did you mean metaworld/drawer-open"),
        (["run", "--methods", "dp3", "--profile", "lit"], "did you mean lite?"),
        (["run", "--methods", "dp3@nfe=none"], "nfe"),
        (["run", "--methods", "dp3@steps=3"], "steps"),
        (["run", "--methods", "dp3", "--seeds", "0,x"], "whole numbers"),
        (["run", "--methods", "dp3", "--episodes", "0"], "1 or more"),
        (["run", "--methods", "dp3", "--device", "cuda"], "no GPU"),
        (["report", "nowhere"], "no run there"),
        (["report"], "make one with 'bench run'"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_help_has_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert call(monkeypatch, "run", "--help") == 0
    assert "bench run --methods sdm,manicm --tasks quick" in capsys.readouterr().out


@pytest.mark.parametrize(("what", "expected"), [("tasks", "drawer-open"), ("methods", "manicm"), ("profiles", "lite")])
def test_list(what: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert call(monkeypatch, "list", what) == 0
    assert expected in capsys.readouterr().out


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = bench("run", "--methods", "dp3,sdm", "--tasks", "all", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "cells: 2 methods (dp3, sdm)" in done.stdout
    assert not list(tmp_path.iterdir())


def test_doctor_finds_the_built_in_path_in_order(tmp_path: Path) -> None:
    done = bench("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "no OpenGL needed" in done.stdout


def test_only_user_errors_are_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main()
    assert issubclass(UserError, ValueError)
