"""Stands for the package ``methods`` in processes that are started with this folder first in their path."""

from tests.faulty import FaultyRegistry

_FAKES = FaultyRegistry()
names, make = _FAKES.names, _FAKES.make
