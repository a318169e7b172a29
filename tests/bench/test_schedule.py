"""The order of work: parents first, long chains first, nothing lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import Kind, Unit, make_plan
from bench.schedule import Schedule
from bench.spec import make_spec

pytestmark = pytest.mark.usefixtures("fake_registry")


def plan() -> list[Unit]:
    return make_plan(make_spec(["base", "student"], ["fake/walk", "fake/run"], (0, 1), "smoke"))


def schedule(units: list[Unit], seconds: dict[Kind, float] | None = None) -> Schedule:
    made = Schedule(units, lambda unit: (seconds or {}).get(unit.kind, 1.0))
    for unit in units:
        made.add(unit, unit.needs)
    return made


@given(st.randoms(use_true_random=False))
def test_every_unit_comes_once_after_its_parents(chance) -> None:
    units = plan()
    left, running, seen = schedule(units), [], set()
    while left or running:
        unit = left.pick(chance.choice([None, "fake/walk", "fake/run"])) if chance.random() < 0.7 else None
        if unit is not None:
            assert unit.key not in seen
            assert set(unit.needs) <= seen - {u.key for u in running}
            running.append(unit)
            seen.add(unit.key)
        elif running:
            left.made(running.pop(chance.randrange(len(running))).key)
    assert seen == {u.key for u in units}


def test_a_worker_stays_on_its_task_unless_another_chain_is_much_longer() -> None:
    units = plan()
    tasks = [left.pick("fake/run").task.id for left in [schedule(units), schedule(units)]]  # type: ignore[union-attr]
    assert tasks == ["fake/run"] * 2
    first, other = [u for u in units if u.kind is Kind.DEMOS]
    long = Schedule([first, other], lambda unit: 100.0 if unit is first else 1.0)
    long.add(first)
    long.add(other)
    assert long.pick(other.task.id) is first


def test_many_tasks_are_finished_one_after_the_other() -> None:
    task = plan()[0].task
    units = [
        replace(unit, key=f"{unit.key}{i}", task=replace(task, id=f"fake/{i}"), demos=None, checkpoint=None)
        for i in range(10)
        for unit in plan()[:3]
    ]
    left, last, order = schedule(units), None, []
    while unit := left.pick(last):
        last = unit.task.id
        order.append(last)
    assert order[:15] == [f"fake/{i}" for i in range(5) for _ in range(3)]


def test_what_needs_a_lost_artefact_is_given_up_with_its_children() -> None:
    units = plan()
    left = schedule(units)
    demos = left.pick(None)
    assert demos is not None
    lost = {u.key for u in left.give_up(demos.key)}
    assert lost == {u.key for u in units if u.task == demos.task and u is not demos}
    assert len(left) == len(units) - 1 - len(lost)
