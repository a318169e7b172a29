"""Fixtures for all tests."""

import torch
from hypothesis import settings

from tests.fakes import fake_registry

__all__ = ["fake_registry"]

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")
