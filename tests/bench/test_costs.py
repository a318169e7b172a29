"""Costs are a memory, not a record: whatever the file holds, a run can start."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.costs import Costs
from bench.plan import Kind, make_plan
from bench.spec import make_spec

pytestmark = pytest.mark.usefixtures("fake_registry")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "x"}', b"\xff", 5000 * b"[", b'{"a": 1' + 400 * b"0" + b"}"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "costs.json").write_bytes(content)
    unit = make_plan(make_spec(["base"], ["fake/walk"], profile_name="smoke"))[0]
    costs = Costs(tmp_path / "costs.json")
    assert costs.estimate(unit) == Costs(tmp_path / "nowhere.json").estimate(unit)


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1"])
def test_only_durations_are_believed(tmp_path: Path, seconds: str) -> None:
    unit = make_plan(make_spec(["base"], ["fake/walk"], profile_name="smoke"))[0]
    assert unit.kind is Kind.DEMOS
    (tmp_path / "costs.json").write_text(f'{{"{unit.cost_class}": {seconds}}}')
    assert Costs(tmp_path / "costs.json").estimate(unit) == Costs(tmp_path / "nowhere.json").estimate(unit)


def test_what_was_learned_is_kept(tmp_path: Path) -> None:
    unit = make_plan(make_spec(["base"], ["fake/walk"], profile_name="smoke"))[0]
    costs = Costs(tmp_path / "costs.json")
    costs.learn(unit, 3.0)
    costs.learn(unit, 5.0)
    costs.save()
    assert Costs(tmp_path / "costs.json").estimate(unit) == 4.0
