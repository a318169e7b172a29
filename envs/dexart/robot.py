"""The robot of DexArt in MuJoCo: XArm6 (6 joints) with an Allegro hand (16 joints), built from `robot.csv`.

The table holds the numbers of the robot description that DexArt uses (joint frames, axes, limits, masses, boxes and
spheres of the hand). The hand has no meshes there either; the arm's seven meshes are replaced by capsules that were
fitted to them. Inertias are diagonal. Gains are our own: the published ones are those of another engine.

Palm frame: the body `base_link`. The palm looks along +x; straight fingers point along +z, and a finger that is flexed
by f along z cos f + x sin f; the three fingers lie side by side along y.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import mujoco
import numpy as np

JOINTS = 22
ARM_JOINTS = 6
PALM = "base_link"
WRIST = "link6"
ARM_LINKS = ("link_base", *(f"link{i}" for i in range(1, 7)))
FINGERS = (  # what counts as a touch of thumb, index, middle and ring finger
    ("link_15.0_tip", "link_15.0", "link_14.0"),
    ("link_3.0_tip", "link_3.0", "link_2.0", "link_1.0"),
    ("link_7.0_tip", "link_7.0", "link_6.0", "link_5.0"),
    ("link_11.0_tip", "link_11.0", "link_10.0", "link_9.0"),
)
IMAGINED_LINKS = (
    *("link_15.0_tip", "link_3.0_tip", "link_7.0_tip", "link_11.0_tip"),
    *("link_15.0", "link_3.0", "link_7.0", "link_11.0"),
    *("link_14.0", "link_2.0", "link_6.0", "link_10.0"),
)

ARM_GAIN, ARM_TORQUE = 4000.0, 300.0  # N m / rad, N m
HAND_GAIN, HAND_TORQUE = 8.0, 10.0
ROBOT_BIT, HAND_BIT, OBJECT_BIT = 1, 2, 4  # who collides with whom; parts of the arm never do with each other
GREY, DARK = (0.85, 0.85, 0.88, 1.0), (0.2, 0.2, 0.22, 1.0)


@cache
def rows() -> tuple[dict[str, str], ...]:
    """The table, in tree order."""
    text = files("envs.dexart").joinpath("robot.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def numbers(text: str) -> np.ndarray:
    """The numbers of a cell."""
    return np.array([float(word) for word in text.split()])


def add_robot(spec: mujoco.MjSpec, base: tuple[float, float, float]) -> None:
    """Add the robot with its base at ``base`` (metres, world), its 22 position actuators and who ignores whom."""
    bodies = {"world": spec.worldbody}
    for row in rows():
        if row["kind"] == "body":
            bodies[row["name"]] = _add_body(spec, bodies[row["parent"]], row, base)
        else:
            _add_geom(bodies[row["parent"]], row)
    near_palm = ("link_0.0", "link_4.0", "link_8.0", "link_12.0", "link_13.0", "link_1.0", "link_5.0", "link_9.0")
    for other in (*near_palm, "link6", "link5"):
        spec.add_exclude(bodyname1=PALM, bodyname2=other)


def _add_body(
    spec: mujoco.MjSpec, parent: mujoco.MjsBody, row: dict[str, str], base: tuple[float, float, float]
) -> mujoco.MjsBody:
    body = parent.add_body(
        name=row["name"],
        pos=base if row["name"] == "robot" else numbers(row["pos"]),
        quat=numbers(row["quat"]) if row["quat"] else (1, 0, 0, 0),
        mass=float(row["mass"]),
        ipos=numbers(row["com"]),
        inertia=numbers(row["diaginertia"]),
        explicitinertial=True,
        gravcomp=1.0,
    )
    if row["joint"]:
        arm = not row["joint"].startswith("joint_")
        limits = numbers(row["range"])
        body.add_joint(
            name=row["joint"],
            axis=numbers(row["axis"]),
            range=limits,
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            damping=1.0 if arm else 0.05,
            armature=0.1 if arm else 0.002,
        )
        gain, torque = (ARM_GAIN, ARM_TORQUE) if arm else (HAND_GAIN, HAND_TORQUE)
        gainprm, biasprm = np.zeros(10), np.zeros(10)
        gainprm[0], biasprm[1], biasprm[2] = gain, -gain, 1.0  # a positive third number is the damping ratio
        spec.add_actuator(
            name=row["joint"],
            target=row["joint"],
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=gainprm,
            biasprm=biasprm,
            ctrlrange=limits,
            ctrllimited=mujoco.mjtLimited.mjLIMITED_TRUE,
            forcerange=(-torque, torque),
            forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        )
    return body


def _add_geom(body: mujoco.MjsBody, row: dict[str, str]) -> None:
    kind = {"box": mujoco.mjtGeom.mjGEOM_BOX, "sphere": mujoco.mjtGeom.mjGEOM_SPHERE}.get(row["geom_type"])
    arm = kind is None
    size = np.zeros(3)
    given = numbers(row["geom_size"])
    size[: len(given)] = given
    geom = body.add_geom(
        name=row["name"],
        type=mujoco.mjtGeom.mjGEOM_CAPSULE if arm else kind,
        size=size,
        contype=ROBOT_BIT if arm else ROBOT_BIT | HAND_BIT,
        conaffinity=OBJECT_BIT if arm else HAND_BIT | OBJECT_BIT,
        friction=(1.0, 0.005, 0.0001) if arm else (1.5, 0.01, 0.0001),
        condim=3 if arm else 4,
        rgba=GREY if arm else DARK,
    )
    if row["geom_fromto"]:
        geom.fromto = numbers(row["geom_fromto"])
    if row["pos"]:
        geom.pos = numbers(row["pos"])
    if row["quat"]:
        geom.quat = numbers(row["quat"])
