"""The published JSON Schemas: in step with the models, and true of the records in the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.schemas import MODELS, file_name, json_schema

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "schemas"


@pytest.mark.parametrize("name", MODELS)
def test_files_are_in_step_with_the_models(name: str) -> None:
    written = (FOLDER / file_name(name)).read_text(encoding="utf-8")
    assert written == json_schema(name), "make them anew: bench schema --out docs/schemas"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {file_name(name) for name in MODELS}


@pytest.mark.parametrize("name", ["episodes", "curves", "latency", "timings"])
def test_records_fit_their_schema_and_damaged_ones_do_not(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(json_schema(name)))
    rows = [json.loads(line) for line in (ROOT / "results/six-tasks" / f"{name}.jsonl").open(encoding="utf-8")]
    for row in rows[:5]:
        validator.validate(row)
    assert not validator.is_valid({**rows[0], "key": "none"})
    assert not validator.is_valid({**rows[0], "more": 1})
    assert not validator.is_valid({k: v for k, v in rows[0].items() if k != "schema"})


def test_the_manifest_fits_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    manifest = json.loads((ROOT / "results/six-tasks/manifest.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads(json_schema("manifest"))).validate(manifest)
