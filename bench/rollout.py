"""The one evaluator: episodes in lockstep, batched policy calls, clouds or pictures only where the policy looks."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import torch

from bench.interfaces import Method, Observation, ObservationKind, Observations, Task
from bench.realtime import RealTime
from bench.replay import Recorder
from bench.seeding import Purpose, sequence, torch_generator
from bench.sensors import Seen, batch, observe
from bench.spread import SpreadProbe

LOCKSTEP = 20
"""Episodes in one batch. Fixed, and short batches are padded: an episode's outcome does not depend on how many others
are run, on how many workers, or after which failures."""


@dataclass
class Episode:
    """The outcome of one episode."""

    index: int
    seed: int
    state_hash: str = ""
    action_hash: str = ""  # of all actions executed, in order
    success_ever: bool = False
    success_end: bool = False
    success_alt_ever: bool | None = None  # by a suite's second rule; None where there is none
    success_alt_end: bool | None = None
    steps: int = 0
    steps_to_success: int | None = None
    total_reward: float = 0.0
    error: str | None = None
    calls: int = 0  # of the policy
    held_steps: int = 0  # of ``steps``: those waited for the policy
    action_spread: float | None = None  # over the policy's noise; None where it was not looked at
    done: bool = field(default=False, repr=False)


def rollout(
    tasks: Sequence[Task],
    policy: Method,
    seeds: Sequence[int],
    *,
    base_seed: int,
    training_seed: int,
    realtime: RealTime | None = None,
    recorder: Recorder | None = None,
    spread: bool = False,
    until_success: bool = False,
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[Episode]:
    """Run one episode per seed.

    Args:
        tasks: At least ``min(len(seeds), LOCKSTEP)`` instances of one task.
        policy: Returns chunks of K actions; it sees the last To observations, at reset the first one repeated.
        seeds: Of the initial states, in order.
        base_seed: Of the policy's noise, which is the same for every method: pairs share initial state and noise.
        training_seed: Second part of the noise seed.
        realtime: How long the policy keeps the robot waiting; None: the world stands still while it thinks.
        recorder: Shown the clouds that the policy sees (pictures are not kept), and how episodes end; changes nothing.
        spread: Whether to measure `Episode.action_spread` (`bench.spread`); changes nothing else.
        until_success: End an episode at its first success, where no more than that is asked; other episodes stay as
            they are.
        on_progress: Called with the fraction done.
    """
    episodes = []
    for first in range(0, len(seeds), LOCKSTEP):
        group = [Episode(first + i, seed) for i, seed in enumerate(seeds[first : first + LOCKSTEP])]
        noise = sequence(base_seed, tasks[0].spec.id, Purpose.NOISE, training_seed, first)
        lanes = []
        for task, episode in zip(tasks, group, strict=False):
            waits: Iterator[int] = repeat(0)
            if realtime is not None:
                waits = realtime.waits(base_seed, task.spec.id, training_seed, episode.index)
            lanes.append(_Lane(task, episode, policy.spec.n_obs_steps, policy.spec.observation, waits, until_success))
        device = next(policy.network.parameters()).device
        generator = torch_generator(noise, device)
        scope = (base_seed, tasks[0].spec.id, Purpose.SPREAD, training_seed, first)
        probe = SpreadProbe(sequence(*scope), len(group)) if spread else None
        while not all(episode.done for episode in group):
            if recorder is not None:
                for lane in lanes:
                    last = lane.history[-1]
                    if not lane.episode.done and isinstance(last, Observation):
                        recorder.see(lane.episode.index, lane.episode.steps, last.point_cloud)
            observations = _gather(lanes, device)
            running = [i for i, episode in enumerate(group) if not episode.done]
            _advance(lanes, policy, observations, generator)
            if probe is not None:
                probe.see(policy, observations, running)
            on_progress((first + sum(lane.fraction for lane in lanes)) / len(seeds))
        if recorder is not None:
            recorder.end((e.index, e.success_ever and e.error is None) for e in group)
        if probe is not None:
            for episode, found in zip(group, probe.spreads(), strict=True):
                episode.action_spread = found
        episodes += group
    return episodes


def _advance(lanes: list[_Lane], policy: Method, observations: Observations, generator: torch.Generator) -> None:
    """One policy call for all lanes, then the control steps that it is good for in each."""
    returned = policy.act(observations, generator)
    chunk = np.array(returned.cpu().numpy())  # a copy: what the method and the simulator do with theirs is their own
    spec = lanes[0].task.spec
    expected = (LOCKSTEP, policy.spec.executed_steps, spec.action_dim)
    if chunk.shape != expected:
        raise ValueError(f"act() of {policy.spec.name} returned shape {chunk.shape}, expected {expected}")
    if chunk.dtype.kind != "f":
        raise TypeError(f"act() of {policy.spec.name} returned {chunk.dtype}, expected floating-point numbers")
    for lane, actions in zip(lanes, chunk, strict=False):
        lane.execute(actions)


def _gather(lanes: list[_Lane], device: torch.device) -> Observations:
    """The histories of all lanes as one batch of LOCKSTEP rows; rows without an episode repeat the first lane."""
    histories = [lane.history for lane in lanes] + [lanes[0].history] * (LOCKSTEP - len(lanes))
    return batch([list(history) for history in histories], device)


class _Lane:
    """One running episode and the last To observations of it."""

    def __init__(
        self, task: Task, episode: Episode, n_obs_steps: int, kind: ObservationKind, waits: Iterator[int],
        until_success: bool,
    ) -> None:  # fmt: skip
        self.task, self.episode, self._kind, self._waits = task, episode, kind, waits
        self._until_success = until_success
        self._last_action = np.zeros(task.spec.action_dim, np.float32)
        self._trace = hashlib.sha256()
        task.reset(episode.seed)
        episode.state_hash = task.state_hash()
        first = observe(task, kind)
        if not _finite(first):
            raise RuntimeError(f"the simulator of {task.spec.id} shows values that are not finite after a reset")
        self.history: deque[Seen] = deque([first] * n_obs_steps, maxlen=n_obs_steps)

    @property
    def fraction(self) -> float:
        """The part of the episode that is over."""
        return 1.0 if self.episode.done else self.episode.steps / self.task.spec.max_steps

    def execute(self, chunk: np.ndarray) -> None:
        """Execute a chunk ``[K, A]`` after the wait for it, in which the last action is executed again.

        Success is looked at in every step, a cloud or picture made only for the frames in use.
        """
        episode = self.episode
        if episode.done:
            return
        open_steps = self.task.spec.max_steps - episode.steps
        held = min(next(self._waits), open_steps)
        actions = [*[self._last_action] * held, *chunk][:open_steps]
        episode.calls += 1
        if not np.isfinite(actions).all():
            episode.error, episode.done = "the policy returned actions that are not finite", True
            episode.success_end = False
            episode.success_alt_end = None if episode.success_alt_end is None else False
            return
        self._last_action = chunk[-1]
        for i, action in enumerate(actions):
            outcome = self.task.step(action)
            self._trace.update(action.astype("<f4").tobytes())
            episode.steps += 1
            episode.held_steps += i < held
            episode.success_end = outcome.success
            if outcome.success_alt is not None:
                episode.success_alt_end = outcome.success_alt
                episode.success_alt_ever = bool(episode.success_alt_ever) or outcome.success_alt
            if outcome.success and not episode.success_ever:
                episode.success_ever, episode.steps_to_success = True, episode.steps
            if not math.isfinite(outcome.reward):
                episode.error, outcome = "the simulator diverged: its reward is not finite", outcome._replace(done=True)
            else:
                episode.total_reward += outcome.reward
            if outcome.done or episode.steps >= self.task.spec.max_steps or (self._until_success and outcome.success):
                episode.done = True
                break
            if len(actions) - i <= len(self.history):
                self.history.append(observe(self.task, self._kind))
                if not _finite(self.history[-1]):
                    episode.error, episode.done = "the simulator diverged: it shows values that are not finite", True
                    break
        episode.action_hash = self._trace.hexdigest()[:16]


def _finite(observation: Seen) -> bool:
    return all(np.isfinite(part).all() for part in observation)
