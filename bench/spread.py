"""How far the actions of a policy spread over its noise: what a distilled policy keeps, or loses, of its teacher's."""

from __future__ import annotations

import numpy as np
import torch

from bench.interfaces import Method, Observations
from bench.seeding import torch_generator

EVERY = 32
"""It is looked at in the first policy call of an episode and in every so many after it."""
DRAWS = 8
"""Chunks that are sampled there, with noise of their own: the episode goes on as if nobody had looked."""


class SpreadProbe:
    """Samples chunks for the observations of running episodes, which it does not change."""

    def __init__(self, noise: np.random.SeedSequence, episodes: int) -> None:
        """``noise`` seeds the draws, the same for every method."""
        self._noise = noise
        self._generator: torch.Generator | None = None
        self._calls = 0
        self._variances: list[list[float]] = [[] for _ in range(episodes)]

    def see(self, policy: Method, observations: Observations, running: list[int]) -> None:
        """Look at a policy call: ``running`` are the rows of ``observations`` whose episodes are not over."""
        if self._calls % EVERY == 0:
            condition = policy.encode(observations)
            if self._generator is None:
                self._generator = torch_generator(self._noise, condition.device)
            chunks = torch.stack([policy.sample(condition, self._generator) for _ in range(DRAWS)])
            variance = chunks.double().var(dim=0).mean(dim=(1, 2)).tolist()
            for row in running:
                self._variances[row].append(variance[row])
        self._calls += 1

    def spreads(self) -> list[float | None]:
        """For each episode, the root of the mean variance of an action over noise; None where it is not finite."""
        means = [np.mean(found) if found else np.nan for found in self._variances]
        return [float(np.sqrt(mean)) if np.isfinite(mean) else None for mean in means]
