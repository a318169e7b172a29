"""The conformance kit over all 57 tasks: one seed is one episode, bit for bit, and the rest of the contract."""

import pytest

import envs
from bench.interfaces import UserError
from bench.testing import check_task

ALL = list(envs.specs())
ONE_PER_SUITE = ["metaworld/drawer-open", "dexart/bucket"]  # Adroit's experts are played in test_adroit_experts.py


def has_expert(task_id: str) -> bool:
    """Whether demonstrations can be made."""
    task = envs.make(task_id)
    task.reset(0)
    try:
        task.expert()
    except UserError:
        return False
    finally:
        task.close()
    return True


def test_these_are_all_tasks() -> None:
    assert len(ALL) == 57
    assert {task_id.split("/")[0] for task_id in ALL} == {"metaworld", "adroit", "dexart"}


@pytest.mark.parametrize("task_id", ALL)
def test_a_task_keeps_its_contract(task_id: str) -> None:
    check_task(task_id, expert=task_id in ONE_PER_SUITE)


@pytest.mark.slow
@pytest.mark.parametrize("task_id", ALL)
def test_an_expert_keeps_its_contract(task_id: str) -> None:
    if not has_expert(task_id):
        pytest.skip("no expert yet")
    check_task(task_id)
