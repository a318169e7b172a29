"""Stands for the package ``methods`` in processes that are started with this folder first in their path."""

import os
import sys

from tests.faulty import FaultyRegistry

_FAKES = FaultyRegistry()
names, make = _FAKES.names, _FAKES.make


def _forbid(folder: str) -> None:
    """Workers of Ray see no file below a folder, as if they were on another machine."""

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(folder):
            raise PermissionError(f"{arguments[0]}: is on the driver's machine")

    sys.addaudithook(look)


if (_folder := os.environ.get("BENCH_TEST_FORBIDDEN")) and "default_worker" in sys.argv[0]:
    _forbid(_folder)
