"""Every random number of the project comes from here, so that results depend on nothing but their names.

`SeedSequence([base, crc32(scope), purpose, index])`: adding a task, a method or an episode moves no other's.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Purpose(IntEnum):
    """What a stream is for; streams of different purposes never share numbers."""

    DEMO = 0
    SELECTION = 1
    TEST = 2
    TRAIN = 3
    NOISE = 4
    LATENCY = 5
    SPREAD = 6


def sequence(base: int, scope: str, purpose: Purpose, *index: int) -> np.random.SeedSequence:
    """The seed sequence for ``scope`` (a task id, or ``task:method``), a purpose and indices."""
    return np.random.SeedSequence([base, zlib.crc32(scope.encode()), int(purpose), *index])


def episode_seed(base: int, task: str, purpose: Purpose, episode: int) -> int:
    """The seed (31 bits) that `Task.reset` gets for an episode: the same for every method and training seed."""
    return int(sequence(base, task, purpose, episode).generate_state(1)[0]) & 0x7FFFFFFF


def torch_generator(seq: np.random.SeedSequence, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator seeded with 63 bits of ``seq``."""
    import torch

    generator = torch.Generator(device)
    generator.manual_seed(int(seq.generate_state(1, np.uint64)[0]) & 0x7FFFFFFFFFFFFFFF)
    return generator
