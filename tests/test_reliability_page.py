"""Every test that `docs/reliability.md` names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
USUAL = "tests/bench/test_faults.py"


def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_named_test_is_there() -> None:
    faults = PAGE.partition("## Faults")[2].partition("\n## ")[0]
    lines = [line for line in faults.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    assert len(lines) > 25
    for line in lines:
        named = re.findall(r"`([^`]+)`", line.split(" | ")[2])
        assert named, line
        file = USUAL
        for name in named:
            if "/" in name.partition("[")[0]:
                file = name.partition("::")[0]
                assert (ROOT / file).is_file(), line
                name = name.partition("::")[2]
            if name:
                assert name.partition("[")[0] in functions(file), line


def test_every_test_of_faults_is_named() -> None:
    assert {name for name in functions(USUAL) if name.startswith("test_") and name not in PAGE} == set()
