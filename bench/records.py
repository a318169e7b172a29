"""Schemas of the rows in a run's folder. Everything read from a file is checked against them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from bench.spec import canonical_json


class Row(BaseModel):
    """A row of a records file: exact types, no unknown fields."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=(),
        use_attribute_docstrings=True,
    )  # fmt: skip

    key: str = Field(pattern="^[0-9a-f]{20}$")
    """Content key of the unit of work that made the row."""


class _Cell(Row):
    suite: str
    task: str
    method: str
    profile: str
    training_seed: NonNegativeInt


class EpisodeRow(_Cell):
    """One test episode."""

    schema_: Literal["episode/1"] = Field(alias="schema")
    difficulty: str | None
    variant: str
    episode: NonNegativeInt
    seed: NonNegativeInt
    state_hash: str
    action_hash: str | None = None  # rows of before this field was recorded have none
    success_ever: bool
    success_end: bool
    success_alt_ever: bool | None = None
    success_alt_end: bool | None = None
    steps: NonNegativeInt
    steps_to_success: PositiveInt | None
    return_: float = Field(alias="return")
    action_spread: float | None = None  # rows of before this field was recorded have none
    error: str | None
    checkpoint: str | None
    nfe: PositiveInt
    executed_steps: PositiveInt
    engine: str
    assets: str
    versions: dict[str, str]
    demos: str | None = None  # key of the imported demo set; rows that come from the expert's have none
    weights: str | None = None  # id of the imported weights; rows of weights that were trained here have none


class RealtimeRow(EpisodeRow):
    """One test episode in real time: never mixed with those of a world that waits for the policy."""

    schema_: Literal["realtime/1"] = Field(alias="schema")  # type: ignore[assignment]
    control_hz: PositiveInt
    latency_key: str | None
    calls: NonNegativeInt
    held_steps: NonNegativeInt


class CurveRow(_Cell):
    """One point of a learning curve."""

    schema_: Literal["curve/1"] = Field(alias="schema")
    difficulty: str | None
    step: PositiveInt
    epoch: NonNegativeInt
    episodes: PositiveInt
    successes: NonNegativeInt
    losses: dict[str, float]
    demos: str | None = None  # as in `EpisodeRow`


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    canonical_json(value)  # raises ValueError for numbers that are not finite
    return value


Facts = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Any JSON, numbers finite as everywhere else."""
Interval = Annotated[list[float | None], Field(min_length=2, max_length=2)]
"""Ends of a 95 % interval; an end is null where there were too few calls for it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Clock(_Part):
    """Percentiles of one timed region in milliseconds; null where there were too few calls (`bench.percentiles`)."""

    p50: float
    p90: float | None
    p97: float | None
    p99: float | None
    p50_ci: Interval
    p90_ci: Interval | None
    p97_ci: Interval | None
    p99_ci: Interval | None


class Ratio(_Part):
    """Reference time divided by this entry's time, with its 95 % interval, and Mann-Whitney's p of the calls."""

    ratio: float
    low: float
    high: float
    p: float


class Flags(_Part):
    """How the networks computed."""

    dtype: str
    tf32: bool
    autocast: bool
    runtime: str


class LatencyRow(_Cell):
    """Latency of one variant on one task at batch 1. What follows from it: `bench.latency_figures`."""

    schema_: Literal["latency/2"] = Field(alias="schema")
    variant: str
    checkpoint: str | None
    device: str
    mode: str
    threads: PositiveInt
    flags: Flags
    n: PositiveInt
    nfe: PositiveInt
    executed_steps: PositiveInt
    horizon: PositiveInt
    params: PositiveInt
    params_network: PositiveInt
    checkpoint_bytes: PositiveInt | None
    flops: PositiveInt | None
    t_policy: Clock
    t_encode: Clock
    t_sample: Clock
    t_e2e: Clock
    e2e_quantiles: Annotated[list[float], Field(min_length=100, max_length=100)]
    block_medians: dict[str, Annotated[list[float], Field(min_length=2)]] | None = None
    """By clock, in the order of the blocks, ms: what two runs are compared by. Older rows lack it."""
    deadline_misses: dict[str, float]
    t_upstream: float
    t_cuda: float | None
    harness_ms: float
    cold_ms: float
    warm: bool
    contended: bool
    load_average: float | None
    reference: str | None
    speedup: dict[str, Ratio] | None
    peak_rss_mb: float
    peak_gpu_mb: float | None
    gpu: dict[str, dict[str, float | None]] | None
    hardware: Facts
    parallel_info: str
    demos: str | None = None  # as in `EpisodeRow`
    weights: str | None = None  # as in `EpisodeRow`


class ErrorRow(Row):
    """A unit of work that ended in an error."""

    schema_: Literal["error/1"] = Field(alias="schema")
    unit: str
    task: str
    method: str | None
    training_seed: NonNegativeInt
    error: str
    traceback: str
    attempts: PositiveInt = 1


class TimingRow(Row):
    """How long a unit of work took."""

    schema_: Literal["timing/1"] = Field(alias="schema")
    unit: str
    task: str
    method: str | None
    training_seed: NonNegativeInt
    attempts: PositiveInt = 1
    seconds: float


class ManifestSpec(BaseModel):
    """The `bench.spec.RunSpec` of a run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    methods: list[str] = Field(min_length=1)
    tasks: list[str] = Field(min_length=1)
    seeds: list[NonNegativeInt] = Field(min_length=1)
    profile: str
    episodes: PositiveInt
    base_seed: NonNegativeInt
    control_hz: PositiveInt | None = None
    demos: dict[str, str] | None = None


class Manifest(BaseModel):
    """What a run was asked for, and the last start that measured something."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    schema_: Literal["manifest/1"] = Field(alias="schema")
    key: str
    plan: str
    spec: ManifestSpec
    command: str
    created: str
    wall_seconds: float
    device: str
    versions: dict[str, str]
    git: Facts
    hardware: Facts
    packages: dict[str, str] | None = None
    keys: dict[str, str] | None = None
    check: str | None = None


FILES: dict[str, type[Row]] = {
    "episodes": EpisodeRow,
    "curves": CurveRow,
    "latency": LatencyRow,
    "realtime": RealtimeRow,
    "errors": ErrorRow,
    "timings": TimingRow,
}
"""The records files of a run (``<name>.jsonl``) and the schema of their rows."""


def json_schema() -> str:
    """JSON Schema of the manifest and of the rows of every records file, by name."""
    parts = {"manifest": Manifest.model_json_schema(), **{name: row.model_json_schema() for name, row in FILES.items()}}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Visuomotor Bench records"}
    return json.dumps({**schema, "$defs": parts}, indent=1)
