"""The ratio of two latencies: blocks, seeds, memory."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import ratio_of_medians


def test_ratio_of_medians_is_seeded_and_checks_its_blocks() -> None:
    blocks = [np.array([4.0, 4.1]), np.array([4.2, 4.3])]
    halves = [block / 2 for block in blocks]
    assert ratio_of_medians(blocks, halves) == ratio_of_medians(blocks, halves)
    assert ratio_of_medians(blocks, halves).value == pytest.approx(2.0)
    with pytest.raises(ValueError, match="same number"):
        ratio_of_medians(blocks, halves[:1])
    with pytest.raises(ValueError, match="same number"):
        ratio_of_medians(blocks, np.zeros((2, 0)))


def test_ratio_of_medians_by_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    slow, fast = rng.lognormal(1.0, 0.2, (6, 12)), rng.lognormal(0.0, 0.2, (6, 9))
    whole = ratio_of_medians(slow, fast)
    monkeypatch.setattr("bench.stats.times._DRAWS_AT_ONCE", 500)
    assert ratio_of_medians(slow, fast) == whole
