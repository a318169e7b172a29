"""The geometry of a model as the depth camera wants it."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from envs.intersect import MESH, SUPPORTED


class Scene(NamedTuple):
    """The visible geometry of a compiled model; poses are read per frame. G geoms, V vertices, F triangles."""

    geom: np.ndarray  # [G] int64, geom ids in the model
    kind: np.ndarray  # [G] int64, mjtGeom
    size: np.ndarray  # [G, 3] float64, as `mjModel.geom_size`
    box: np.ndarray  # [G, 6] float64, bounding box in the frame of the geom: centre, half sizes
    mesh: np.ndarray  # [G, 4] int64, first and last + 1 vertex, first and last + 1 triangle
    vertices: np.ndarray  # [V, 3] float32, metres
    faces: np.ndarray  # [F, 3] int32, vertices of the mesh, counted from its first

    @classmethod
    def of(cls, model: mujoco.MjModel, groups: tuple[int, ...] = (0, 1, 2)) -> Scene:
        """Collect the geoms that ``mj_ray`` would hit. Raises `ValueError` for height fields and signed distances."""
        material = model.geom_matid
        alpha = np.where(material >= 0, model.mat_rgba[:, 3][material] if model.nmat else 1.0, model.geom_rgba[:, 3])
        geom = np.flatnonzero(np.isin(model.geom_group, groups) & (alpha > 0))
        kind = model.geom_type[geom].astype(np.int64)
        unsupported = sorted({mujoco.mjtGeom(k).name for k in kind if k not in SUPPORTED})
        if unsupported:
            raise ValueError(f"the depth camera does not know geoms of type {', '.join(unsupported)}")
        mesh = np.zeros((len(geom), 4), np.int64)
        for row, index in enumerate(model.geom_dataid[geom]):
            if kind[row] == MESH:
                vertex, face = model.mesh_vertadr[index], model.mesh_faceadr[index]
                mesh[row] = vertex, vertex + model.mesh_vertnum[index], face, face + model.mesh_facenum[index]
        return cls(
            geom.astype(np.int64),
            kind,
            model.geom_size[geom].copy(),
            model.geom_aabb[geom].copy(),
            mesh,
            model.mesh_vert.copy(),
            model.mesh_face.copy(),
        )
