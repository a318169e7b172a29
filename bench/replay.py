"""What a policy saw, kept small: a recorded success and a recorded failure to look at, never to compute with.

A replay is one safetensors file, which cannot hold code: ``cloud [F, P, 3]`` int16 in tenths of a millimetre,
``step [F]`` int32, and a header in JSON that says which episode it is. At most 60 kB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

FRAMES, POINTS = 30, 256
"""Most frames and points. Clouds come from farthest-point sampling, so their first points are spread over the scene."""
UNIT = 1e-4
"""Metres per unit of the stored clouds."""
MAX_BYTES = 60_000
_HEADER = "replay"  # one key: the order of several in the file would not be fixed


class About(BaseModel):
    """Which episode a replay shows; fields as in ``episodes.jsonl``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    schema_: Literal["replay/1"] = Field("replay/1", alias="schema")
    task: str
    variant: str
    training_seed: NonNegativeInt
    episode: NonNegativeInt
    state_hash: str
    success: bool
    steps: NonNegativeInt
    steps_to_success: int | None


@dataclass(frozen=True)
class Replay:
    """Frames of one episode."""

    about: About
    cloud: npt.NDArray[np.int16]  # [F, P, 3] in units of `UNIT`
    step: npt.NDArray[np.int32]  # [F] control steps before each frame


class Recorder:
    """Looks over the evaluator's shoulder and keeps the first success and the first failure."""

    def __init__(self) -> None:
        self.kept: dict[bool, tuple[int, list[tuple[int, npt.NDArray[np.float32]]]]] = {}
        """By success: number of the episode, and its frames as (control step, cloud)."""
        self._seen: dict[int, list[tuple[int, npt.NDArray[np.float32]]]] = {}

    def see(self, episode: int, step: int, cloud: npt.NDArray[np.float32]) -> None:
        """Note what the policy sees in ``step`` of an episode."""
        self._seen.setdefault(episode, []).append((step, cloud[:POINTS].copy()))

    def end(self, outcomes: Iterable[tuple[int, bool]]) -> None:
        """Episodes have ended, as (number, success) in order: keep the first of each outcome, forget the others."""
        for episode, success in outcomes:
            if episode in self._seen:
                self.kept.setdefault(success, (episode, self._seen[episode]))
        self._seen.clear()

    def pack(self, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """The replays as files. ``rows`` are those of ``episodes.jsonl`` by the number of the episode."""
        by_number = list(rows)
        packed = []
        for success, (number, frames) in self.kept.items():
            row = by_number[number]
            about = About(success=success, **{k: row[k] for k in About.model_fields if k in row})
            chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))]
            units = np.stack([cloud for _, cloud in chosen]) / np.float32(UNIT)
            cloud = np.clip(np.nan_to_num(units), -32767, 32767).round().astype(np.int16)
            packed.append(pack(Replay(about, cloud, np.array([step for step, _ in chosen], np.int32))))
        return packed


def pack(replay: Replay) -> bytes:
    """The file of a replay; equal replays give equal bytes."""
    about = json.dumps(replay.about.model_dump(by_alias=True), sort_keys=True, separators=(",", ":"))
    data: bytes = save({"cloud": replay.cloud, "step": replay.step}, {_HEADER: about})
    return data


def unpack(data: bytes) -> Replay:
    """Read a replay, from any source.

    Raises:
        ValueError: it is not a replay, or breaks a limit of size; the message says how.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
    try:
        tensors = load(data)
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = About.model_validate_json(head["__metadata__"][_HEADER])
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a replay ({' '.join(str(error).split())[:200]})") from None
    if sorted(tensors) != ["cloud", "step"]:
        raise ValueError("not a replay (it must hold the tensors cloud and step)")
    cloud, step = tensors["cloud"], tensors["step"]
    if cloud.dtype != np.int16 or step.dtype != np.int32 or cloud.ndim != 3 or cloud.shape[2] != 3:
        raise ValueError("cloud must be int16 [F, P, 3] and step int32 [F]")
    if not (1 <= len(cloud) <= FRAMES and 1 <= cloud.shape[1] <= POINTS and step.shape == (len(cloud),)):
        raise ValueError(f"at most {FRAMES} frames of {POINTS} points, with a step for each")
    if step[0] < 0 or (np.diff(step) <= 0).any():
        raise ValueError("steps must rise")
    return Replay(about, cloud, step)
