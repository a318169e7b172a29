"""The harness: it knows protocols, never a concrete method or simulator.

From Python it offers what the command line does: ``from bench import run, load, compare`` (``docs/python.md``).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.api import compare, run
    from bench.comparison import Comparison
    from bench.interfaces import UserError
    from bench.store import Run, load

__all__ = ["Comparison", "Run", "UserError", "compare", "load", "run"]
_HOMES = {
    "Comparison": "bench.comparison", "Run": "bench.store", "UserError": "bench.interfaces", "compare": "bench.api",
    "load": "bench.store", "run": "bench.api",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Import on first use: methods and envs import `bench.interfaces` and should not pay for pandas."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
