"""Plans: which work a run needs, and what its keys depend on."""

from __future__ import annotations

import pytest

from bench.plan import Kind, Unit, lineage, make_plan, realtime_units
from bench.spec import Variant, make_spec

pytestmark = pytest.mark.usefixtures("fake_registry")


def plan(methods: list[str], tasks: list[str] | None = None, **options: object) -> list[Unit]:
    return make_plan(make_spec(methods, tasks or ["fake/walk"], profile_name="smoke", **options))  # type: ignore[arg-type]


def keys(units: list[Unit], kind: Kind) -> set[str]:
    return {u.key for u in units if u.kind is kind}


def test_a_student_brings_its_teacher_but_not_the_teacher_s_evaluation() -> None:
    units = plan(["student"])
    assert [u.label for u in units] == [
        "demos of fake/walk",
        "train base on fake/walk, seed 0",
        "train student on fake/walk, seed 0",
        "evaluate student on fake/walk, seed 0",
    ]
    assert [u.method.name for u in lineage(units, units[-1])] == ["base", "student"]


def test_variants_share_the_checkpoint() -> None:
    units = plan(["base", "base@nfe=2"])
    assert len(keys(units, Kind.TRAIN)) == 1
    assert [u.method.nfe for u in units if u.kind is Kind.EVALUATE] == [1, 2]


def test_parents_come_before_children() -> None:
    seen: set[str] = set()
    for unit in plan(["student", "base"], ["fake/walk", "fake/run"], seeds=[0, 1]):
        assert seen.issuperset(unit.needs)
        seen.add(unit.key)


def test_company_does_not_move_a_key() -> None:
    alone, together = plan(["base"]), plan(["student", "base"], ["fake/run", "fake/walk"], seeds=[0, 1])
    assert {u.key for u in alone} <= {u.key for u in together}


def test_settings_move_the_keys_they_concern() -> None:
    base, longer = plan(["student"]), plan(["student"], episodes=9)
    assert keys(base, Kind.TRAIN) == keys(longer, Kind.TRAIN)
    assert not keys(base, Kind.EVALUATE) & keys(longer, Kind.EVALUATE)
    other = plan(["student"], base_seed=1)
    assert not {u.key for u in base} & {u.key for u in other}


def timed(*e2e_ms: float, key: str = "row") -> dict:
    return {("fake", Variant("base")): {"key": key, "e2e_quantiles": list(e2e_ms)}}


def test_every_evaluation_has_its_like_in_real_time_if_there_is_a_control_rate() -> None:
    units = plan(["base", "base@nfe=2"], ["fake/walk", "fake/run"])
    late = realtime_units(units, 20, timed(1.0, 2.0))
    paused = [u for u in units if u.kind is Kind.EVALUATE]
    assert [(u.task, u.variant, u.checkpoint) for u in late] == [(u.task, u.variant, u.checkpoint) for u in paused]
    assert [u.realtime.e2e_ms for u in late] == [(1.0, 2.0), ()] * 2  # that of nfe=2 is not known
    assert realtime_units(units, None, timed(1.0, 2.0)) == []


def test_rate_and_latency_move_the_keys_in_real_time() -> None:
    units, longer, other = plan(["base"]), plan(["base"], episodes=9), plan(["base"], base_seed=1)
    row, slower = timed(1.0, 2.0), timed(1.0, 2.5)
    inputs = [(units, 20, row), (units, 30, row), (units, 20, slower), (units, 20, {})]
    inputs += [(longer, 20, row), (other, 20, row)]
    found = [realtime_units(*each)[0].key for each in inputs]
    assert len(set(found)) == len(found)
    assert realtime_units(units, 20, timed(1.0, 2.0, key="measured again"))[0].key == found[0]
