"""The command line: help that helps, bad input in one line with exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench import cli
from tests.fakes import FakeMethod


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
        (["run", "--methods", "sdn"], "unknown method 'sdn': did you mean sdm or sdm2d?"),
        (["run", "--methods", "dp3", "--tasks", "metaworld/drawr-open"], "did you mean metaworld/drawer-open"),
        (["run", "--methods", "dp3", "--profile", "lit"], "did you mean lite?"),
        (["run", "--methods", "dp3@nfe=none"], "nfe"),
        (["run", "--methods", "dp3@steps=3"], "steps"),
        (["run", "--methods", "dp3", "--seeds", "0,x"], "whole numbers"),
        (["run", "--methods", "dp3", "--episodes", "0"], "1 or more"),
        (["run", "--methods", "dp3", "--control-hz", "0"], "from 1 to 1000, got 0"),
        (["run", "--methods", "dp3", "--control-hz", "fast"], "--control-hz"),
        (["run", "--methods", "dp3", "--device", "cuda"], "no GPU"),
        (["run", "--methods", "dp3", "--device", "gpu"], "'cpu'"),
        (["run", "--methods", "dp3", "--workers", "-1"], "greater than or equal to 0"),
        (["run", "--methods", "dp3", "--workers", "0", "--ray-address", "auto"], "give one of them"),
        (["run", "--methods", "dp3", "--profile", "smoke", "--ray-address", "127.0.0.1:1"], "nobody answers"),
        (["latency", "--methods", "sdn"], "unknown method 'sdn': did you mean sdm or sdm2d?"),
        (["latency", "--methods", "sdm", "--task", "metaworld"], "stands for 50 tasks"),
        (["latency", "--methods", "sdm", "--threads", "2"], "'both'"),
        (["latency", "--methods", "sdm", "--blocks", "2"], "greater than or equal to 5"),
        (["latency", "--methods", "sdm", "--device", "cuda"], "no GPU"),
        (["run"], "--methods"),
        (["run", "--methods", "DP3"], "did you mean dp3"),
        (["run", "--methods", "dp3", "--tasks", "peg"], "metaworld/peg-insert-side or metaworld/peg-unplug-side?"),
        (["run", "--methods", "dp3", "--tasks", "Drawer-Open"], "did you mean metaworld/drawer-open?"),
        (["run", "--methods", "dp3", "--tasks", "zzz"], "metaworld/assembly and 54 more"),
        (["rnu"], "Did you mean 'run'? see 'bench --help'"),
        (["list", "robots"], "'robots' is not one of 'tasks', 'methods', 'profiles'; see 'bench list --help'"),
        (["report", "nowhere"], "no run there"),
        (["export", "nowhere"], "no run there"),
        (["export", "nowhere", "--format", "xlsx"], "'csv'"),
        (["schema"], "name one of episodes"),
        (["schema", "episode"], "did you mean episodes"),
        (["report"], "make one with 'bench run'"),
        (["compare", "one"], "two runs"),
        (["compare", "one", "two", "--ci"], "two runs"),
        (["compare", "one", "two"], "one: no run there"),
        (["compare", "--ci"], "results/baseline: no run there"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    records = list(tmp_path.rglob("*.jsonl"))
    assert not records


@pytest.mark.usefixtures("fake_registry")
class TestWithFakes:
    RUN = ("run", "--profile", "smoke", "--workers", "0", "--tasks", "fake/walk", "--methods")

    @pytest.fixture(autouse=True)
    def _without_latency(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("bench.app.latency_jobs", lambda *_: [])  # another process knows no fakes

    def test_a_cell_in_error_is_exit_code_3(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        assert call(monkeypatch, *self.RUN, "broken,base", "--out", "run") == 3
        assert "1 cells in error, their 2 episodes count as failures" in capsys.readouterr().out

    @pytest.mark.parametrize("kind", ["safetensors", "json"])
    @pytest.mark.parametrize("terminal", [False, True])
    def test_a_damaged_checkpoint_is_named_and_made_again(
        self, kind: str, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        monkeypatch.setattr("bench.report.save", lambda *_: [])  # pictures take most of the time
        monkeypatch.setattr(cli.measure, "make_console", lambda: Console(width=200, force_terminal=terminal))
        call(monkeypatch, *self.RUN, "base", "--out", "one")
        for file in Path("cache").glob(f"*.{kind}"):
            file.write_bytes(file.read_bytes()[:-9] + b"damaged!\n")
        call(monkeypatch, *self.RUN, "base@nfe=2", "--out", "two")
        said = capsys.readouterr().out
        assert f".{kind}: damaged; put aside, made again" in said
        assert "error" not in said
        assert len(list(Path("cache").glob(f"*.{kind}.damaged"))) == 2  # demos, checkpoint

    def test_workers_without_a_gpu_are_told_how_to_share_one(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
        on_gpu = (*self.RUN, "base,student", "--device", "cuda", "--dry-run", "--workers", "4")
        call(monkeypatch, *on_gpu)
        output = capsys.readouterr()
        assert "with 1 worker\n" in output.out + output.err
        assert "no GPU for 3 of the workers: --workers-per-gpu" in output.out + output.err
        call(monkeypatch, *on_gpu, "--workers-per-gpu", "4")
        output = capsys.readouterr()
        assert "with 4 workers\n" in output.out + output.err
        assert "no GPU" not in output.out + output.err

    @pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
    def test_no_more_workers_than_cores_that_may_be_used(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 64)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
        call(monkeypatch, "run", "--methods", "base,student", "--tasks", "fake/walk,fake/run", "--dry-run")
        assert "with 2 workers\n" in capsys.readouterr().out

    def test_a_dry_run_counts_what_is_done(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        call(monkeypatch, *self.RUN, "base", "--out", "[one]")
        call(monkeypatch, *self.RUN, "base", "--out", "[one]", "--dry-run")
        line = capsys.readouterr().out.splitlines()[-2]
        assert line.startswith("1 cell: ")
        assert "1 done already" in line

    def test_the_base_run_again_is_equal(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        monkeypatch.setattr("bench.comparison.matching.same_machine", lambda *_: True)
        call(monkeypatch, *self.RUN, "base,student", "--out", "results/baseline")
        assert call(monkeypatch, "compare", "--ci", "--json", "found/it.json", "--markdown", "found/it.md") == 0
        assert capsys.readouterr().out.endswith("no regression\n")
        found = json.loads(Path("found/it.json").read_text(encoding="utf-8"))
        assert found["changed"] == []
        assert [row["verdict"] for row in found["success"]] == ["identical"] * 2

        def weaker(self: FakeMethod, *arguments: object) -> torch.Tensor:
            return original(self, *arguments) - 0.5

        original = FakeMethod.sample
        monkeypatch.setattr(FakeMethod, "sample", weaker)
        assert call(monkeypatch, "compare", "--ci") == 1
        out = capsys.readouterr().out
        assert "base on fake/walk, training seed 0, episode 0: " in out
        assert "REGRESSION: 4 episodes changed, which must not" in out

    def test_a_run_in_real_time_has_a_folder_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        call(monkeypatch, *self.RUN, "base", "--control-hz", "20", "--dry-run")
        assert "results/fake-walk-smoke-20hz-" in capsys.readouterr().out

    def test_baselines_stand_beside_the_methods(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        call(monkeypatch, *self.RUN, "student,base", "--with-baselines", "--dry-run")
        assert "3 cells: 3 methods x 1 task x 1 seed (student, base, base@nfe=2)" in capsys.readouterr().out

    def test_a_folder_that_cannot_be_written_is_refused_first(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        Path("file").write_text("")
        for option in ("--cache", "--reports", "--out"):
            assert call(monkeypatch, *self.RUN, "base", option, "file") == 2
            assert "file" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demos"], ["checkpoints"]])
def test_no_command_is_the_help_alone(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert call(monkeypatch, *command) == 2
    output = capsys.readouterr()
    assert "--help" in output.out
    assert output.err == ""


def test_help_does_not_wait_for_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, bench.cli; sys.exit('torch' in sys.modules)"], check=False
    )
    assert done.returncode == 0


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"bench {metadata.version('visuomotor-bench')}\n"


def test_help_has_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert call(monkeypatch, "run", "--help") == 0
    assert "bench run --methods sdm,manicm --tasks quick" in capsys.readouterr().out
    assert call(monkeypatch, "latency", "--help") == 0
    assert "bench latency --methods dp3,sdm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("tasks", "drawer-open"),
        ("methods", "manicm"),
        ("methods", "point cloud"),
        ("profiles", "lite"),
        ("profiles", "dexart: 4 times as many demos"),
    ],
)
def test_list(what: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert call(monkeypatch, "list", what) == 0
    assert expected in capsys.readouterr().out


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = bench("run", "--methods", "dp3,sdm", "--tasks", "all", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "114 cells: 2 methods x 57 tasks x 1 seed (dp3, sdm)" in done.stdout
    assert not list(tmp_path.iterdir())


def test_dry_run_refuses_what_the_run_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    done = bench("run", "--methods", "dp3", "--out", "mine", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine: is not empty and holds no run; choose another --out" in done.stderr.replace("\n", " ")


def test_doctor_finds_the_built_in_path_in_order(tmp_path: Path) -> None:
    done = bench("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "no OpenGL needed" in done.stdout
    assert "bench export to Parquet" in done.stdout


def test_only_user_errors_are_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main()


@pytest.mark.parametrize(
    ("command", "default"),
    [
        (["run"], "by profile"),
        (["run"], "cache beside --out"),
        (["latency"], "by profile, 0 with --calls"),
        (["report"], "the newest run"),
        (["export"], "exports/<run>"),
    ],
)
def test_help_tells_the_defaults_that_depend(
    command: list[str], default: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call(monkeypatch, *command, "--help")
    assert f"[default: ({default})]" in capsys.readouterr().out
