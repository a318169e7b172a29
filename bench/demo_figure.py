"""A demo set at a glance: figures for people, and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from bench.interfaces import DemoSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST = 0  # the episode that the picture shows


def lengths(demos: DemoSet) -> np.ndarray:
    """Frames of each episode ``[E]``."""
    return np.diff(demos.episode_ends, prepend=0)


def counts(demos: DemoSet) -> str:
    """One line: episodes, frames, when they were solved."""
    steps = lengths(demos)
    solved = "first success not recorded"
    if len(demos.solved):
        after = demos.solved - np.array([0, *demos.episode_ends[:-1]]) + 1
        solved = f"solved after {after.min()} to {after.max()} steps (median {np.median(after):.0f})"
    return (
        f"{len(steps)} episodes, {len(demos.action)} frames of {demos.point_cloud.shape[1]} points"
        f"{' and an image' * bool(len(demos.image))}; {steps.min()} to "
        f"{steps.max()} steps each (median {np.median(steps):.0f}); {solved}"
    )


def ranges(demos: DemoSet) -> Iterator[tuple[str, float, float, float, float, str]]:
    """Name, least, mean, largest, standard deviation and a remark for each column of each array."""
    columns = [(f"point_cloud {axis}, m", demos.point_cloud[:, :, i]) for i, axis in enumerate("xyz")]
    columns += [(f"state {i}", values) for i, values in enumerate(demos.agent_pos.T)]
    columns += [(f"action {i}", values) for i, values in enumerate(demos.action.T)]
    for name, values in columns:
        low, high = float(values.min()), float(values.max())
        remark = "constant" if low == high else ""
        if name.startswith("action") and (outside := float((np.abs(values) > 1).mean())):
            remark = f"{outside:.1%} outside [-1, 1]"
        exact = values.astype(np.float64)
        yield name, low, float(exact.mean()), high, float(exact.std()), remark


def picture(demos: DemoSet, title: str) -> bytes:
    """PNG: the first cloud, the lengths of the episodes, states and actions of the first episode."""
    out = BytesIO()
    draw(demos, title).savefig(out, format="png", dpi=120, metadata={"Software": None})
    return out.getvalue()


def draw(demos: DemoSet, title: str) -> Figure:
    """The figure of `picture`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    cloud = demos.point_cloud[0]
    space = figure.add_subplot(2, 2, 1, projection="3d")
    space.scatter(*cloud.T, c=cloud[:, 2], s=4)
    space.set(title="point cloud, first frame", xlabel="x / m", ylabel="y / m", zlabel="z / m", aspect="equal")
    bars = figure.add_subplot(2, 2, 2)
    bars.bar(np.arange(len(demos.episode_ends)), lengths(demos))
    bars.set(title="length of the episodes", xlabel="episode", ylabel="control steps")
    bars.xaxis.set_major_locator(MaxNLocator(integer=True))
    end = int(demos.episode_ends[FIRST])
    for place, name, values in ((3, "state", demos.agent_pos), (4, "action", demos.action)):
        lines = figure.add_subplot(2, 2, place)
        lines.plot(values[:end], linewidth=1)
        if len(demos.solved):
            lines.axvline(int(demos.solved[FIRST]), color="black", linestyle=":", linewidth=1)
        lines.set(title=f"{name}, first episode", xlabel="control step")
    return figure
