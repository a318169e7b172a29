"""The depth camera against MuJoCo's own ray, on scenes made to be awkward."""

import mujoco
import numpy as np
import pytest

from envs.camera import Camera, Region
from envs.intersect import SUPPORTED
from envs.raycast import depth_image
from envs.scene import Scene
from tests.envs.reference import image, ray_by_ray

KINDS = ["sphere", "capsule", "ellipsoid", "cylinder", "box"]
TETRAHEDRON = "1 0 0  -0.5 0.9 0  -0.5 -0.9 0  0 0 1.3"


def scene(seed: int, primitive: str = "geom") -> mujoco.MjModel:
    """Random primitives (geoms or sites) and meshes, a floor, a finite plane, and invisible geoms."""
    rng = np.random.default_rng(seed)

    def pose() -> str:
        position, turn = rng.uniform(-2, 2, 3), rng.normal(size=4)
        return f'pos="{" ".join(map(str, position))}" quat="{" ".join(map(str, turn))}"'

    def size() -> str:
        return f'size="{" ".join(map(str, rng.uniform(0.1, 0.6, 3)))}"'

    geoms = [f'<{primitive} type="{kind}" {size()} {pose()}/>' for kind in KINDS for _ in range(4)]
    geoms += [f'<geom type="mesh" mesh="tetrahedron" {pose()}/>' for _ in range(6)]
    geoms += [f'<geom type="plane" size="0.5 0.8 1" {pose()}/>' for _ in range(3)]
    geoms += [
        f'<{primitive} type="sphere" size="0.4" rgba="1 0 0 0" {pose()}/>',
        f'<{primitive} type="box" group="4" {size()}/>',
        f'<{primitive} type="sphere" size="0.4" material="glass" {pose()}/>',
        '<geom type="plane" size="0 0 1" pos="0 0 -2"/>',
    ]
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><asset><mesh name="tetrahedron" vertex="{TETRAHEDRON}"/>
        <material name="glass" rgba="1 1 1 0"/></asset><worldbody>{"".join(geoms)}</worldbody></mujoco>"""
    )


def forwarded(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return data


def camera_among(seed: int) -> Camera:
    """A camera somewhere between the geoms, looking across the middle, rolled."""
    rng = np.random.default_rng([seed, 1])
    position = rng.uniform(-2, 2, 3)
    axes, _ = np.linalg.qr(np.column_stack([position + rng.uniform(-0.5, 0.5, 3), rng.normal(size=(3, 2))]))
    backward = axes[:, 0] * np.sign(axes[:, 0] @ position)
    right = axes[:, 1]
    return Camera(position, np.column_stack([right, np.cross(backward, right), backward]), rng.uniform(30, 100), 48, 40)


def test_sites_look_like_geoms() -> None:
    seen = 0
    for seed in range(8):
        geoms, sites, camera = scene(seed), scene(seed, "site"), camera_among(seed)
        expected, geom = depth_image(Scene.of(geoms), forwarded(geoms), camera)
        depth, hit = depth_image(Scene.of(sites, sites=True), forwarded(sites), camera)
        assert np.array_equal(hit >= 0, geom >= 0)
        assert np.array_equal(depth, expected)
        seen += (hit >= sites.ngeom).sum()
        _, hit = depth_image(Scene.of(sites), forwarded(sites), camera)
        assert hit.max() < sites.ngeom
    assert seen > 1000


def test_every_pixel_equals_mj_ray() -> None:
    pixels = np.arange(48 * 40)
    kinds: set[int] = set()
    for seed in range(16):
        model, camera = scene(seed), camera_among(seed)
        data = forwarded(model)
        depth, hit = image(*depth_image(Scene.of(model), data, camera), pixels)
        expected, geom = ray_by_ray(model, data, camera, pixels)
        wrong = (hit != geom) | ~np.isclose(depth, expected, rtol=1e-7, atol=1e-9)
        assert wrong.mean() <= 0.001, f"seed {seed}"  # a ray may graze an edge that either misses
        kinds |= set(model.geom_type[hit[hit >= 0]].tolist())
    assert kinds == SUPPORTED


@pytest.mark.parametrize("seed", range(12))
def test_a_region_leaves_out_only_what_lies_beyond_it(seed: int) -> None:
    model = scene(seed)
    data = forwarded(model)
    camera = camera_among(seed)
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(4, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = np.column_stack([normals, rng.uniform(-2.0, 0.3, 4)])
    full, hit = depth_image(Scene.of(model), data, camera)
    part, part_hit = depth_image(Scene.of(model), data, camera, Region.of(camera, faces))
    points = camera.position + camera.rays() * np.where(hit >= 0, full, 0.0)[..., None]
    inside = (hit >= 0) & (points @ normals.T > faces[:, 3]).all(-1)
    assert np.array_equal(part[inside], full[inside])
    assert np.array_equal(part_hit[inside], hit[inside])
    assert (part_hit[part_hit >= 0] == hit[part_hit >= 0]).all()


def test_unknown_shapes_are_refused() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><asset><hfield name="hill" nrow="2" ncol="2" size="1 1 1 1"/></asset><worldbody>'
        '<geom type="hfield" hfield="hill"/></worldbody></mujoco>'
    )
    with pytest.raises(ValueError, match="HFIELD"):
        Scene.of(model)


def test_a_camera_is_read_from_the_model() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body pos="0 0 1"><camera name="eye" fovy="50" pos="1 0 0" euler="0 90 0"/></body>'
        "</worldbody></mujoco>"
    )
    camera = Camera.of(model, forwarded(model), "eye", 3, 3)
    assert np.allclose(camera.position, [1, 0, 1])
    assert np.allclose(camera.rays()[1, 1], [-1, 0, 0])
    assert camera.fovy == 50


def test_the_pinhole_model() -> None:
    camera = Camera(np.zeros(3), np.eye(3), 60.0, 128, 128)
    assert camera.focal == pytest.approx(110.85, abs=0.01)
    assert np.allclose(camera.rays()[0, 0], [-63.5 / camera.focal, 63.5 / camera.focal, -1.0])
