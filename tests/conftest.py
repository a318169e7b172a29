"""Fixtures for all tests."""

from bench.instruction_set import pin

pin()  # as the command line does, before torch computes for the first time

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.fakes import fake_registry  # noqa: E402

__all__ = ["fake_registry"]

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")
