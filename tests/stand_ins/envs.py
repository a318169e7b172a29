"""Stands for the package ``envs`` in processes that are started with this folder first in their path."""

from tests.faulty import FaultyRegistry

_FAKES = FaultyRegistry()
specs, make, unavailable, select = _FAKES.specs, _FAKES.make, _FAKES.unavailable, _FAKES.select
