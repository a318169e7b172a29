"""The depth camera against OpenGL's depth buffer, where there is an OpenGL that needs no screen."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import mujoco, numpy as np
import envs
from scipy.ndimage import maximum_filter, minimum_filter
from bench.seeding import Purpose, episode_seed
from envs.raycast import depth_image

rows = {}
for name in sys.argv[1].split(","):
    task = envs.make(name)
    task.reset(episode_seed(0, name, Purpose.DEMO, 0))
    act = np.random.default_rng(0).uniform
    expert = task.expert() if name.startswith("metaworld") else None
    for _ in range(int(sys.argv[2])):
        task.step(expert.act() if expert else act(-1, 1, task.spec.action_dim))
    model, data, cloud = task._env.model, task._env.data, task._cloud
    renderer = mujoco.Renderer(model, cloud.camera.height, cloud.camera.width)
    renderer.enable_depth_rendering()
    option = mujoco.MjvOption()
    option.sitegroup[:] *= cloud.scene.geom[-1] >= model.ngeom  # a scene has all that OpenGL draws, or no site
    renderer.update_scene(data, sys.argv[3], option)
    expected = renderer.render().astype(float)
    renderer.close()
    depth, hit = depth_image(cloud.scene, data, cloud.camera)
    far = expected.max()
    depth = np.where(hit >= 0, depth, far)
    wrong = (abs(depth - expected) > float(sys.argv[4])) & ((hit >= 0) | (expected < 0.99 * far))
    edge = maximum_filter(expected, 3) - minimum_filter(expected, 3) > 0.02
    edge |= maximum_filter(hit < 0, 3) & (hit >= 0)
    rows[name] = [float(wrong.mean()), float((wrong & ~edge).mean())]
    task.close()
print(json.dumps(rows))
"""


def run(backend: str, names: str, steps: int, camera: str, metres: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, names, str(steps), camera, str(metres)],
        capture_output=True,
        text=True,
        env={**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend},
        check=False,
    )


@pytest.mark.parametrize(
    ("names", "steps", "camera", "metres"),
    [
        ("metaworld/drawer-open,metaworld/hammer,metaworld/lever-pull", 60, "corner2", 0.01),
        ("adroit/door,adroit/hammer,adroit/pen", 5, "point_cloud", 0.002),
    ],
)
def test_depth_equals_opengl_except_on_silhouettes(names: str, steps: int, camera: str, metres: float) -> None:
    for backend in ("egl", "osmesa"):
        done = run(backend, names, steps, camera, metres)
        if done.returncode == 0:
            break
    else:
        pytest.skip(f"no OpenGL without a screen: {done.stderr.strip().splitlines()[-1]}")
    for name, (anywhere, off_edges) in json.loads(done.stdout).items():
        assert anywhere < 0.01, name
        assert off_edges < 0.002, name
