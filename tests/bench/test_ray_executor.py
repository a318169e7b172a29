"""What can be known of the executor without Ray; `tests/test_processes.py` and `tests/test_cluster.py` try the rest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.ray_executor import RayExecutor

NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0}},
    {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}},
    {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 3.0}},
    {"Alive": True, "Resources": {"GPU": 8.0, "memory": 1e9}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("per_gpu", "most", "room"), [(0, None, 7), (1, None, 2), (0, 3, 3), (1, 9, 2), (2, None, 3), (8, None, 3)]
)
def test_there_are_no_more_workers_than_nodes_have_room_for(per_gpu: int, most: int | None, room: int) -> None:
    executor = object.__new__(RayExecutor)
    executor._ray, executor._per_gpu, executor._most = SimpleNamespace(nodes=lambda: NODES), per_gpu, most
    assert executor._room() == room
