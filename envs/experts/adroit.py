"""The experts of the Adroit tasks.

Hammer and door: a closed-loop policy each, trained by `tools/train_adroit_expert.py`: a network with two hidden layers
that maps the state vector of the task to an action, without noise. Pen: planned episodes, made by
`tools/plan_adroit_pen.py`. The pen always starts in the same place and the goal touches nothing, so a planned episode
ends with the same pose of the pen whatever the goal is; the one that fits the goal best is executed.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from safetensors.numpy import load

from bench.interfaces import Expert

if TYPE_CHECKING:
    from envs.adroit import Adroit

CLIP = 5.0  # standard deviations: a normalised input lies no further out
HELD = 12  # last actions of an episode in which the pen should be at its goal


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


class Library(NamedTuple):
    """Planned episodes of the pen: M episodes of T actions. All float32."""

    actions: np.ndarray  # [M, T, A]
    axes: np.ndarray  # [M, T, 3] direction of the pen after each action

    def fit(self, goal: np.ndarray) -> np.ndarray:
        """Least cosine between the pen and a goal ``[3]`` while it should be held there ``[M]``."""
        return (self.axes[:, -HELD:] @ goal).min(1)


@cache
def policy(name: str) -> Policy:
    """The policy of ``door`` or ``hammer``."""
    return Policy(**_read(name))


@cache
def library() -> Library:
    """The planned episodes of the pen."""
    return Library(**_read("pen"))


def expert(task: Adroit, goal: np.ndarray | None) -> Expert:
    """The expert of a task; ``goal`` ``[3]`` is the direction that the pen should get."""
    return PolicyExpert(task) if goal is None else PlannedExpert(goal.astype(np.float32))


class PolicyExpert:
    """Acts on the state of the task, closed loop."""

    def __init__(self, task: Adroit) -> None:
        self._task, self._policy = task, policy(task.name)

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``."""
        return self._policy.act(self._task.state_vector())


class PlannedExpert:
    """Executes the planned episode that fits a goal best, open loop; call it before the first step."""

    def __init__(self, goal: np.ndarray) -> None:
        self._actions, self._step = library().actions[int(library().fit(goal).argmax())], 0

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``; the last one from the end of the plan on."""
        self._step += 1
        return self._actions[min(self._step, len(self._actions)) - 1]


def _read(name: str) -> dict[str, np.ndarray]:
    return load(files("envs.experts").joinpath(f"adroit_{name}.safetensors").read_bytes())
