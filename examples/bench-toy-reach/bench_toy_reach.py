"""Reach: a ball in the air that a hand must reach, seen as a point cloud. No simulator: NumPy alone."""

from __future__ import annotations

import hashlib

import numpy as np

from bench.interfaces import Observation, Outcome, Scan, TaskSpec

HOME = np.array([0.0, 0.0, 0.3])  # of the hand, m
LOW, HIGH = np.array([-0.3, -0.3, 0.1]), np.array([0.3, 0.3, 0.5])  # where it can go, m
SPEED = 0.03  # m per control step, along each axis
REACHED = 0.03  # m
RADIUS = 0.03  # of ball and hand, m
POINTS = 64  # on each surface


class Reach:
    """The task. `bench.interfaces.Task` says what each part must do; `bench.testing.check_task` checks it."""

    spec = TaskSpec(
        id="toy/reach",
        suite="toy",
        difficulty=None,
        n_points=64,  # N
        agent_pos_dim=3,  # P: the hand's position
        action_dim=3,  # A: the hand's velocity, each in [-1, 1]
        max_steps=40,
        min_success_steps=3,  # a demonstration must hold success so long
        engine=f"numpy {np.__version__}",
        assets="toy-reach/1",  # raise the number whenever scene or point cloud change: content keys hold it
    )

    def reset(self, seed: int) -> None:
        """Put the hand to its home and the ball where the seed says."""
        self.hand = HOME.copy()
        self.ball = np.random.default_rng(seed).uniform(LOW, HIGH)

    def step(self, action: np.ndarray) -> Outcome:
        """Move the hand."""
        self.hand = np.clip(self.hand + SPEED * np.clip(action, -1, 1), LOW, HIGH)
        distance = float(np.linalg.norm(self.hand - self.ball))
        return Outcome(success=distance < REACHED, done=False, reward=-distance)

    def scan(self) -> Scan:
        """What a depth camera sees: ball, hand and floor ``[M, 3]``, and the hand's position."""
        rng = np.random.default_rng(0)
        sphere = rng.normal(size=(POINTS, 3))
        sphere *= RADIUS / np.linalg.norm(sphere, axis=1, keepdims=True)
        floor = rng.uniform([-0.5, -0.5, 0], [0.5, 0.5, 0], (2 * POINTS, 3))
        points = np.concatenate([self.ball + sphere, self.hand + sphere, floor])
        return Scan(points.astype(np.float32), self.hand.astype(np.float32))

    def preprocess(self, scan: Scan) -> Observation:
        """Crop the floor, and take N of the points that are left, evenly."""
        points = scan.points[scan.points[:, 2] > 0.01]
        chosen = np.linspace(0, len(points) - 1, self.spec.n_points).astype(int)
        return Observation(points[chosen], scan.agent_pos)

    def observe(self) -> Observation:
        """What a policy looks at."""
        return self.preprocess(self.scan())

    def state_hash(self) -> str:
        """Hash of all that may differ between two moments."""
        return hashlib.sha256(np.concatenate([self.hand, self.ball]).tobytes()).hexdigest()[:16]

    def expert(self) -> Expert:
        """A demonstrator of this episode."""
        return Expert(self)

    def close(self) -> None:
        """Nothing to free."""


class Expert:
    """Straight to the ball: it may read the simulator."""

    def __init__(self, task: Reach) -> None:
        self.task = task

    def act(self) -> np.ndarray:
        """The next action ``[A]``; the harness clips it to [-1, 1]."""
        return (self.task.ball - self.task.hand) / SPEED
