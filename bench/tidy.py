"""Records as tidy columns: one value a cell, whatever is nested in a row spread over columns of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

_INTERVAL = "_ci"


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Spread objects over columns ``<column>.<key>``, and the two ends of intervals over ``…_low`` and ``…_high``.

    Plain values, lists of more than an interval and columns without any value stay as they are; empty objects go.
    """
    columns: dict[str, Any] = {}
    for name in frame:
        values = frame[name].tolist()
        columns |= _spread(str(name), values) if any(isinstance(v, dict) for v in values) else {str(name): frame[name]}
    return pd.DataFrame(columns, index=frame.index)


def _spread(name: str, values: Sequence[Any]) -> dict[str, list[Any]]:
    """Columns of one value a row; what a row lacks is None."""
    if name.endswith(_INTERVAL):
        ends = [value or (None, None) for value in values]
        stem = name.removesuffix(_INTERVAL)
        return {f"{stem}_low": [low for low, _ in ends], f"{stem}_high": [high for _, high in ends]}
    objects = [value for value in values if isinstance(value, dict)]
    if not objects:
        return {name: list(values)}
    keys = dict.fromkeys(key for value in objects for key in value)
    columns: dict[str, list[Any]] = {}
    for key in keys:
        columns |= _spread(f"{name}.{key}", [v.get(key) if isinstance(v, dict) else None for v in values])
    return columns
