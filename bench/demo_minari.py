"""Demo sets as Minari datasets, read and written: what `minari.DataCollector` makes of an environment of this project.

    observations/point_cloud [T + 1, N, 3]    observations/agent_pos [T + 1, P]
    actions [T, A]    infos/success [T + 1]

A folder ``<name>-v<number>`` for each set, with ``data/metadata.json``. Minari keeps the observation after the last
action too, a demo set does not: it is left out on the way in, and the last one stands in its place on the way out.
A dataset comes from strangers: its HDF5 file has nothing read but itself, and claims no more memory than demos need.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.demo_files import check
from bench.interfaces import DemoSet, UserError

ARRAYS = {"point_cloud": "observations/point_cloud", "agent_pos": "observations/agent_pos", "action": "actions",
          "episode_ends": "lengths of the episodes"}  # fmt: skip
_FIELDS = ("point_cloud", "agent_pos")
_NAME = re.compile(r"[-_\w]+-v\d+")
_MAX_BYTES = 16_000_000_000
"""Of all arrays together; a file of a few bytes can claim any size, and its memory would be taken."""


def is_minari(path: Path) -> bool:
    """Whether a folder looks like a Minari dataset."""
    return (path / "data" / "metadata.json").is_file()


def read_minari(path: Path) -> tuple[DemoSet, list[str]]:
    """Read and check a dataset.

    Returns:
        the demo set, and what was changed on the way: lines for people.

    Raises:
        UserError: Minari is not installed, or the folder holds no dataset, or its episodes lack a point cloud or a
            state, or their arrays are of wrong shapes or not finite.
    """
    minari = _minari()
    from minari.dataset.minari_storage import MinariStorage

    try:
        spaces = MinariStorage.read_raw_metadata(path / "data")
        if not {"observation_space", "action_space"} <= set(spaces):  # Minari would build the environment it names
            raise ValueError("it does not describe its spaces")
        if (file := path / "data" / "main_data.hdf5").is_file():
            _inspect(file, spaces["total_episodes"])
        episodes = list(minari.MinariDataset(path / "data").iterate_episodes())
    except Exception as error:  # whatever the library raises for files that are no dataset
        raise UserError(f"{path}: no Minari dataset can be read there ({' '.join(str(error).split())[:200]})") from None
    if not episodes:
        raise UserError(f"{path}: has no episodes")
    parts = [_episode(episode, f"{path}: episode {i}") for i, episode in enumerate(episodes)]
    lengths = np.array([len(part["action"]) for part in parts])
    try:
        arrays = {
            field: np.concatenate([part[field] for part in parts]).astype(np.float32) for field in (*_FIELDS, "action")
        }
    except ValueError:
        raise UserError(f"{path}: the arrays of its episodes have different shapes") from None
    ends = np.cumsum(lengths).astype(np.int64)
    firsts = [_first_success(episode.infos, int(length)) for episode, length in zip(episodes, lengths, strict=True)]
    known = {} if None in firsts else {"solved": ends - lengths + np.array(firsts, np.int64)}
    demos = DemoSet(episode_ends=ends, **arrays, **known)
    check(demos, str(path), ARRAYS)
    return demos, ["the observation after the last action of each episode left out"]


def write_minari(demos: DemoSet, path: Path) -> None:
    """Write a dataset that `minari.load_dataset` finds if its parent is ``MINARI_DATASETS_PATH``.

    Raises:
        UserError: Minari is not installed, something is at ``path`` already, its name is none for a dataset, or it
            cannot be written there.
    """
    minari = _minari()
    from gymnasium.spaces import Box, Dict

    if path.exists():
        raise UserError(f"{path}: exists already; remove it or choose another place")
    if not _NAME.fullmatch(path.name):
        raise UserError(f"{path}: Minari wants a name and a version, as in drawer-open-v0")
    sizes = {field: getattr(demos, field).shape[1:] for field in _FIELDS}
    observations = Dict({field: Box(-np.inf, np.inf, size, np.float32) for field, size in sizes.items()})
    actions = Box(-1.0, 1.0, demos.action.shape[1:], np.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    before = os.environ.get("MINARI_DATASETS_PATH")
    try:
        os.environ["MINARI_DATASETS_PATH"] = str(root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an author that is not given
            minari.create_dataset_from_buffers(
                path.name, _buffers(demos), observation_space=observations, action_space=actions
            )
        (root / path.name).rename(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
    finally:
        os.environ.pop("MINARI_DATASETS_PATH")
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before
        shutil.rmtree(root)


def _buffers(demos: DemoSet) -> list[Any]:
    from minari.data_collector import EpisodeBuffer

    found = []
    for i, end in enumerate(demos.episode_ends):
        start = int(demos.episode_ends[i - 1]) if i else 0
        length = int(end) - start
        frames = [*range(start, int(end)), int(end) - 1]
        infos = {"success": np.arange(length + 1) > demos.solved[i] - start} if len(demos.solved) else None
        found.append(EpisodeBuffer(
            id=i, observations={field: getattr(demos, field)[frames] for field in _FIELDS},
            actions=demos.action[start:end], rewards=[0.0] * length, terminations=[False] * length,
            truncations=[False] * (length - 1) + [True], infos=infos,
        ))  # fmt: skip
    return found


def _inspect(path: Path, episodes: int) -> None:
    """Raise `ValueError` for an HDF5 file that would have others read, or more memory taken than demos need."""
    import h5py

    claimed = 0
    with h5py.File(path, "r") as file:
        if episodes > len(file):
            raise ValueError(f"it claims {episodes} episodes, and there are {len(file)}")
        names = ["/"]
        file.visit(lambda name: names.append(f"/{name}"))
        for name in names:
            part = file[name]
            if h5py.h5o.get_info(part.id).rc > 1:  # would be read as often, or without end
                raise ValueError(f"'{name}' has more than one name")
            if isinstance(part, h5py.Group):
                links = [key for key in part if not isinstance(part.get(key, getlink=True), h5py.HardLink)]
                if links:
                    raise ValueError(f"'{name}' holds the link '{links[0]}'")
            elif part.external or part.is_virtual:
                raise ValueError(f"'{name}' lies in another file")
            else:
                claimed += part.nbytes
    if claimed > _MAX_BYTES:
        raise ValueError(f"its arrays claim {claimed} bytes, at most {_MAX_BYTES} are read")


def _episode(episode: Any, where: str) -> dict[str, np.ndarray]:
    observations = episode.observations
    if not isinstance(observations, Mapping) or not set(_FIELDS) <= set(observations):
        there = ", ".join(sorted(observations)) if isinstance(observations, Mapping) else "a single array"
        raise UserError(f"{where}: observations need point_cloud and agent_pos; there are: {there}")
    part = {}
    for field, value in {"action": episode.actions, **{field: observations[field] for field in _FIELDS}}.items():
        try:
            part[field] = np.asarray(value)
        except ValueError:  # a tuple of arrays of different lengths
            raise UserError(f"{where}: {ARRAYS[field]} is no array") from None
    steps = len(part["action"]) if part["action"].ndim else 1
    for field, array in part.items():
        wanted = steps + (field != "action")
        if array.dtype.kind not in "fiu" or array.ndim < 2 or len(array) != wanted:
            raise UserError(
                f"{where}: {ARRAYS[field]} is {array.dtype} {list(array.shape)}, expected numbers for {wanted} steps"
            )
        part[field] = array[:steps]
    return part


def _first_success(infos: Any, length: int) -> int | None:
    """The step after whose action success was first seen; None where that is not recorded."""
    seen = np.asarray((infos or {}).get("success", []))
    if seen.dtype.kind not in "biuf" or seen.shape != (length + 1,) or not seen[1:].any():
        return None
    return int(seen[1:].argmax())


def _minari() -> Any:
    try:
        import h5py  # noqa: F401  (Minari needs it for all datasets but those in Arrow)
        import minari
    except ImportError:
        raise UserError("Minari datasets need: pip install 'visuomotor-bench[minari]'") from None
    return minari
