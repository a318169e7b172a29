"""Thread modes, as a fresh process is put into them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.thread_modes import CPU1, CPUN, GPU, environment, modes_for

PROBE = (
    "import os, sys, torch; from bench.thread_modes import enter; enter(sys.argv[1]); "
    "print(torch.get_num_threads(), len(os.sched_getaffinity(0)))"
)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
@pytest.mark.parametrize("mode", [CPU1, CPUN, GPU])
def test_threads_and_cores_of_a_process(mode: str) -> None:
    allowed = len(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, mode], env={**os.environ, **environment(mode)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    threads, cores = map(int, done.stdout.split())
    assert cores == (1 if mode == CPU1 else allowed)
    assert threads == (int(environment(mode)["OMP_NUM_THREADS"]) if mode == CPUN else 1)
    assert 1 <= threads <= allowed


def test_modes_by_device() -> None:
    assert modes_for("cpu", (CPU1, CPUN)) == (CPU1, CPUN)
    assert modes_for("cuda", (CPU1, CPUN)) == (GPU,)
