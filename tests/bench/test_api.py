"""From Python: what the command line does, with its checks and its records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import bench
from bench import api
from bench.interfaces import UserError
from bench.store import read_manifest


@pytest.fixture(autouse=True)
def _without_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.app.latency_jobs", lambda *_: [])  # another process knows no fakes


@pytest.mark.usefixtures("fake_registry")
def test_run_load_and_compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["a-notebook", "kernel.json"])
    first = bench.run("base,student", ["fake/walk"], profile="smoke", workers=0, quiet=True)
    assert capsys.readouterr().out == ""
    assert first.path.parent == Path("results")
    assert first.path.name.startswith("fake-walk-smoke-")
    assert len(first.episodes) == len(bench.load(first.path)) == 4
    command = read_manifest(first.path)["command"]
    assert command.startswith("bench run --methods base,student --tasks fake/walk --seeds 0 --profile smoke ")
    again = bench.run(["base", "student"], "fake/walk", profile="smoke", workers=0)
    assert again.path == first.path
    assert "2 done already" in capsys.readouterr().out
    other = bench.run(["base", "student"], "fake/walk", profile="smoke", workers=0, out="other/run", quiet=True)
    assert Path("other/cache").is_dir()
    for base, new in ((first, other), (first.path, "other/run")):
        verdict = bench.compare(base, new)
        assert not verdict.regression
        assert json.loads(verdict.to_json())["margin"] == 0.05


@pytest.mark.usefixtures("fake_registry")
def test_the_command_says_where_it_differs_from_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    def command(**places: str) -> str:
        _, settings = api.prepare(
            ["base"], ["fake/walk"], [0], "smoke", None, control_hz=None, demos={}, reports="reports", workers=0,
            ray_address=None, console=Console(quiet=True), **{"out": None, "cache": None, "device": "cpu", **places},
        )  # fmt: skip
        return str(settings.command)

    assert "--device" not in (plain := command())
    assert "--cache" not in plain
    assert command(cache="results/cache") == plain
    assert "--cache" not in command(out="some/run", cache="some/cache")
    assert command(out="some/run", cache="my cache").endswith(" --cache 'my cache' --out some/run")
    assert " --device cuda " in command(device="auto")


@pytest.mark.usefixtures("fake_registry")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "bas"}, "did you mean base"),
        ({"tasks": ["fake/wlk"]}, "did you mean fake/walk"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"workers": -1}, "0 or more, got -1"),
        ({"workers": 0, "ray_address": "auto"}, "give one of them"),
        ({"seeds": []}, "one seed"),
        ({"cell_timeout": -1.0}, "from 0.1 to 1e\\+09 seconds, got -1"),
        ({"cell_timeout": float("inf")}, "got inf"),
        ({"cell_timeout": float("nan")}, "got nan"),
        ({"workers_per_gpu": 2}, "--device cuda"),
        ({"workers_per_gpu": 2, "device": "cuda", "workers": 0}, "one worker, this process"),
        ({"methods": "base+onnx", "device": "cuda"}, "runs on the CPU, not on cuda"),
        ({"methods": "base+graph"}, "choose --device cuda"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    arguments: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("bench.runtimes.importlib.util.find_spec", lambda name: name)
    with pytest.raises(UserError, match=message):
        bench.run(**{"methods": "base", "tasks": "fake/walk", **arguments})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("fake_registry")
def test_a_stopped_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.app, "run", lambda *_: api.app.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        bench.run("base", "fake/walk", quiet=True)


def test_names_stay_functions_whatever_is_imported_first() -> None:
    code = (
        "import bench.cli, bench.app, bench.driver, bench.comparison, bench.store, bench.api\n"
        "from bench import compare, load, run\n"
        "assert all(map(callable, (compare, load, run)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, bench; assert not {'torch', 'pandas', 'rich'} & set(sys.modules); bench.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'bench' has no attribute 'nothing'" in done.stderr
