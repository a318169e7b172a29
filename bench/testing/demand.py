"""How a kit says no."""

from __future__ import annotations


def demand(condition: bool, message: str) -> None:
    """Raise `AssertionError` where a condition does not hold; unlike a bare ``assert``, under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)
