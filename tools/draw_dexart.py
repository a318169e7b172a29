"""Draw the scenes of the DexArt port and the clouds that a policy sees, for `docs/dexart.md`.

    python tools/draw_dexart.py [--out docs/images]

No OpenGL: scenes are ray cast. Under a minute on one idle core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mujoco
import numpy as np

import envs
from bench.seeding import Purpose, episode_seed
from envs.camera import Camera
from envs.dexart import DexArt
from envs.dexart.cloud import IMAGINED
from envs.raycast import depth_image
from envs.scene import Scene

EYE, SIZE = np.array([-0.55, 0.95, 0.75]), 320
MOMENTS = (0.0, 0.9)  # of the way to success
AIM = {"laptop": 0.15, "faucet": 0.2, "toilet": 0.4, "bucket": 0.35}  # m, height that the camera looks at
LIGHT = np.array([-0.4, 0.5, 0.77])


def picture(task: DexArt) -> np.ndarray:
    """The scene ``[SIZE, SIZE, 3]``, shaded by the slope of the depth image."""
    height = AIM[task.name]
    eye = EYE + np.array([0.0, 0.0, height - 0.15])
    back = eye - [-0.1, 0.0, height]
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    camera = Camera(eye, np.column_stack([right, np.cross(back, right), back]), 55.0, SIZE, SIZE)
    depth, hit = depth_image(Scene.of(task.model), task.data, camera)
    points = camera.rays() * np.where(hit >= 0, depth, np.nan)[..., None]
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal *= np.where((normal * points).sum(-1) > 0, -1.0, 1.0)[..., None]  # towards the camera
    shade = np.nan_to_num(0.55 + 0.45 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0.0, 1.0), nan=0.6)
    colour = np.where((hit >= 0)[..., None], task.model.geom_rgba[hit][..., :3], 1.0)
    return np.clip(colour * np.where(hit >= 0, shade, 1.0)[..., None], 0.0, 1.0)


def solved(name: str) -> tuple[int, list[np.ndarray]]:
    """Seed and actions of the first demonstration episode that the expert solves."""
    task = envs.make(name)
    for episode in range(20):
        seed = episode_seed(0, name, Purpose.DEMO, episode)
        task.reset(seed)
        expert, actions = task.expert(), []
        for _ in range(task.spec.max_steps):
            actions.append(expert.act())
            if task.step(actions[-1]).success:
                return seed, actions
    raise RuntimeError(f"the expert of {name} solves none of its first episodes")


def draw(name: str, path: Path) -> None:
    """One figure: scene and cloud at both moments."""
    seed, actions = solved(name)
    task = envs.make(name)
    assert isinstance(task, DexArt)
    figure = plt.figure(figsize=(6.4, 6.4), dpi=80)
    for row, moment in enumerate(MOMENTS):
        task.reset(seed)
        for action in actions[: int(moment * len(actions))]:
            task.step(action)
        mujoco.mj_forward(task.model, task.data)
        axes = figure.add_subplot(2, 2, 2 * row + 1)
        axes.imshow(picture(task))
        axes.set_axis_off()
        axes.set_title(f"{task.name}, step {task.steps}", fontsize=9)
        cloud = task.observe().point_cloud
        axes = figure.add_subplot(2, 2, 2 * row + 2, projection="3d")
        axes.scatter(*cloud[:-IMAGINED].T, s=1.5, c=cloud[:-IMAGINED, 2], cmap="viridis", linewidths=0)
        axes.scatter(*cloud[-IMAGINED:].T, s=3, c="tab:orange", linewidths=0)
        axes.set_aspect("equal")
        axes.view_init(25, 130)
        axes.tick_params(labelsize=5, pad=-3)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, pil_kwargs={"optimize": True})
    plt.close(figure)


def main() -> None:
    """Draw all four."""
    parser = argparse.ArgumentParser(description="Draw the DexArt port.")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in envs.select("dexart"):
        draw(name, options.out / f"{name.replace('/', '_')}.png")
        print(options.out / f"{name.replace('/', '_')}.png", flush=True)


if __name__ == "__main__":
    main()
