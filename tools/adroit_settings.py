"""How `tools/train_adroit_expert.py` trains the expert of each Adroit task."""

from __future__ import annotations

from dataclasses import dataclass

MOST_STD = 0.5  # of the exploration noise


@dataclass(frozen=True)
class Settings:
    """How to train."""

    episodes: int  # per iteration
    std: float  # of the exploration noise at first, in units of actions
    least_std: float = 0.08  # from iteration 50 on: what is learnt under noise is robust, and easier to imitate
    settle: int = 0  # iterations in which the most noise falls from `std` to the least; 0: it may be any
    midway: tuple[float, float] = (0.0, 0.0)  # share of episodes that start amid planned ones, at first and then
    clones: int = 100  # planned episodes to start from, before those that fail are left out
    clone_steps: int = 5000  # 0: the planned episodes only say how inputs are normalised
    critic_only: int = 6  # iterations in which the policy stays as it is
    gamma: float = 0.98
    lam: float = 0.95
    clip: float = 0.2
    kl: float = 0.012  # to which the learning rate adapts
    rate: float = 1e-5  # learning rate of the policy at first
    epochs: int = 6
    minibatches: int = 6
    smooth: float = 0.03  # weight of the squared change of the mean action
    width: int = 256
    every: int = 10  # iterations between evaluations
    evaluations: int = 60  # episodes

    def schedule(self, iteration: int, *, resumed: bool) -> tuple[tuple[float, float], float]:
        """Least and most exploration noise in an iteration, and the share of episodes that start midway."""
        settled = 1.0 if resumed else min(iteration / self.settle, 1.0) if self.settle else 0.0
        least = self.least_std * min(max(iteration / 50, 0.1), 1.0)
        most = self.std + settled * (self.least_std - self.std) if self.settle else MOST_STD
        return (min(least, most), most), self.midway[0] + settled * (self.midway[1] - self.midway[0])


SETTINGS = {
    "door": Settings(60, 0.05, least_std=0.1, clones=150, smooth=0.1, kl=0.016),
    "hammer": Settings(48, 0.05, clones=100, smooth=0.1),
    "pen": Settings(
        240, 0.3, least_std=0.11, settle=150, midway=(0.7, 0.25), clone_steps=0, critic_only=0, kl=0.02, rate=3e-4,
        epochs=5, minibatches=10, smooth=0.01, width=128, evaluations=100,
    ),
}  # fmt: skip
