"""The tools run, on small inputs, and see what they are there to see."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench import app
from bench.interfaces import UserError
from bench.spec import make_spec
from bench.store import load_run
from bench.submission import validate

TOOLS = Path(__file__).parent.parent / "tools"
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOOLS), str(TOOLS.parent)])}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr("tempfile.tempdir", None)  # put back in the end
    import fuzz_readers

    return fuzz_readers


def test_readers_take_what_was_written_or_refuse_it(tool: ModuleType, tmp_path: Path) -> None:
    found = tool.Fuzzer(tmp_path).chunk(0, 0, 1500)
    assert found["faults"] == {}
    assert sum(count.total() for count in found["readers"].values()) == 1500
    assert all(count["refused"] for name, count in found["readers"].items() if name != "costs")
    assert found["readers"]["artefact"]["taken"] == 0
    assert found == tool.Fuzzer(_folder(tmp_path, "again")).chunk(0, 0, 1500)


def test_the_fuzzer_sees_what_no_reader_may_do(tool: ModuleType, tmp_path: Path) -> None:
    def reads_badly(data: bytes) -> None:
        if armed and data[:1] == b"o":
            (tmp_path / "outside").write_bytes(data)
        if armed and data[:1] == b"d":
            (tmp_path / "folder").mkdir(exist_ok=True)
        if armed and data[:1] == b"e":
            exec("pass")
        if armed and data[:1] == b"r":
            raise KeyError("x")
        (tmp_path / "inside" / "file").write_bytes(data)

    armed = False
    reader = tool.Reader(1, b" ", lambda rng, _: rng.choice([b"o", b"d", b"e", b"r", b"in"]), reads_badly)
    fuzzer = tool.Fuzzer(_folder(tmp_path, "inside"), {"bad": reader})
    armed = True
    found = tool.total([fuzzer.chunk(7, 3, 200)])
    for what in ("no reader may do: open", "no reader may do: os.mkdir", "no reader may do: exec", "KeyError at"):
        assert sum(what in name for name in found["faults"]) == 1
    assert len(found["faults"]) == 4
    assert all(place.startswith("--seed 7 --only 3:") for place in found["faults"].values())


def test_finished_chunks_are_not_done_again(tool: ModuleType, tmp_path: Path, monkeypatch, capsys) -> None:
    asked: list[list[int]] = []

    def run(seed: int, chunks: list[int], jobs: int) -> Iterator[dict[str, Any]]:
        asked.append(chunks)
        for number in chunks:
            yield {"seed": seed, "chunk": number, "inputs": tool.CHUNK, "readers": {"x": {"taken": 1}}, "faults": {}}

    monkeypatch.setattr(tool, "run", run)
    for inputs in (2, 4):
        options = ["--inputs", str(inputs * tool.CHUNK), "--log", str(tmp_path / "log")]
        monkeypatch.setattr(sys, "argv", ["fuzz", *options])
        assert tool.main() == 0
    assert asked == [[0, 1], [2, 3]]
    assert json.loads("{" + capsys.readouterr().out.rpartition("\n{")[2])["inputs"] == 4 * tool.CHUNK


def test_a_submission_is_valid_or_refused_and_nothing_else(tool: ModuleType, tmp_path: Path) -> None:
    from fuzz_inputs import change_archive

    archive, path = tool.readers(tmp_path)["submission"].valid, tmp_path / "changed.zip"

    @settings(max_examples=100, suppress_health_check=list(HealthCheck), database=None)
    @given(st.randoms(use_true_random=False))
    def check(rng) -> None:
        path.write_bytes(change_archive(rng, archive))
        with suppress(UserError):
            validate(path)

    check()


FINDS_A_FAULT = """
import sys
from pathlib import Path
from fuzz_coverage import fuzz
from fuzz_targets import Reader

def read(data):
    if b"!" in data:
        raise KeyError("x")

folder = Path(sys.argv[1])
options = ["-runs=100000", "-seed=1", f"-artifact_prefix={folder}/"]
fuzz(folder, options, {"bad": Reader(1, b"ok", lambda rng, data: data, read)})
"""


def test_fuzzing_by_coverage_goes_on_without_a_fault_and_ends_at_one(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    script = [sys.executable, str(TOOLS / "fuzz_coverage.py"), "--faults", str(tmp_path), "--inputs", "200"]
    done = subprocess.run(script, capture_output=True, text=True, env=PATHS)
    assert done.returncode == 0, done.stderr
    assert re.search(r"INITED cov: \d{3}", done.stderr)  # what the valid files reach
    assert list(tmp_path.iterdir()) == []
    script = [sys.executable, "-c", FINDS_A_FAULT, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, env=PATHS)
    assert done.returncode != 0
    assert "bad: KeyError" in done.stderr + done.stdout
    assert list(tmp_path.glob("crash-*")), done.stderr


def _folder(root: Path, name: str) -> Path:
    (root / name).mkdir()
    return root / name


def test_generalisation_is_of_the_checkpoint_that_was_evaluated(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import check_generalisation

    names = ["metaworld/drawer-close", "--profile", "smoke", "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["check_generalisation", *names])
    assert check_generalisation.main() == 2
    assert "train dp3 on metaworld/drawer-close, seed 0; 'bench run'" in capsys.readouterr().err
    places = (tmp_path / "run", tmp_path / "cache", tmp_path / "reports")
    settings = app.Settings(*places, 0, None, "cpu", dry_run=False, latency=False)
    app.run(make_spec(["dp3"], names[:1], profile_name="smoke"), settings, Console(file=io.StringIO()))
    assert check_generalisation.main() == 0
    solved = int(load_run(tmp_path / "run").episodes["success_ever"].sum())
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" (")[0].rpartition(", ")[2].rpartition(": ")[0] for line in lines] == [
        "where its demonstrations began", "on the test",
    ]  # fmt: skip
    assert f"on the test: {solved}/2 " in lines[1]


def test_measuring_experts_leaves_other_sections_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DexArt's section is written by hand from another tool."""
    page = tmp_path / "experts.md"
    page.write_text("# Experts\n\n## DexArt (MuJoCo port)\n\nby hand\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["measure_experts", "--tasks", "dexart", "--episodes", "1", "--out", str(page)])
    runpy.run_path(str(TOOLS / "measure_experts.py"), run_name="__main__")
    assert page.read_text(encoding="utf-8") == "# Experts\n\n## DexArt (MuJoCo port)\n\nby hand\n"
    assert "dexart/bucket: left out" in capsys.readouterr().out
