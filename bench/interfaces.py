"""The contracts between the harness, the methods and the tasks.

`methods/` and `envs/` import this module and `bench.seeding`, nothing else of the harness. Shapes are written
``[B, T, N, 3]``: B batch, To observation steps, H horizon, K executed actions, N points, P state size, A action size.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:  # help needs no torch, which takes longer to import than all else
    import torch
    from torch import Tensor


class UserError(ValueError):
    """Bad input from outside: one line saying what was wrong, where, and the nearest valid choice. Exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # what a damaged file says may hold line ends


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not among ``choices``, with those that hold it, or else the nearest of them."""
    names = sorted(choices)
    wanted = name.casefold()
    forms = {form: choice for choice in names for form in (choice.casefold().rpartition("/")[2], choice.casefold())}
    near = [choice for choice in names if len(wanted) > 1 and wanted in choice.casefold()][:5]
    near = near or list(dict.fromkeys(forms[form] for form in difflib.get_close_matches(wanted, forms, cutoff=0.5)))
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from: {', '.join(names[:12])}{more}"
    return UserError(f"unknown {kind} '{name}': {hint}")


# ---------------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class HandPlace:
    """Where the hand is in the cloud: ``rotation agent_pos[first : first + 3] + offset``."""

    first: int
    offset: tuple[float, ...]  # [3] metres
    rotation: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # [3, 3]


@dataclass(frozen=True)
class TaskSpec:
    """What defines a task; part of the content key of everything that is made from it."""

    id: str  # "suite/name"
    suite: str
    difficulty: str | None  # easy, medium, hard, very_hard, or None where the suite has no groups
    n_points: int  # N, in training and evaluation alike
    agent_pos_dim: int  # P
    action_dim: int  # A; every action lies in [-1, 1]
    max_steps: int  # control steps of an episode
    min_success_steps: int  # a demo is accepted if `success` was seen in at least so many steps
    engine: str  # simulator and versions, e.g. "metaworld 3.1.1, mujoco 3.3.0"
    assets: str  # asset set and version of the scenes and of the point-cloud pipeline, e.g. "metaworld-v3/2"
    images: str | None = None  # version of its pictures, e.g. "metaworld-rgb/1"; None: it has none (see `ImageTask`)
    hand: HandPlace | None = None  # None where the state does not tell it
    demo_factor: int = 1  # times a profile's demonstrations: more than 1 where a suite's protocol trains on more


class Scan(NamedTuple):
    """A raw sensor reading: what a camera driver would hand over."""

    points: np.ndarray  # [M, 3] float32, metres, in the frame of the suite; M varies
    agent_pos: np.ndarray  # [P] float32


class Observation(NamedTuple):
    """What a policy looks at."""

    point_cloud: np.ndarray  # [N, 3] float32, metres: cropped, sampled to N
    agent_pos: np.ndarray  # [P] float32


class ImageObservation(NamedTuple):
    """What a policy looks at that sees pictures."""

    image: np.ndarray  # [84, 84, 3] uint8, red green blue
    agent_pos: np.ndarray  # [P] float32


class Outcome(NamedTuple):
    """Result of one control step."""

    success: bool
    done: bool  # the episode ended by itself (not by max_steps)
    reward: float
    success_alt: bool | None = None  # by the suite's second rule of success; None where it has one rule


class Expert(Protocol):
    """A closed-loop demonstrator; it may read the simulator."""

    def act(self) -> np.ndarray:
        """Return the next action ``[A]``; the harness clips it to [-1, 1] before it is executed and stored."""


@runtime_checkable
class Task(Protocol):
    """One simulated task. `observe` is apart from `step` because a cloud costs more than a physics step."""

    spec: TaskSpec

    def reset(self, seed: int) -> None:
        """Start an episode. One seed is one initial state, whatever was run before."""

    def step(self, action: np.ndarray) -> Outcome:
        """Execute one action ``[A]``, clipped to [-1, 1]."""

    def scan(self) -> Scan:
        """Return the raw point cloud and state, before crop and sampling."""

    def preprocess(self, scan: Scan) -> Observation:
        """Crop and sample a scan to an observation: a pure function of ``scan``."""

    def observe(self) -> Observation:
        """Return ``preprocess(scan())``."""

    def state_hash(self) -> str:
        """Return a hash (16 hex digits) of the full simulator state, goal included."""

    def expert(self) -> Expert:
        """Return an expert for the episode that `reset` started."""

    def close(self) -> None:
        """Free the simulator."""


@runtime_checkable
class ImageTask(Task, Protocol):
    """A task with a colour camera; its ``spec.images`` is not None. Pictures are made only where a method asks."""

    def observe_image(self) -> ImageObservation:
        """Return what the camera sees, and the state of the robot. May only read."""


# -------------------------------------------------------------------------------------------------- methods


ObservationKind = Literal["point_cloud", "image"]
IMAGE_SIZE = 84
"""Height and width of the pictures, as in the published Diffusion Policy baselines."""


@dataclass(frozen=True)
class DemoSet:
    """Demonstrations of one task, all episodes concatenated along time (T frames in all)."""

    point_cloud: np.ndarray  # [T, N, 3] float32, metres
    agent_pos: np.ndarray  # [T, P] float32
    action: np.ndarray  # [T, A] float32, as executed (clipped)
    episode_ends: np.ndarray  # [E] int64, one past the last frame of each episode
    solved: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """[E] int64, the first frame of each episode after whose action success was seen; empty where it is not known."""
    image: np.ndarray = field(default_factory=lambda: np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8))
    """[T, 84, 84, 3] uint8; empty in the sets of methods that see point clouds."""


@dataclass(frozen=True)
class Batch:
    """Training windows. Frames are indices into the `DemoSet`, so that features can be computed once per frame."""

    frames: Tensor  # [B, To] int64, oldest first
    action: Tensor  # [B, H, A] float32, not normalised
    step: int  # gradient step, from 0
    epoch: int


class Observations(NamedTuple):
    """The last To observations of a batch of episodes, oldest first."""

    point_cloud: Tensor  # [B, To, N, 3] float32
    agent_pos: Tensor  # [B, To, P] float32


class ImageObservations(NamedTuple):
    """The last To observations of a batch of episodes, oldest first, for methods that see pictures."""

    image: Tensor  # [B, To, 84, 84, 3] uint8
    agent_pos: Tensor  # [B, To, P] float32


@dataclass(frozen=True)
class MethodSpec:
    """What defines a method at one profile; part of the content key of its checkpoints."""

    name: str
    teacher: str | None  # name of the method whose checkpoint a student distils
    horizon: int  # H
    n_obs_steps: int  # To
    n_action_steps: int  # of the published configs; see `executed_steps`
    nfe: int  # network evaluations per chunk with the options given
    train_steps: int
    batch_size: int
    config: Mapping[str, object] = field(default_factory=dict)  # hyper-parameters, JSON values
    options: Mapping[str, object] = field(default_factory=dict)  # inference options in force; no part of a checkpoint
    observation: ObservationKind = "point_cloud"  # what it sees; "image": `encode` and `act` get `ImageObservations`

    @property
    def executed_steps(self) -> int:
        """K: the slice [To-1 : To-1+n_action_steps] of a horizon of H holds this many actions."""
        return min(self.n_action_steps, self.horizon - self.n_obs_steps + 1)


class Method(Protocol):
    """A policy and the way to train it. Built by ``methods.make``; tensors live on one device."""

    spec: MethodSpec
    network: torch.nn.Module  # the generative head; its forward calls are the NFE

    def begin_training(self, demos: DemoSet, teacher: Mapping[str, Tensor] | None, generator: torch.Generator) -> None:
        """Fit the normaliser, build optimisers, precompute features. ``teacher`` is the `state()` of the teacher."""

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step (all networks, EMA and schedules included); returns scalar losses by name."""

    def training_state(self) -> dict[str, Tensor]:
        """Everything that `fit_step` changes, so that training resumed from it equals undisturbed training."""

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `training_state`; called after `begin_training` with the same arguments."""

    def state(self) -> dict[str, Tensor]:
        """Tensors by name that `act` needs (EMA weights, normaliser): the checkpoint."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load `state`. Raises `UserError` naming the first missing, unexpected or wrongly shaped tensor."""

    def encode(self, observations: Observations) -> Tensor:
        """Normalise and encode to the condition ``[B, C]``."""

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Sample actions ``[B, K, A]``, un-normalised. Noise is drawn from ``generator`` alone."""

    def act(self, observations: Observations, generator: torch.Generator) -> Tensor:
        """Return ``sample(encode(observations), generator)``."""
