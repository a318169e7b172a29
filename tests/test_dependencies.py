"""Every direct dependency is listed with its licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_FOR_USERS = {"dev", "docs", "site"}  # to test and to write with, not to run with


def test_every_dependency_is_listed_with_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"]]
    for extra, packages in project["optional-dependencies"].items():
        needed += packages if extra not in NOT_FOR_USERS else []
    listed = dict(
        re.findall(
            r"^\| ([a-z][a-z-]*)[^|]*\|[^|]*\| ([^|]+) \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M
        )
    )
    assert set(listed) - {"package", "mujoco"} == {re.split(r"[\[<>=! ]", name)[0] for name in needed}
    assert all(listed.values())
