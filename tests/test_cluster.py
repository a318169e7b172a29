"""A cluster of several nodes, each a raylet of its own on this machine; workers must not touch the driver's files."""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.instruction_set import AVX2, environment
from bench.ray_executor import RayExecutor
from bench.store import read_rows
from tests.test_processes import PATIENCE_S, finish, records, start, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * PATIENCE_S)]


class Nodes:
    """A cluster whose head only schedules."""

    def __init__(self, root: Path) -> None:
        cluster = importlib.import_module("ray.cluster_utils").Cluster
        self._cluster = cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address = str(self._cluster.address)
        self.nodes: list[Any] = []

    def add(self, cpus: int = 1, gpus: int = 0) -> None:
        """One more node."""
        self.nodes.append(self._cluster.add_node(num_cpus=cpus, num_gpus=gpus))

    def lose(self) -> None:
        """The node that joined first is gone, without a goodbye."""
        self._cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def stop(self) -> None:
        """All of it."""
        self._cluster.shutdown()


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    from tests.test_processes import environment as of_tests

    for name in AVX2:
        monkeypatch.delenv(name, raising=False)  # nodes are started by hand, not by bench
    for name, value in of_tests(tmp_path).items():
        monkeypatch.setenv(name, value)  # nodes have the code, as they must
    monkeypatch.setenv("BENCH_TEST_FORBIDDEN", str(tmp_path))
    made = Nodes(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("undisturbed")
    finish(start(root, workers=0))
    return records(root)


def on(nodes: Nodes, root: Path, gate: bool = True) -> subprocess.Popen[str]:
    return start(root, "--ray-address", nodes.address, workers=None, gate=gate)


def test_two_nodes_without_a_shared_file_system(undisturbed: dict[str, bytes], nodes: Nodes, tmp_path: Path) -> None:
    nodes.add()
    nodes.add()
    finish(on(nodes, tmp_path))
    assert records(tmp_path) == undisturbed


def test_workers_on_other_nodes_use_the_same_instruction_set(nodes: Nodes) -> None:
    nodes.add()
    executor = RayExecutor(1, nodes.address)
    try:
        actor = executor._slots[0].actor
        asked = actor.__ray_call__.remote(lambda _: {name: os.environ[name] for name in AVX2 if name in os.environ})
        assert importlib.import_module("ray").get(asked, timeout=PATIENCE_S) == environment()
    finally:
        executor.close()


def test_nodes_of_different_size(undisturbed: dict[str, bytes], nodes: Nodes, tmp_path: Path) -> None:
    nodes.add(cpus=2)
    nodes.add(gpus=1)
    nodes.add(cpus=0, gpus=1)
    finish(on(nodes, tmp_path))
    assert records(tmp_path) == undisturbed


def test_a_node_is_lost_and_another_joins_late(undisturbed: dict[str, bytes], nodes: Nodes, tmp_path: Path) -> None:
    nodes.add()
    process = on(nodes, tmp_path)
    wait_for(tmp_path, 2, process)
    nodes.add()
    time.sleep(10)  # the driver looks every five seconds
    nodes.lose()
    output = finish(process)
    assert records(tmp_path) == undisturbed
    errors = read_rows(tmp_path / "run" / "errors.jsonl")
    assert all("the worker died" in row["error"] for row in errors), output


def test_all_nodes_are_lost_and_one_joins_late(undisturbed: dict[str, bytes], nodes: Nodes, tmp_path: Path) -> None:
    nodes.add()
    process = on(nodes, tmp_path)
    wait_for(tmp_path, 2, process)
    nodes.lose()
    time.sleep(5)
    nodes.add()
    finish(process)
    assert records(tmp_path) == undisturbed
