"""Can the demonstrations of a task be learned? A state network cloned from ten of them, over fifty fresh episodes.

    python tools/check_learnability.py adroit/door [--demos 10] [--episodes 50] [--seed 0]

Success of demonstrations is not enough: independent planner solutions cannot be cloned at all. The clone sees what the
expert sees (`state_vector`), so that what is measured is the demonstrations and not the point cloud.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import envs
from bench.interfaces import Task
from bench.seeding import Purpose, episode_seed
from bench.stats import wilson

FLOOR = 0.5
"""Added to the standard deviation of each input: what hardly varies in ten demonstrations is not blown up to noise."""


def demonstrations(task: Task, count: int) -> tuple[np.ndarray, np.ndarray]:
    """States ``[M, O]`` and actions ``[M, A]`` of the first accepted episodes of the expert."""
    states: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    found = index = 0
    while found < count:
        task.reset(episode_seed(0, task.spec.id, Purpose.DEMO, index))
        expert, seen, done, solved = task.expert(), [], [], 0
        for _ in range(task.spec.max_steps):
            seen.append(task.state_vector())  # type: ignore[attr-defined]
            done.append(np.clip(expert.act(), -1.0, 1.0))
            outcome = task.step(done[-1])
            solved += outcome.success
            if outcome.done:
                break
        index += 1
        if solved >= task.spec.min_success_steps:
            states += seen
            actions += done
            found += 1
    return np.array(states), np.array(actions)


def clone(states: np.ndarray, actions: np.ndarray, steps: int = 5000, width: int = 256) -> torch.nn.Module:
    """A network with two hidden layers that was regressed on the demonstrations; it normalises its input itself."""
    mean, scale = states.mean(0), states.std(0) + FLOOR
    x = torch.tensor((states - mean) / scale, dtype=torch.float32)
    y = torch.tensor(actions, dtype=torch.float32)
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
        torch.nn.Linear(width, y.shape[1]),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (128,))
        loss = ((net(x[rows]) - y[rows]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    class Normalised(torch.nn.Module):
        def forward(self, state: torch.Tensor) -> torch.Tensor:
            return net((state - torch.tensor(mean)) / torch.tensor(scale))

    net.double()
    return Normalised()


def main() -> None:
    """Collect, clone, evaluate, print one line."""
    parser = argparse.ArgumentParser(description="Clone demonstrations with a state network.")
    parser.add_argument("task", choices=[t for t in envs.specs() if t.startswith(("adroit/", "metaworld/"))])
    parser.add_argument("--demos", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    task = envs.make(options.task)
    states, actions = demonstrations(task, options.demos)
    policy = clone(states, actions)
    ever = end = 0
    for episode in range(options.episodes):
        task.reset(episode_seed(0, options.task, Purpose.TEST, episode))
        seen = False
        for _ in range(task.spec.max_steps):
            with torch.no_grad():
                action = policy(torch.tensor(task.state_vector())).numpy()  # type: ignore[attr-defined]
            outcome = task.step(np.clip(action, -1.0, 1.0))
            seen |= outcome.success
            if outcome.done:
                break
        ever += seen
        end += outcome.success
    _, low, high = wilson(end, options.episodes)
    print(
        f"{options.task}: {options.demos} demos, {len(states)} steps; the clone succeeds in "
        f"{ever}/{options.episodes}, at the end in {end}/{options.episodes} (95 % interval {low:.2f} to {high:.2f})"
    )


if __name__ == "__main__":
    main()
