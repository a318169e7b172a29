"""The experts of the Adroit tasks: small networks that act on the simulator's state.

`tools/train_adroit_expert.py` made the weights; `docs/adroit.md` says how and what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np
from safetensors.numpy import load

from bench.interfaces import UserError


class Seen(Protocol):
    """A task that shows its state."""

    name: str

    def state_vector(self) -> np.ndarray:
        """The state ``[O]``."""


class Network:
    """Layers of tanh between a normalised state ``[O]`` and an action ``[A]`` in [-1, 1]."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.mean, self.scale = (np.asarray(tensors[name], np.float64) for name in ("mean", "scale"))
        count = sum(name.startswith("weight") for name in tensors)
        self.layers = [
            (np.asarray(tensors[f"weight{i}"], np.float64), np.asarray(tensors[f"bias{i}"], np.float64))
            for i in range(count)
        ]

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """The action for a state."""
        x = np.clip((state - self.mean) / self.scale, -5.0, 5.0)  # far from what was trained on, stay where it was
        for weight, bias in self.layers[:-1]:
            x = np.tanh(weight @ x + bias)
        weight, bias = self.layers[-1]
        return np.clip(weight @ x + bias, -1.0, 1.0)


@cache
def network(name: str) -> Network:
    """The trained network of ``door``, ``hammer`` or ``pen``. Raises `UserError` if there is none."""
    file = files("envs.experts").joinpath(f"adroit_{name}.safetensors")
    if not file.is_file():
        raise UserError(f"adroit/{name} has no expert yet: python tools/train_adroit_expert.py {name}")
    return Network(load(file.read_bytes()))


class NetworkExpert:
    """Acts by the network of its task."""

    def __init__(self, task: Seen) -> None:
        self._task, self._network = task, network(task.name)

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``."""
        return self._network(self._task.state_vector())
