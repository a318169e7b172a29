"""A small task and small demonstrations: enough for the methods, too little for success."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.interfaces import Batch, DemoSet, TaskSpec


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def task() -> TaskSpec:
    return TaskSpec("metaworld/none", "metaworld", "easy", 64, 9, 4, 200, 5, "none", "none")


@pytest.fixture(scope="session")
def demos() -> DemoSet:
    rng = np.random.default_rng(0)
    steps = 60
    return DemoSet(
        rng.normal(size=(steps, 64, 3)).astype(np.float32),
        rng.normal(size=(steps, 9)).astype(np.float32),
        rng.uniform(-1, 1, size=(steps, 4)).astype(np.float32),
        np.array([30, 60]),
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make_batch(demos: DemoSet, size: int = 32, step: int = 0, epoch: int = 0) -> Batch:
    """Windows from the middle of the episodes, the same for the same step."""
    starts = torch.randint(0, len(demos.action) - 4, (size,), generator=torch.Generator().manual_seed(step))
    steps = starts[:, None] + torch.arange(4)
    return Batch(steps[:, :2], torch.from_numpy(demos.action)[steps], step, epoch)
