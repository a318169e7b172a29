"""Crop, frame and farthest-point sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.interfaces import UserError
from envs.pointcloud import Crop, Frame, farthest_points, sample


def plain_farthest(points: np.ndarray, n: int) -> list[int]:
    """The textbook algorithm, squared distances in float32, the lowest index among equals."""
    distance = np.full(len(points), np.inf, np.float32)
    chosen = [0]
    while len(chosen) < n:
        d = points - points[chosen[-1]]
        distance = np.minimum(distance, d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2])
        chosen.append(int(distance.argmax()))
    return chosen


coordinates = st.floats(-2, 2, width=32)
lattice = st.sampled_from([np.float32(v) for v in (-1.0, -0.5, 0.0, 0.1, 0.5, 1.0)])  # many ties and repetitions


@settings(max_examples=150, deadline=None)
@given(
    points=arrays(np.float32, st.tuples(st.integers(1, 60), st.just(3)), elements=coordinates | lattice), data=st.data()
)
def test_farthest_points_equal_the_plain_algorithm(points: np.ndarray, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(points)))
    assert farthest_points(points, n).tolist() == plain_farthest(points, n)


@pytest.mark.parametrize("seed", range(4))
def test_farthest_points_equal_the_plain_algorithm_on_surfaces(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.column_stack([rng.uniform(-1, 1, (1500, 2)), np.zeros(1500)])
    ball = rng.normal(size=(800, 3))
    ball *= 0.1 / np.linalg.norm(ball, axis=1, keepdims=True)
    points = np.concatenate([table, ball, [[9.0, 9.0, 9.0]]]).astype(np.float32)
    assert farthest_points(points, 512).tolist() == plain_farthest(points, 512)


def test_farthest_points_refuse_more_than_there_are() -> None:
    with pytest.raises(UserError, match="4"):
        farthest_points(np.zeros((4, 3), np.float32), 5)


def test_too_few_points_are_padded_with_zeros() -> None:
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(sample(points, 4), [[0, 1, 2], [3, 4, 5], [0, 0, 0], [0, 0, 0]])
    assert np.array_equal(sample(points[:0], 2), np.zeros((2, 3)))


def test_the_crop_is_open_and_keeps_the_order() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0.5, 0, 0.2], [0, 0, -1], [0.9, 0, 0]], np.float32)
    crop = Crop((-1, -1, -1), (1, 1, 1))
    assert np.array_equal(crop(points), points[[0, 2, 4]])
    tilted = Crop((-1, -1, -1), (1, 1, 1), floor=(-0.6, 0.0, 0.8, -0.3))
    assert np.array_equal(tilted(points), points[[0, 2]])


def test_the_frame_is_a_rigid_motion() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frame = Frame(turn, np.array([1.0, 0.0, 0.0]))
    assert np.allclose(frame.of_world(np.array([[1.0, 2.0, 3.0]])), [[-2.0, 0.0, 3.0]])
