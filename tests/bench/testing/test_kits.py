"""The kits pass what keeps the contract, and tell each fault with what to do about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bench.interfaces import HandPlace, Outcome, TaskSpec
from bench.testing import check_method, check_task

EXAMPLES = Path(__file__).parents[3] / "examples"
SMALL = TaskSpec("check/small", "check", None, 8, 3, 2, 20, 1, "none", "none")


def example(package: str) -> ModuleType:
    path = EXAMPLES / package / f"{package.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Mlp: Any = example("bench-mlp").Mlp
Reach: Any = example("bench-toy-reach").Reach


def changed(base: Any, **attributes: object) -> Any:
    """A subclass with a fault."""
    return type("Faulty", (base,), attributes)


def with_spec(**fields: object) -> Any:
    """A method with a fault in its spec."""

    def init(self: Any, *arguments: Any) -> None:
        Mlp.__init__(self, *arguments)
        self.spec = replace(self.spec, **fields)

    return changed(Mlp, __init__=init)


def after(name: str, change: Callable[[Any, Any], Any]) -> Any:
    """A method of which one function's result is changed; ``change(self, result)``."""

    def function(self: Any, *arguments: Any) -> Any:
        return change(self, getattr(Mlp, name)(self, *arguments))

    return changed(Mlp, **{name: function})


def global_noise(self: Any, chunk: torch.Tensor) -> torch.Tensor:
    return chunk + 1e-3 * torch.rand(())


METHODS = {
    "a profile is missing": (
        lambda task, profile, *rest: Mlp(task, {"smoke": "smoke"}.get(profile, "none"), *rest), "give the method sizes",
    ),
    "no nfe": (with_spec(nfe=0), "spec.nfe is 0"),
    "config is no JSON": (with_spec(config={"size": np.float32(1)}), "spec.config is no JSON"),
    "any option goes": (lambda task, profile, options, device: Mlp(task, profile, {}, device), "an unknown option"),
    "a wrong shape": (after("sample", lambda _, chunk: chunk[:, 1:]), "expected (4, 4, 2)"),
    "double precision": (after("sample", lambda _, chunk: chunk.double()), "return float32"),
    "calls that are not counted": (with_spec(nfe=2), "network was called 1 times in act, spec.nfe says 2"),
    "noise from elsewhere": (after("sample", global_noise), "draw noise from it alone"),
    "the batch counts": (after("encode", lambda _, c: c - c.mean(0)), "changed with the others in the batch"),
    "act does more": (after("act", lambda _, chunk: chunk * 0.5), "act is not sample(encode(observations))"),
    "no losses": (after("fit_step", lambda *_: {}), "scalar tensors by name"),
    "a loss is not a number": (after("fit_step", lambda *_: {"loss": torch.tensor(torch.nan)}), "not finite in step 0"),
    "moments are forgotten": (
        changed(Mlp, training_state=lambda self: {f"net/{n}": t for n, t in self.state().items()}),
        "resumed from training_state() gave another",
    ),
    "snapshots are shared": (changed(Mlp, state=lambda self: self.net.state_dict()), "as copies"),
    "checkpoints are shared": (
        changed(Mlp, state=lambda self: self.net.state_dict(), training_state=lambda self: {
            name: tensor.clone() for name, tensor in Mlp.training_state(self).items()
        }), "state() changed after it",
    ),
    "the normaliser is lost": (
        changed(Mlp, state=lambda self: {}, load_state=lambda self, state: None, training_state=lambda self: {
            name: tensor.clone() for name, tensor in self.net.state_dict().items()
        }, load_training_state=lambda self, state: None), "gave another",
    ),
    "any checkpoint goes": (
        changed(Mlp, load_state=lambda self, state: self.net.load_state_dict(state, strict=False) and None),
        "load_state accepts a checkpoint with any tensor missing",
    ),
    "an error of torch": (
        changed(Mlp, load_state=lambda self, state: self.net.load_state_dict(state) and None), "raises RuntimeError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", METHODS)
def test_a_faulty_method(fault: str) -> None:
    method, message = METHODS[fault]
    with pytest.raises(AssertionError) as caught:
        check_method(method, SMALL)
    assert message in str(caught.value)


@pytest.mark.parametrize("method", [Mlp, "dp3", "sdm"])
def test_a_good_method(method: Any) -> None:
    check_method(method, SMALL)


def same_start(self: Any, seed: int) -> None:
    Reach.reset(self, 0)


def left_over(self: Any, seed: int) -> None:
    hand = getattr(self, "hand", None)
    Reach.reset(self, seed)
    self.hand = self.hand if hand is None else hand


def global_wind(self: Any, action: np.ndarray) -> Outcome:
    return Reach.step(self, action + np.random.normal(size=3))


def no_clip(self: Any, action: np.ndarray) -> Outcome:
    self.hand = self.hand + 0.01 * action
    return Outcome(False, False, 0.0)


def numpy_success(self: Any, action: np.ndarray) -> Outcome:
    return Reach.step(self, action)._replace(success=np.bool_(False))


def looking_moves(self: Any) -> Any:
    self.hand = self.hand + 0.01
    return Reach.scan(self)


def with_hand(*place: Any) -> Any:
    return changed(Reach, spec=replace(Reach.spec, hand=HandPlace(*place)))


TASKS = {
    "a name without suite": (changed(Reach, spec=replace(Reach.spec, id="reach")), "write suite/name"),
    "another suite": (changed(Reach, spec=replace(Reach.spec, suite="other")), "the first part of spec.id, 'toy'"),
    "no steps": (changed(Reach, spec=replace(Reach.spec, max_steps=0)), "spec.max_steps is 0"),
    "no demonstrations": (changed(Reach, spec=replace(Reach.spec, demo_factor=0)), "spec.demo_factor is 0"),
    "a hand outside of the state": (with_hand(Reach.spec.agent_pos_dim - 2, (0.0, 0.0, 0.0)), "agent_pos start there"),
    "a flat hand": (with_hand(0, (0.0, 0.0)), "spec.hand.offset has shape [2]"),
    "a hand that is stretched": (
        with_hand(0, (0.0, 0.0, 0.0), ((2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))), "rows must be orthonormal",
    ),
    "a short hash": (changed(Reach, state_hash=lambda self: "abc"), "return 16 hex digits"),
    "seeds do nothing": (changed(Reach, reset=same_start), "five seeds gave one initial state"),
    "something is left": (changed(Reach, reset=left_over), "something is left from before"),
    "random steps": (changed(Reach, step=global_wind), "no global random numbers"),
    "another number of points": (changed(Reach, spec=replace(Reach.spec, n_points=32), preprocess=lambda self, scan:
        Reach.preprocess(Reach(), scan)), "has shape [64, 3]: [32, 3]"),
    "looking moves": (changed(Reach, scan=looking_moves), "looking changed the state"),
    "unclipped actions": (changed(Reach, step=no_clip), "clip actions to [-1, 1]"),
    "a success of NumPy": (changed(Reach, step=numpy_success), "make it a plain Python value"),
    "an expert that cannot": (changed(Reach, spec=replace(Reach.spec, max_steps=2)), "mend the expert"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TASKS)
def test_a_faulty_task(fault: str) -> None:
    task, message = TASKS[fault]
    with pytest.raises(AssertionError) as caught:
        check_task(task)
    assert message in str(caught.value)


def test_a_good_task() -> None:
    check_task(Reach)
