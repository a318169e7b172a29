"""Latency in the loop: in simulated time, a robot that waits for its policy goes on with its last action.

A call that takes L seconds costs ceil(L * HZ) control steps before its chunk begins. L is drawn from what was measured,
by a number that depends on nothing but the names of the task, the training seed, the episode and the call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from bench.seeding import Purpose, sequence

SLACK = 1e-9
"""Part of a control step that is rounding error, not lateness: a time of exactly k steps costs k, as a float too.

No clock sees it: it is a nanosecond at 1 Hz and less above."""


@dataclass(frozen=True)
class RealTime:
    """The control rate of a robot and how long one policy keeps it waiting."""

    control_hz: int
    latency_key: str | None = None  # of the row of latency.jsonl; None: the latency is not known
    e2e_ms: tuple[float, ...] = ()  # equally likely end-to-end times of a call, in ms

    def waits(self, base_seed: int, task: str, training_seed: int, episode: int) -> Iterator[int]:
        """Control steps that each policy call of an episode takes, without end.

        Call j of episode e has the same rank among the times of every variant: paired episodes share their luck.
        """
        for call in count():
            seq = sequence(base_seed, task, Purpose.LATENCY, training_seed, episode, call)
            rank = int(seq.generate_state(1)[0]) * len(self.e2e_ms) >> 32  # of 32 random bits
            yield held_steps(self.e2e_ms[rank], self.control_hz)


def held_steps(ms: float, control_hz: int) -> int:
    """Control steps that begin before a call of ``ms`` milliseconds has ended: ceil(L * HZ)."""
    return max(0, math.ceil(ms * control_hz / 1000 - SLACK))
