"""What selecting the best evaluations does to a success rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats


class TopMean(NamedTuple):
    """Mean of the best of several evaluations of a policy whose true success never changes."""

    expected: float
    bias: float  # expected less true success


def paper_top5(p: float, *, episodes: int = 20, evaluations: int = 15, best: int = 5) -> TopMean:
    """Expected mean of the ``best`` highest of ``evaluations`` success rates, each over ``episodes`` at success ``p``.

    Published success rates of DP3 and its students are such means: 15 evaluations during a training, 20 episodes each.
    Exact, by the order statistics of Binomial(episodes, p): the r-th lowest of m exceeds x if fewer than r are <= x.

    Raises:
        ValueError: unless 0 <= p <= 1 and 1 <= best <= evaluations.
    """
    if not 0 <= p <= 1 or not 1 <= best <= evaluations:
        raise ValueError(f"need 0 <= p <= 1 and 1 <= best <= evaluations, got {p}, {best} of {evaluations}")
    below = stats.binom.cdf(np.arange(episodes), episodes, p)  # P(one evaluation <= x), x = 0 ... episodes - 1
    ranks = np.arange(evaluations - best + 1, evaluations + 1)[:, None]
    above = np.asarray(stats.binom.cdf(ranks - 1, evaluations, below))  # [best, episodes]: P(that rank > x)
    expected = float(above.sum() / (best * episodes))
    return TopMean(expected, expected - p)
