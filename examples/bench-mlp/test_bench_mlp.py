"""Does mlp keep the contract of a method, and does it learn?"""

import numpy as np
import torch
from bench_mlp import Mlp

from bench.interfaces import Batch, DemoSet, TaskSpec
from bench.testing import check_method


def test_it_is_registered_and_keeps_the_contract() -> None:
    check_method("mlp")


def test_it_learns_a_batch_by_heart() -> None:
    rng = np.random.default_rng(0)
    clouds, states, actions = (rng.uniform(-1, 1, (8, *size)).astype(np.float32) for size in ((16, 3), (3,), (2,)))
    task = TaskSpec("toy/none", "toy", None, 16, 3, 2, 40, 1, "none", "none")
    method, generator = Mlp(task, "smoke", {}, "cpu"), torch.Generator().manual_seed(0)
    method.begin_training(DemoSet(clouds, states, actions, np.array([8])), None, generator)
    frames = torch.arange(5)[:, None]
    batch = Batch(frames, torch.from_numpy(actions)[frames + torch.arange(4)], 0, 0)
    losses = [float(method.fit_step(batch, generator)["loss"]) for _ in range(200)]
    assert losses[-1] < 0.05 * losses[0]
