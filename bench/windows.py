"""Training windows over a demo set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bench.interfaces import Batch, DemoSet, MethodSpec


def window_indices(
    episode_ends: np.ndarray,
    horizon: int,
    n_obs_steps: int,
    n_action_steps: int,
    last_starts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Frame indices of all windows of all episodes.

    A window of H steps starts at -(To-1) ... L-H+(n_action_steps-1) of an episode of L steps; steps beyond its ends
    repeat the edge frame (the windows of the published DP3 configurations). ``last_starts [E]`` leaves out the windows
    of an episode that start later.

    Returns:
        Observation frames ``[W, To]`` and action frames ``[W, H]``, both int64.
    """
    windows = []
    starts = [0, *episode_ends[:-1]]
    limits = episode_ends if last_starts is None else last_starts + 1
    for start, end, limit in zip(starts, episode_ends, limits, strict=True):
        firsts = np.arange(start - (n_obs_steps - 1), min(end - horizon + n_action_steps, limit))
        windows.append(np.clip(firsts[:, None] + np.arange(horizon), start, end - 1))
    frames = np.concatenate(windows).astype(np.int64)
    return frames[:, :n_obs_steps], frames


def batches(
    demos: DemoSet,
    spec: MethodSpec,
    rng: np.random.SeedSequence,
    first_step: int = 0,
    after_success: int | None = None,
) -> Iterator[Batch]:
    """Endless shuffled batches, a pure function of ``rng`` and the step, so that training can go on at any step.

    An epoch is one permutation of the windows, cut into whole batches; a set smaller than a batch is repeated. With
    ``after_success``, windows that start more than so many steps after the first success are left out: nothing happens
    there, and they would take half of a small budget.
    """
    last = demos.solved + after_success if after_success is not None and len(demos.solved) else None
    frames, steps = window_indices(demos.episode_ends, spec.horizon, spec.n_obs_steps, spec.n_action_steps, last)
    frame_table, action = torch.from_numpy(frames), torch.from_numpy(demos.action[steps])
    copies = -(-spec.batch_size // len(frames))
    per_epoch = copies * len(frames) // spec.batch_size
    step = first_step
    while True:
        epoch, offset = divmod(step, per_epoch)
        shuffle = np.random.default_rng([*rng.generate_state(4), epoch])
        order = torch.from_numpy(np.concatenate([shuffle.permutation(len(frames)) for _ in range(copies)]))
        for place in range(offset, per_epoch):
            index = order[place * spec.batch_size : (place + 1) * spec.batch_size]
            yield Batch(frame_table[index], action[index], step, epoch)
            step += 1
