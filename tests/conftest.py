"""Fixtures for all tests."""

import torch

from tests.fakes import fake_registry

__all__ = ["fake_registry"]

torch.set_num_threads(1)
