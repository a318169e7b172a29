"""The harness: it knows protocols, never a concrete method or simulator."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.store import load

__all__ = ["load"]


def __getattr__(name: str) -> object:
    """Import on first use: methods and envs import `bench.interfaces` and should not pay for pandas."""
    if name in __all__:
        from bench import store

        return getattr(store, name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
