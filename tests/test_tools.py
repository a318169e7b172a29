"""The tools run, on small inputs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


def test_readers_take_what_was_written_or_refuse_it(tmp_path: Path) -> None:
    tool = runpy.run_path(str(TOOLS / "fuzz_readers.py"))
    counts = tool["fuzz"](2000, 0, tmp_path)
    assert sum(count.total() for count in counts.values()) >= 2000
    assert all(count["refused"] for name, count in counts.items() if name != "snapshot")
    assert counts["artefact"]["taken"] == 0


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
