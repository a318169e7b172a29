"""Tasks and methods without a simulator or a network: for the harness's own tests, never for a result."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from bench.interfaces import (
    Batch,
    DemoSet,
    MethodSpec,
    Observation,
    Observations,
    Outcome,
    Scan,
    TaskSpec,
    UserError,
    unknown,
)


def fake_spec(name: str = "fake/walk", max_steps: int = 12) -> TaskSpec:
    """A task with three state values, two actions and a cloud of four points."""
    return TaskSpec(name, "fake", "easy", 4, 3, 2, max_steps, 2, "fake 1.0", "fake/1")


class FakeTask:
    """A point moves by the first action value; success is seen while it is above a goal given by the seed."""

    def __init__(self, spec: TaskSpec | None = None) -> None:
        self.spec = spec or fake_spec()
        self.observed = self.resets = 0

    def reset(self, seed: int) -> None:
        self.seed, self.position, self.resets = seed, 0.0, self.resets + 1
        self.goal = 1.0 + seed % 7 / 2

    def step(self, action: np.ndarray) -> Outcome:
        self.position += float(np.clip(action[0], -1, 1))
        return Outcome(self.position >= self.goal, False, self.position)

    def scan(self) -> Scan:
        rows = np.arange(15, dtype=np.float32).reshape(5, 3) + np.float32(self.position)
        return Scan(rows, np.array([self.position, self.goal, 1.0], np.float32))

    def preprocess(self, scan: Scan) -> Observation:
        return Observation(scan.points[: self.spec.n_points], scan.agent_pos)

    def observe(self) -> Observation:
        self.observed += 1
        return self.preprocess(self.scan())

    def state_hash(self) -> str:
        return hashlib.sha256(repr((self.seed, self.position)).encode()).hexdigest()[:16]

    def expert(self) -> FakeExpert:
        return FakeExpert()

    def close(self) -> None:
        """Nothing to free."""


class FakeExpert:
    """Always forward, beyond the range that the harness clips to."""

    def act(self) -> np.ndarray:
        return np.array([3.0, 0.0], np.float32)


class FakeMethod:
    """One linear layer from the state to the actions, trained by plain gradient descent on noisy targets."""

    teacher: str | None = None
    horizon, n_obs_steps, n_action_steps = 4, 2, 4

    def __init__(self, name: str, task: TaskSpec, options: Mapping[str, str]) -> None:
        self.task = task
        self.spec = MethodSpec(
            name, self.teacher, self.horizon, self.n_obs_steps, self.n_action_steps, int(options.get("nfe", 1)),
            train_steps=20, batch_size=8, config={"width": 1}, options={"nfe": int(options.get("nfe", 1))},
        )  # fmt: skip
        self.network: torch.nn.Module = torch.nn.Linear(3, 2)
        torch.nn.init.zeros_(self.network.weight)
        torch.nn.init.zeros_(self.network.bias)

    def begin_training(self, demos: DemoSet, teacher: Mapping[str, Tensor] | None, generator: torch.Generator) -> None:
        assert (teacher is not None) == (self.spec.teacher is not None)
        self.states = torch.from_numpy(demos.agent_pos)
        with torch.no_grad():
            self.network.weight += 0.01 * torch.randn(2, 3, generator=generator)

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        prediction = self.network(self.states[batch.frames[:, -1]])
        target = batch.action[:, 0] + 0.1 * torch.randn(prediction.shape, generator=generator)
        loss = (prediction - target).square().mean()
        loss.backward()
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter -= 0.01 * parameter.grad
                parameter.grad = None
        return {"loss": loss.detach()}

    def training_state(self) -> dict[str, Tensor]:
        return self.state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self.load_state(state)

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if set(state) != {"weight", "bias"}:
            raise UserError(f"checkpoint: tensors {sorted(state)}")
        self.network.load_state_dict(dict(state))

    def encode(self, observations: Observations) -> Tensor:
        return observations.agent_pos[:, -1]

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        for _ in range(self.spec.nfe):
            action = self.network(condition)
        noise = 0.05 * torch.randn((len(condition), self.spec.executed_steps, 2), generator=generator)
        return (action[:, None] + noise).detach()

    def act(self, observations: Observations, generator: torch.Generator) -> Tensor:
        return self.sample(self.encode(observations), generator)


class FakeStudent(FakeMethod):
    """Has a teacher."""

    teacher = "base"


class BrokenMethod(FakeMethod):
    """Raises in the middle of training."""

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if batch.step == 3:
            raise RuntimeError("a fault in the method\nwith a second line")
        return super().fit_step(batch, generator)


class NanMethod(FakeMethod):
    """Acts with values that are not finite."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(condition, generator) * torch.nan


class SleepyMethod(FakeMethod):
    """Takes five milliseconds for each chunk, and notes how long it was in fact: a busy machine takes longer."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        start = time.perf_counter_ns()
        time.sleep(0.005)
        chunk = super().sample(condition, generator)
        self.__dict__.setdefault("took_ms", []).append((time.perf_counter_ns() - start) / 1e6)
        return chunk


class FakeRegistry:
    """Stands for both packages."""

    METHODS = {
        "base": FakeMethod,
        "student": FakeStudent,
        "broken": BrokenMethod,
        "nan": NanMethod,
        "sleepy": SleepyMethod,
    }
    TASKS = ("fake/walk", "fake/run")

    def names(self) -> list[str]:
        return sorted(self.METHODS)

    def baselines(self) -> list[str]:
        return ["base@nfe=1", "base@nfe=2"]

    def specs(self) -> dict[str, TaskSpec]:
        return {name: fake_spec(name) for name in self.TASKS}

    def unavailable(self, suite: str) -> str | None:
        return None

    def select(self, patterns: Sequence[str]) -> list[str]:
        for pattern in patterns:
            if pattern not in self.TASKS:
                raise unknown("task", pattern, self.TASKS)
        return list(patterns)

    def make(self, name: str, *arguments: object, **_: object) -> FakeTask | FakeMethod:
        if not arguments:
            return FakeTask(fake_spec(name))
        if name not in self.METHODS:
            raise unknown("method", name, self.METHODS)
        task, _profile, options, *_device = arguments
        return self.METHODS[name](name, task, options or {})  # type: ignore[arg-type]


@pytest.fixture
def fake_registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """Replace the methods and tasks of the harness by fakes."""
    fakes = FakeRegistry()
    monkeypatch.setattr(registry, "methods", lambda: fakes)
    monkeypatch.setattr(registry, "tasks", lambda: fakes)
    return fakes
