"""Methods and tasks with a fault each, for `tests/bench/test_faults.py` and `tests/test_processes.py`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.interfaces import Batch, Observation, Observations, Outcome, TaskSpec
from tests.fakes import FakeMethod, FakeRegistry, FakeTask, fake_spec

MARK = "BENCH_TEST_MARK"
"""Environment variable: the file by which a method knows that it has done its harm once."""
GATE = "BENCH_TEST_GATE"
"""Environment variable: the file that a method waits for."""


class Slow(FakeMethod):
    """Takes its time, so that there is a middle to be killed in."""

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        time.sleep(0.1)
        return super().fit_step(batch, generator)


class Gated(FakeMethod):
    """Learns nothing until a file is there: a run that cannot end before it was disturbed, on any machine."""

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        while not Path(os.environ[GATE]).exists():
            time.sleep(0.02)
        return super().fit_step(batch, generator)


class Hangs(FakeMethod):
    """Never comes back from its first action; its mark says that it is there."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        Path(os.environ[MARK]).touch()
        time.sleep(3600)
        raise AssertionError


class Stuck(FakeMethod):
    """Hangs as C code does: deaf to the alarm."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)
        raise AssertionError


class KillsItsWorker(FakeMethod):
    """As the kernel does where memory runs out."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class KillsItsWorkerOnce(FakeMethod):
    """Goes well at the second try."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        mark = Path(os.environ[MARK])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(condition, generator)


class WrongShape(FakeMethod):
    """One action too few."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(condition, generator)[:, :-1]


class WrongDtype(FakeMethod):
    """Whole numbers."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(condition, generator).to(torch.int64)


class NoTensor(FakeMethod):
    """Arrays, where tensors are expected."""

    def act(self, observations: Observations, generator: torch.Generator) -> Tensor:
        return super().act(observations, generator).numpy()  # type: ignore[return-value]


class OutOfRange(FakeMethod):
    """Far beyond what a robot can do; tasks clip."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(condition, generator) * 1e6


class ReadOnly(FakeMethod):
    """Actions in memory that must not be written: writing there ends the process."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        actions = super().sample(condition, generator).numpy()
        return torch.frombuffer(actions.tobytes(), dtype=torch.float32).reshape(actions.shape)


def _of_an_expert(action: np.ndarray) -> bool:
    """The fake expert never moves sideways, and no policy hits zero exactly."""
    return bool(action[1] == 0)


class Writes(FakeTask):
    """Clips the action in place."""

    def step(self, action: np.ndarray) -> Outcome:
        np.clip(action, -1, 1, out=action)
        return super().step(action)


class Diverges(FakeTask):
    """Its state is NaN after the third step of a policy."""

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self.policy_steps = 0

    def step(self, action: np.ndarray) -> Outcome:
        self.policy_steps += not _of_an_expert(action)
        return super().step(action)

    def observe(self) -> Observation:
        seen = super().observe()
        return seen if self.policy_steps < 3 else Observation(seen.point_cloud * np.float32(np.nan), seen.agent_pos)


class RewardDiverges(FakeTask):
    """So does the reward of this one, at once."""

    def step(self, action: np.ndarray) -> Outcome:
        outcome = super().step(action)
        return outcome if _of_an_expert(action) else outcome._replace(reward=float("nan"))


class Raises(FakeTask):
    """Raises in the first step of a policy."""

    def step(self, action: np.ndarray) -> Outcome:
        if not _of_an_expert(action):
            raise FloatingPointError("mj_step: unstable")
        return super().step(action)


class OddSuccess(FakeTask):
    """Success that looks like a truth value and is none."""

    def step(self, action: np.ndarray) -> Outcome:
        outcome = super().step(action)
        return outcome if _of_an_expert(action) else outcome._replace(success=np.bool_(True))  # type: ignore[arg-type]


class DemosDiverge(FakeTask):
    """Its clouds are never finite."""

    def observe(self) -> Observation:
        seen = super().observe()
        return seen._replace(point_cloud=seen.point_cloud * np.float32(np.inf))


class NeverCloses(FakeTask):
    """Raises when it is to be freed."""

    def close(self) -> None:
        raise RuntimeError("viewer already gone")


TASKS = {
    "fake/diverges": Diverges,
    "fake/reward-diverges": RewardDiverges,
    "fake/raises": Raises,
    "fake/odd-success": OddSuccess,
    "fake/demos-diverge": DemosDiverge,
    "fake/writes": Writes,
    "fake/never-closes": NeverCloses,
}


class FaultyRegistry(FakeRegistry):
    """The fakes, and those with faults."""

    METHODS = {
        **FakeRegistry.METHODS,
        "slow": Slow,
        "gated": Gated,
        "hangs": Hangs,
        "stuck": Stuck,
        "kills": KillsItsWorker,
        "kills-once": KillsItsWorkerOnce,
        "shape": WrongShape,
        "dtype": WrongDtype,
        "no-tensor": NoTensor,
        "out-of-range": OutOfRange,
        "read-only": ReadOnly,
    }
    TASKS = (*FakeRegistry.TASKS, *TASKS)

    def make(self, name: str, *arguments: object, **options: object) -> FakeTask | FakeMethod:
        if name in TASKS:
            return TASKS[name](fake_spec(name))
        return super().make(name, *arguments, **options)

    def specs(self) -> dict[str, TaskSpec]:
        return {name: fake_spec(name) for name in self.TASKS}
