"""What choosing the best evaluations does, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import best_evaluations, paper_top5


# Published means of the best five, for policies whose success never changes.
@pytest.mark.parametrize(
    ("p", "expected", "bias", "bias_of_14"),
    [
        (0.1, 0.170, 0.070, 0.067), (0.2, 0.293, 0.093, 0.089), (0.3, 0.406, 0.106, 0.102), (0.5, 0.615, 0.115, 0.110),
        (0.6, 0.712, 0.112, 0.107), (0.7, 0.804, 0.104, 0.099), (0.8, 0.889, 0.089, 0.085), (0.9, 0.964, 0.064, 0.062),
        (0.95, 0.995, 0.045, 0.043),
    ],
)  # fmt: skip
def test_bias_of_the_best_five(p: float, expected: float, bias: float, bias_of_14: float) -> None:
    found = paper_top5(p)
    assert found == pytest.approx((expected, bias), abs=6e-4)
    assert paper_top5(p, evaluations=14).bias == pytest.approx(bias_of_14, abs=6e-4)
    assert paper_top5(p, evaluations=5).bias == pytest.approx(0, abs=1e-12)


def test_best_five_against_drawing() -> None:
    drawn = np.random.default_rng(0).binomial(20, 0.697, (100_000, 15)) / 20
    assert paper_top5(0.697).expected == pytest.approx(np.sort(drawn, axis=1)[:, -5:].mean(), abs=5e-4)
    with pytest.raises(ValueError, match="best"):
        paper_top5(0.5, evaluations=4)


def test_best_evaluations_by_hand() -> None:
    k = [[0, 4, 2], [1, 1, 3], [4, 4, 4]]
    found = best_evaluations(k, np.full((3, 3), 4), ["a", "a", "b"], best=2)
    assert found.value == pytest.approx(((0.75 + 0.5) / 2 + 1) / 2)
    assert 0 <= found.low < found.value < found.high <= 1
    mixed = best_evaluations([k[2], k[1], k[0]], np.full((3, 3), 4), ["b", "a", "a"], best=2)
    assert mixed.value == found.value
    with pytest.raises(ValueError, match="5 of 3"):
        best_evaluations(k, np.full((3, 3), 4), ["a", "a", "b"])


@pytest.mark.parametrize("seeds", [1, 3])
def test_best_five_are_where_order_statistics_say(seeds: int) -> None:
    """The interval covers what the same selection gives on average, not success."""
    rng = np.random.default_rng(0)
    tasks, n = np.repeat(np.arange(6), seeds), np.full((6 * seeds, 15), 20)
    found = [best_evaluations(rng.binomial(n, 0.7), n, tasks, reps=200) for _ in range(200)]
    expected = paper_top5(0.7).expected
    assert np.mean([e.value for e in found]) == pytest.approx(expected, abs=0.004)
    assert np.mean([e.low <= expected <= e.high for e in found]) >= 0.9
    assert not any(e.low <= 0.7 <= e.high for e in found)


def test_intervals_near_all_or_nothing_shrink_with_more_trainings() -> None:
    """Every best evaluation succeeded: more of these leave less room below, and one that failed takes none away."""
    perfect, flawed = [6, 8, 10, 10, 10], [6, 8, 9, 9, 9]

    def interval(points: list[list[int]]) -> tuple[float, float]:
        value, low, high = best_evaluations(points, np.full((len(points), 5), 10), np.arange(len(points)), best=1)
        assert low <= value <= high
        return low, high

    few, many, nearly = interval([perfect] * 4), interval([perfect] * 57), interval([flawed, *[perfect] * 56])
    assert few[0] < nearly[0] < many[0] < many[1] == 1
    assert few[0] > 0.8
    assert many[0] > 0.98
    nothing, less = interval([[0] * 5] * 57), interval([[0] * 5] * 4)
    assert (nothing[0], less[0]) == (0, 0)
    assert nothing[1] < 0.05 < less[1] < 0.4
