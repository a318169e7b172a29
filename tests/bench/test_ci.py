"""`bench compare --ci`: what a base run ran once more, and what is said when that cannot be."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench import app
from bench.ci import run_again
from bench.comparison import compare
from bench.interfaces import UserError
from bench.reproduce import reproduce
from bench.spec import make_spec
from bench.store import load_run
from tests.bench.test_app_realtime import MS, Timings
from tests.fakes import FakeMethod

pytestmark = pytest.mark.usefixtures("fake_registry")
Make = Callable[..., Path]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr("bench.report.save", lambda *_: [])  # pictures take most of the time
    monkeypatch.setattr(app, "run_job", Timings(dict(MS)))

    def run(device: str = "cpu", control_hz: int | None = None) -> Path:
        spec = make_spec(["base"], ["fake/walk"], profile_name="smoke", control_hz=control_hz)
        places = (tmp_path / "run", tmp_path / "cache", tmp_path / "reports")
        app.run(spec, app.Settings(*places, 0, None, device, False, latency=control_hz is not None), quiet())
        return tmp_path / "run"

    return run


def test_a_run_of_a_gpu_is_not_measured_again_without_one(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run = make("cuda")  # all its cells failed, which is of no matter here
    refused = pytest.raises(UserError, match="run: made on a GPU, and torch finds none here")
    with refused:
        run_again(run, tmp_path / "again", quiet())
    with refused:
        reproduce(run, 1, 0, None, quiet())
    assert not (tmp_path / "again").exists()


def test_a_base_with_real_time_episodes_is_compared_by_its_paused_ones(make: Make, tmp_path: Path) -> None:
    base = load_run(make(control_hz=20))
    assert len(base.realtime)
    new = load_run(run_again(base.path, tmp_path / "again", quiet()))
    found = compare(base, new, exact=True)
    assert found.summary == "no regression"
    assert "real-time episodes of the base run were not compared" in found.notes[0]
    with pytest.raises(UserError, match=r"spec\.control_hz: 20 in base, None in new"):
        compare(base, new)


def test_why_a_cell_failed_is_said_before_its_folder_goes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeMethod, *_: object) -> torch.Tensor:
        raise RuntimeError("the change under test")

    base = make()
    monkeypatch.setattr(FakeMethod, "sample", broken)
    console, folder = quiet(), tmp_path / "again"
    run_again(base, folder, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "in broken" in said  # the traceback
    assert "RuntimeError: the change under test" in said
    assert str(folder) not in said
    assert not list((folder / "reports").iterdir())
