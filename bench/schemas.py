"""JSON Schemas of everything that a run's folder holds, and of the published figures: made from the models."""

from __future__ import annotations

import json

from pydantic import BaseModel

from bench.published import Published
from bench.records import FILES, Manifest

MODELS: dict[str, type[BaseModel]] = {**FILES, "manifest": Manifest, "published": Published}
"""By name: of a line of the records file ``<name>.jsonl``, of ``manifest.json``, of ``published.toml``."""


def json_schema(name: str) -> str:
    """The schema of one of `MODELS` as JSON text."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **MODELS[name].model_json_schema()}
    if name != "published":  # what is written holds a check of itself, which readers take off (`bench.rows`)
        schema["properties"] = {**schema["properties"], "check": {"pattern": "^[0-9a-f]{8}$", "type": "string"}}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def file_name(name: str) -> str:
    """Of the file that a schema is published in."""
    return f"{name}.schema.json"
