"""Does toy/reach keep the contract of a task?"""

from bench.testing import check_task


def test_it_is_registered_and_keeps_the_contract() -> None:
    check_task("toy/reach")
