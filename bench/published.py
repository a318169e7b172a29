"""Figures from papers, project pages and threads, as `results/published.toml` holds them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError, model_validator

from bench.interfaces import UserError

Metric = Literal[
    "success_rate", "success_rate_top5", "success_rate_min", "success_rate_max", "inference_time", "inference_rate",
    "speedup_vs_teacher", "speedup_vs_DP3", "parameters", "parameters_vs_prior", "latency_reduction", "training_cost",
    "relative_improvement_over_baselines", "demos",
]  # fmt: skip
COMPARED = ("success_rate", "success_rate_top5", "inference_time", "speedup_vs_teacher", "speedup_vs_DP3", "parameters")
"""Metrics that a run measures too; a figure of another one must say why it is barred, or have no variant."""


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Figure(_Part):
    """One published figure."""

    trust: Literal["primary", "secondary", "derived"]
    method: str
    nfe: PositiveInt | None = None
    suite: str
    group: str
    n_tasks: PositiveInt | None = None
    metric: Metric
    value: NonNegativeFloat
    std: NonNegativeFloat | None = None
    unit: str
    variants: list[str] = []
    """Entries of this project that the figure can be about, the closest to the publication first."""
    tasks: str | None = None
    """What has to be run: an id, a suite, or ``suite:difficulty``; None where the source does not name its tasks."""
    reference: str | None = None
    """Of a speed-up: the variant that it is against."""
    encoder: PositiveInt | None = None
    """Of a parameter count: the encoder's part, as records count the head alone."""
    barred: str | None = None
    """Why no run can be compared with the figure."""
    note: str | None = None

    @model_validator(mode="after")
    def _can_be_treated(self) -> Figure:
        if self.metric not in COMPARED and self.variants and not self.barred:
            raise ValueError(f"a figure of metric '{self.metric}' needs 'barred': no run measures that")
        return self


class Source(_Part):
    """Where figures stand, and how they were measured; what a source does not state is None."""

    name: str
    remark: str | None = None
    sizes: Literal["paper"] | None = None
    """Profile that has its network sizes."""
    engines: dict[str, str] = {}
    """Simulator by suite, as the field ``engine`` of an episode would have it."""
    success: dict[str, Literal["ever", "end"]] = {}
    """By suite: success in any step, or at the end of an episode."""
    training_seeds: PositiveInt | None = None
    selection: Literal["final", "paper-top5"] | None = None
    evaluations: PositiveInt | None = None
    """During a training, for a mean of the five best."""
    episodes: PositiveInt | None = None
    """Per evaluation."""
    hardware: str | None = None
    clock: str | None = None
    figures: list[Figure] = Field(min_length=1)


class Published(_Part):
    """All of them."""

    schema_: Literal["published/1"] = Field(alias="schema")
    ports: dict[str, str] = {}
    """Suites that are no faithful copy of the published one, and why."""
    sources: list[Source]


def load_published(path: Path | None = None) -> Published:
    """Read published figures: those that come with this package, or a file of the same form.

    Raises:
        UserError: the file cannot be read, is no TOML, or fails its schema, with the first fault.
    """
    file = path or _own_file()
    try:
        return Published.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{file}: unreadable ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file}: no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _own_file() -> Path:
    """In an installed package the file lies beside this module, in a checkout under ``results``."""
    beside = Path(__file__).with_name("published.toml")
    return beside if beside.exists() else Path(__file__).parents[1] / "results" / "published.toml"
