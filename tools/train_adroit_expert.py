"""Make the expert network of an Adroit task: plan, imitate, plan again where the network fails.

    python tools/train_adroit_expert.py door|hammer|pen [--minutes 20] [--workers 1] [--out FILE] [--log FILE]

1. The planner searches one episode from nothing. It is the prior of the first round (not for the pen, whose goals differ
   too much for one episode to stand for all).
2. Each round: the network is tried on fresh layouts. Where it fails, the planner runs the episode near the network's own
   actions, which are executed in part, and what it would do is added to the data (DAgger, Ross et al., 2011).
3. The network is trained on all data.

It ends when the time is up or ``--until`` of the last layouts were solved; the best network is kept. `docs/adroit.md`
has the cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
import torch
from adroit_planner import SEARCH, Prior, Settings, Trajectory, plan_episode
from safetensors.numpy import save_file

import envs
from bench.seeding import Purpose, episode_seed, sequence
from envs.adroit import Adroit
from envs.experts.adroit import Network

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How the expert of one task is made."""

    near: Settings  # of plans near a prior
    width: int = 64  # of the two hidden layers
    searched: int = 1  # episodes searched from nothing
    noise: float = 0.04  # of what is executed
    one_prior: bool = True  # the searched episode is the prior of the first round
    length: int = 60  # of a corrected episode


RECIPES = {
    "door": Recipe(Settings(16, 6, 20, 3, 0.1, 0.15, average=True, deviation=4.0, roughness=20.0, first=2)),
    "hammer": Recipe(
        Settings(18, 6, 24, 3, 0.1, 0.15, average=True, deviation=3.0, roughness=10.0, first=2), length=90
    ),
    "pen": Recipe(
        Settings(14, 5, 24, 2, 0.1, 0.12, average=True, deviation=1.0, roughness=1.0, first=2), width=128, searched=24,
        one_prior=False, length=50,
    ),
}  # fmt: skip


@cache
def simulators(name: str) -> tuple[Adroit, Adroit]:
    """The task, and a second one to look ahead in."""
    spec = envs.specs()[f"adroit/{name}"]
    return Adroit(spec), Adroit(spec)


def training_seed(name: str, index: int) -> int:
    """Layouts that no demonstration and no test starts from."""
    return episode_seed(0, f"adroit/{name}", Purpose.TRAIN, index)


def look_ahead(task: Adroit, scratch: Adroit, network: Network, horizon: int) -> np.ndarray:
    """What the network would do from where the task is ``[H, A]``."""
    model, data = task._env.model, task._env.data
    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, spec))
    mujoco.mj_getState(model, data, state, spec)
    scratch._env.model.body_pos[:], scratch._env.model.body_quat[:] = model.body_pos, model.body_quat
    mujoco.mj_setState(scratch._env.model, scratch._env.data, state, spec)
    for length in ("pen_length", "tar_length"):
        if hasattr(task._env, length):
            setattr(scratch._env, length, getattr(task._env, length))
    seen, actions = task.state_vector(), []
    for _ in range(horizon):
        actions.append(network(seen))
        scratch._state = seen
        scratch.step(actions[-1])
        seen = scratch.state_vector()
    return np.array(actions)


def search(name: str, index: int, settings: Settings) -> Trajectory:
    """One episode planned from nothing; it ends soon after it is solved."""
    return plan_episode(simulators(name)[0], training_seed(name, index), settings, stop_after=12)


def attempt(name: str, index: int, tensors: Tensors | None) -> bool:
    """Whether the network alone solves a layout by both rules at the end, and in enough steps for a demonstration."""
    if tensors is None:
        return False
    task, network = simulators(name)[0], Network(tensors)
    task.reset(training_seed(name, index))
    solved = 0
    for _ in range(task.spec.max_steps):
        outcome = task.step(network(task.state_vector()))
        solved += outcome.success and bool(outcome.success_alt)
        if outcome.done:
            return False
    return outcome.success and bool(outcome.success_alt) and solved >= task.spec.min_success_steps


def correct(name: str, index: int, prior: Tensors, recipe: Recipe, follow: float) -> Trajectory:
    """One planned episode near a network, or near the one episode ``prior["episode"]`` [T, A]."""
    task, scratch = simulators(name)
    horizon = recipe.near.horizon
    ahead: Prior
    if "episode" in prior:
        episode = prior["episode"]
        ahead = lambda start: episode[np.minimum(np.arange(start, start + horizon), len(episode) - 1)]  # noqa: E731
    else:
        network = Network(prior)
        ahead = lambda _: look_ahead(task, scratch, network, horizon)  # noqa: E731
    return plan_episode(task, training_seed(name, index), recipe.near, ahead, follow, recipe.noise, 16, recipe.length)


def fit(
    states: np.ndarray, labels: np.ndarray, width: int, start: Tensors | None, steps: int, rng: np.random.Generator
) -> Tensors:
    """Regress labels ``[M, A]`` on states ``[M, O]``; starts from the weights of ``start`` if there are any."""
    torch.manual_seed(int(rng.integers(2**31)))
    mean = start["mean"] if start else states.mean(0)
    scale = start["scale"] if start else np.maximum(states.std(0), 0.1 * np.sqrt((states.std(0) ** 2).mean())) + 1e-3
    x = torch.tensor(np.clip((states - mean) / scale, -5, 5), dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.float32)
    sizes = [x.shape[1], width, width, y.shape[1]]
    layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
    for i, layer in enumerate(layers):
        if start:
            layer.weight.data = torch.tensor(start[f"weight{i}"])
            layer.bias.data = torch.tensor(start[f"bias{i}"])
    net = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (256,))
        seen = x[rows] + 0.01 * torch.randn(256, x.shape[1])
        loss = (net(seen) - y[rows]).abs().mean()  # the planner's outliers should not weigh more than the rest
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    tensors = {"mean": np.asarray(mean, np.float32), "scale": np.asarray(scale, np.float32)}
    for i, layer in enumerate(layers):
        tensors[f"weight{i}"], tensors[f"bias{i}"] = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return tensors


@contextmanager
def pool(workers: int) -> Iterator[Callable[..., Iterator]]:
    """A ``map`` over processes, or over nothing but this one."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as executor:
        yield executor.map


def train(
    name: str,
    recipe: Recipe,
    *,
    minutes: float = 20.0,
    until: float = 0.97,
    workers: int = 1,
    tries: int = 24,
    corrections: int = 12,
    steps: int = 2000,
    say: Callable[[str], None] = print,
    save: Callable[[Tensors], None] = lambda _: None,
) -> Tensors:
    """Train the expert of ``door``, ``hammer`` or ``pen``; calls ``save`` whenever there is a better one."""
    rng = np.random.default_rng(sequence(0, f"adroit/{name}:expert", Purpose.TRAIN))
    began, tried, best_rate = time.monotonic(), 0, -1.0
    data: list[Trajectory] = []
    network: Tensors | None = None
    best: Tensors | None = None
    with pool(workers) as spread:

        def over(function: Callable, indices: list[int], *arguments: object) -> list:
            columns = [[argument] * len(indices) for argument in arguments]
            return list(spread(function, [name] * len(indices), indices, *columns))

        while len(data) < recipe.searched:
            count = max(1, min(workers, recipe.searched - len(data)))
            found = over(search, list(range(tried, tried + count)), SEARCH[name])
            tried += count
            data += [t for t in found if t.solved_steps >= 10]
            say(f"searched {tried}, solved {len(data)}, {time.monotonic() - began:.0f} s")
        prior: Tensors = {"episode": np.array(data[0].labels)}
        if not recipe.one_prior:
            network = prior = _fitted(data, recipe, None, steps, rng)
        for round_ in range(1000):
            indices = list(range(tried, tried + tries))
            tried += tries
            solved = over(attempt, indices, network)
            rate = sum(solved) / len(solved)
            if network is not None and rate >= best_rate:
                best, best_rate = network, rate
                save(best)
            say(f"round {round_}: network solves {sum(solved)}/{len(solved)}, {time.monotonic() - began:.0f} s")
            if time.monotonic() - began > 60 * minutes or rate >= until:
                break
            failed = [i for i, ok in zip(indices, solved, strict=True) if not ok][:corrections]
            follow = 0.0 if network is None else 0.5
            fresh = over(correct, failed, prior, recipe, follow)
            data += fresh
            say(f"  planner solves {sum(t.solved_steps > 0 for t in fresh)}/{len(fresh)} of those it fails in")
            network = prior = _fitted(data, recipe, network, steps, rng)
    assert best is not None or network is not None
    return best if best is not None else network  # type: ignore[return-value]


def _fitted(
    data: list[Trajectory], recipe: Recipe, start: Tensors | None, steps: int, rng: np.random.Generator
) -> Tensors:
    """A network that imitates the episodes which came to something."""
    useful = [t for t in data if t.solved_steps > 0]
    states = np.concatenate([t.states for t in useful])
    labels = np.concatenate([t.labels for t in useful])
    return fit(states, labels, recipe.width, start, steps, rng)


def main() -> None:
    """Train one expert and write its weights."""
    parser = argparse.ArgumentParser(description="Train the expert network of an Adroit task.")
    parser.add_argument("task", choices=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=20.0, help="time after which no further round is begun")
    parser.add_argument("--until", type=float, default=0.97, help="success on a round's fresh layouts that is enough")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: the weights of the package")
    options = parser.parse_args()
    out = options.out or Path(envs.__file__).parent / "experts" / f"adroit_{options.task}.safetensors"
    train(
        options.task, RECIPES[options.task], minutes=options.minutes, until=options.until, workers=options.workers,
        say=lambda line: print(line, flush=True), save=lambda tensors: save_file(tensors, out),
    )  # fmt: skip
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
