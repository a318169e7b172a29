"""Recorded clouds as scripts, which a page can load from a disk where it may not read other files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import numpy as np

from bench.replay import Replay

BUDGET = 8_000_000
"""Bytes of recorded clouds that a site may hold with all its methods; above it, each task shows one of each outcome."""


def choose(replays: Sequence[Replay], variants: Sequence[str]) -> dict[str, list[Replay]]:
    """Replays by task, in the order of the variants."""
    order = {variant: i for i, variant in enumerate(variants)}
    known = sorted((r for r in replays if r.about.variant in order), key=lambda r: order[r.about.variant])
    few = sum(len(_base64(replay)) for replay in known) > BUDGET
    chosen: dict[str, list[Replay]] = {}
    for replay in known:
        own = chosen.setdefault(replay.about.task, [])
        if not (few and any(other.about.success == replay.about.success for other in own)):
            own.append(replay)
    return chosen


def script(replays: Sequence[Replay]) -> str:
    """JavaScript that hands the replays of one task to ``replay.js``: data alone."""
    return f"window.REPLAYS = {json.dumps([_data(replay) for replay in replays], separators=(',', ':'))};\n"


def _data(replay: Replay) -> Mapping[str, object]:
    return {"points": replay.cloud.shape[1], "step": replay.step.tolist(), "cloud": _base64(replay)}


def _base64(replay: Replay) -> str:
    return base64.b64encode(np.ascontiguousarray(replay.cloud, "<i2").tobytes()).decode()
