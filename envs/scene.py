"""The geometry of a model as the depth camera wants it."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from envs.intersect import MESH, SUPPORTED


class Scene(NamedTuple):
    """The visible geometry of a compiled model; poses are read per frame. G geoms, V vertices, F triangles.

    Sites count as geoms where they are wanted: site ``s`` has the id ``model.ngeom + s``.
    """

    geom: np.ndarray  # [G] int64, geom ids in the model
    kind: np.ndarray  # [G] int64, mjtGeom
    size: np.ndarray  # [G, 3] float64, as `mjModel.geom_size`
    box: np.ndarray  # [G, 6] float64, bounding box in the frame of the geom: centre, half sizes
    mesh: np.ndarray  # [G, 4] int64, first and last + 1 vertex, first and last + 1 triangle
    vertices: np.ndarray  # [V, 3] float32, metres
    faces: np.ndarray  # [F, 3] int32, vertices of the mesh, counted from its first

    @classmethod
    def of(cls, model: mujoco.MjModel, groups: tuple[int, ...] = (0, 1, 2), sites: bool = False) -> Scene:
        """Collect what a camera sees: the geoms that ``mj_ray`` would hit and, if wanted, the sites that OpenGL draws.

        Raises `ValueError` for height fields and signed distances.
        """
        geom = _visible(model, model.geom_group, model.geom_matid, model.geom_rgba, groups)
        kind = model.geom_type[geom].astype(np.int64)
        unsupported = sorted({mujoco.mjtGeom(k).name for k in kind if k not in SUPPORTED})
        if unsupported:
            raise ValueError(f"the depth camera does not know geoms of type {', '.join(unsupported)}")
        mesh = np.zeros((len(geom), 4), np.int64)
        for row, index in enumerate(model.geom_dataid[geom]):
            if kind[row] == MESH:
                vertex, face = model.mesh_vertadr[index], model.mesh_faceadr[index]
                mesh[row] = vertex, vertex + model.mesh_vertnum[index], face, face + model.mesh_facenum[index]
        size, box = model.geom_size[geom], model.geom_aabb[geom]
        if sites:
            site = _visible(model, model.site_group, model.site_matid, model.site_rgba, groups)
            geom, kind = np.append(geom, model.ngeom + site), np.append(kind, model.site_type[site].astype(np.int64))
            size, box = np.concatenate([size, model.site_size[site]]), np.concatenate([box, _site_boxes(model, site)])
            mesh = np.concatenate([mesh, np.zeros((len(site), 4), np.int64)])
        return cls(geom, kind, size.copy(), box.copy(), mesh, model.mesh_vert.copy(), model.mesh_face.copy())

    def poses(self, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``[K, 3]`` and orientations ``[K, 9]`` by id."""
        if not len(self.geom) or self.geom[-1] < len(data.geom_xpos):
            return data.geom_xpos, data.geom_xmat
        return np.concatenate([data.geom_xpos, data.site_xpos]), np.concatenate([data.geom_xmat, data.site_xmat])


def _visible(
    model: mujoco.MjModel, group: np.ndarray, material: np.ndarray, rgba: np.ndarray, groups: tuple[int, ...]
) -> np.ndarray:
    """Ids ``[K]`` int64 of what is in one of the groups and not fully transparent."""
    alpha = np.where(material >= 0, model.mat_rgba[:, 3][material] if model.nmat else 1.0, rgba[:, 3])
    return np.flatnonzero(np.isin(group, groups) & (alpha > 0)).astype(np.int64)


def _site_boxes(model: mujoco.MjModel, site: np.ndarray) -> np.ndarray:
    """Centres and half sizes ``[K, 6]`` of the sites' bounding boxes, in their own frames."""
    half = model.site_size[site].copy()
    kind = model.site_type[site]
    half[kind == mujoco.mjtGeom.mjGEOM_SPHERE] = half[kind == mujoco.mjtGeom.mjGEOM_SPHERE, :1]
    for shape, cap in ((mujoco.mjtGeom.mjGEOM_CAPSULE, 1), (mujoco.mjtGeom.mjGEOM_CYLINDER, 0)):
        radius, length = model.site_size[site][kind == shape, :2].T
        half[kind == shape] = np.column_stack([radius, radius, length + cap * radius])
    return np.column_stack([np.zeros_like(half), half])
