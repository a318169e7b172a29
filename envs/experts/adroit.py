"""The experts of the Adroit tasks: a closed-loop policy each, trained by `tools/train_adroit_expert.py`.

A network with two hidden layers maps the state vector of the task to an action, without noise.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from safetensors.numpy import load

if TYPE_CHECKING:
    from envs.adroit import Adroit

CLIP = 5.0  # standard deviations: a normalised input lies no further out


class Policy(NamedTuple):
    """Weights of one policy: O inputs, W hidden units, A actions. All float32."""

    shift: np.ndarray  # [O]
    scale: np.ndarray  # [O]
    w0: np.ndarray  # [W, O]
    b0: np.ndarray  # [W]
    w1: np.ndarray  # [W, W]
    b1: np.ndarray  # [W]
    w2: np.ndarray  # [A, W]
    b2: np.ndarray  # [A]

    def act(self, state: np.ndarray) -> np.ndarray:
        """Action ``[A]`` for a state vector ``[O]``; not clipped."""
        x = np.clip((state.astype(np.float32) - self.shift) / self.scale, -CLIP, CLIP)
        x = np.tanh(self.w0 @ x + self.b0)
        x = np.tanh(self.w1 @ x + self.b1)
        return self.w2 @ x + self.b2

    @classmethod
    def constant(cls, inputs: int, action: np.ndarray) -> Policy:
        """Always ``action`` ``[A]``."""
        z = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
        return cls(z(inputs), 1 + z(inputs), z(1, inputs), z(1), z(1, 1), z(1), z(len(action), 1), action)


@cache
def policy(name: str) -> Policy:
    """The policy of ``door``, ``hammer`` or ``pen``."""
    return Policy(**load(files("envs.experts").joinpath(f"adroit_{name}.safetensors").read_bytes()))


class PolicyExpert:
    """Acts on the state of the task, closed loop, as `bench.interfaces.Expert`."""

    def __init__(self, task: Adroit) -> None:
        self._task, self._policy = task, policy(task.name)

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``."""
        return self._policy.act(self._task.state_vector())
