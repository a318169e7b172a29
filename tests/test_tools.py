"""The tools run, on small inputs."""

from __future__ import annotations

import runpy
from pathlib import Path

TOOLS = Path(__file__).parent.parent / "tools"


def test_readers_take_what_was_written_or_refuse_it(tmp_path: Path) -> None:
    tool = runpy.run_path(str(TOOLS / "fuzz_readers.py"))
    counts = tool["fuzz"](2000, 0, tmp_path)
    assert sum(count.total() for count in counts.values()) >= 2000
    assert all(count["refused"] for name, count in counts.items() if name != "snapshot")
    assert counts["artefact"]["taken"] == 0
