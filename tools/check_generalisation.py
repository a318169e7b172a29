"""Does a policy fail because its demonstrations have not been there? Its success where they began, and on the test.

    python tools/check_generalisation.py metaworld/soccer [--method dp3] [--profile lite] [--seed 0] [--cache cache]

The checkpoint and the demonstrations must be in the cache: `bench run` with the same method, task, profile and seed
puts them there. A policy that solves the initial states of its demonstrations and few others has learned them by
heart; one that fails on both has not learned them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import envs
import methods
from bench.artifacts import Cache, StorageError, unpack_tensors
from bench.interfaces import UserError
from bench.plan import Kind, make_plan
from bench.rollout import LOCKSTEP, rollout
from bench.seeding import Purpose, episode_seed
from bench.spec import make_spec
from bench.stats import wilson


def success(options: argparse.Namespace) -> dict[str, tuple[int, int]]:
    """Successes and episodes where the demonstrations began and on the test.

    Raises:
        UserError: unknown names, or nothing in the cache.
    """
    units = make_plan(make_spec([options.method], [options.task], [options.seed], options.profile))
    [cell] = [unit for unit in units if unit.kind is Kind.EVALUATE]
    [demos] = [unit for unit in units if unit.kind is Kind.DEMOS]
    assert cell.checkpoint is not None
    assert cell.variant is not None
    cache = Cache(options.cache)
    if lacking := [unit.label for unit in units if unit.key in (*cell.needs, demos.key) and unit.key not in cache]:
        raise UserError(f"not in {options.cache}: {', '.join(lacking)}; 'bench run' with the same names makes it")
    policy = methods.make(cell.variant.method, cell.task, options.profile, dict(cell.variant.options))
    policy.load_state(unpack_tensors(cache.load(cell.checkpoint).data, "cpu"))
    tasks = [envs.make(options.task) for _ in range(LOCKSTEP)]
    states = {
        "where its demonstrations began": cache.load(demos.key).info["seeds"],
        "on the test": [episode_seed(0, options.task, Purpose.TEST, i) for i in range(cell.episodes)],
    }
    found = {}
    for where, seeds in states.items():
        episodes = rollout(tasks, policy, seeds, base_seed=0, training_seed=options.seed, until_success=True)
        found[where] = (sum(episode.success_ever for episode in episodes), len(episodes))
    return found


def main() -> int:
    """Evaluate, print two lines."""
    parser = argparse.ArgumentParser(description="Success where the demonstrations began, and on the test.")
    parser.add_argument("task")
    parser.add_argument("--method", default="dp3")
    parser.add_argument("--profile", default="lite")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        for where, (k, n) in success(options).items():
            _, low, high = wilson(k, n)
            print(f"{options.method} on {options.task}, {where}: {k}/{n} (95 % interval {low:.2f} to {high:.2f})")
    except (UserError, StorageError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
