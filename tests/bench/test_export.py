"""Records as tidy columns, in notebooks and in files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench import export as module
from bench.export import Format, export
from bench.interfaces import UserError
from bench.records import FILES
from bench.store import MANIFEST
from bench.tidy import tidy
from tests.bench.report.synthetic import make_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run on the disk."""
    run = make_run(["metaworld/drawer-open"], {"dp3": 0.9, "sdm": 0.8}, episodes=3)
    folder = tmp_path / "run"
    folder.mkdir()
    manifest = {**run.manifest, "key": "0" * 20, "plan": "0" * 20}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for name in FILES:
        rows = json.loads(getattr(run, name).to_json(orient="records"))
        text = "".join(json.dumps(_whole(row)) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def _whole(row: dict[str, object]) -> dict[str, object]:
    """Steps went through a column with gaps, which made floats of them."""
    steps = row.get("steps_to_success")
    return row if steps is None else {**row, "steps_to_success": int(str(steps).removesuffix(".0"))}


def test_nested_values_become_columns() -> None:
    frame = pd.DataFrame({
        "a": [1, 2], "t": [{"p50": 1.0, "p50_ci": [0.9, None]}, {"p50": 2.0, "p50_ci": None}],
        "speed": [None, {"e2e": {"p": 0.1}}], "list": [[1, 2, 3], [4]], "empty": [{}, {}],
    })  # fmt: skip
    found = tidy(frame)
    assert list(found) == ["a", "t.p50", "t.p50_low", "t.p50_high", "speed.e2e.p", "list"]
    assert found["t.p50_low"].tolist()[0] == 0.9
    assert found["t.p50_high"].isna().all()
    assert found["speed.e2e.p"].tolist()[1] == 0.1
    assert found["list"].tolist() == [[1, 2, 3], [4]]
    assert tidy(frame.iloc[:0]).empty


def test_load_gives_one_value_a_cell(folder: Path) -> None:
    latency = bench.load(folder, "latency")
    assert latency["t_e2e.p50"].gt(0).all()
    assert latency["t_e2e.p97_high"].isna().all()
    assert latency["hardware.cores"].tolist() == [2] * len(latency)
    assert latency["speedup.t_policy.ratio"].notna().sum() == 2  # of sdm, in both thread modes
    assert not latency.map(lambda value: isinstance(value, dict)).any(axis=None)
    assert bench.load(folder, "curves")["losses.loss"].tolist() == [0.1] * 10


def test_csv_reads_back(folder: Path, tmp_path: Path) -> None:
    files = export(folder, tmp_path / "out", Format.csv)
    assert {f.name for f in files} == {"episodes.csv", "curves.csv", "latency.csv", MANIFEST}  # files with rows
    episodes, loaded = pd.read_csv(tmp_path / "out" / "episodes.csv"), bench.load(folder)
    assert list(episodes) == list(loaded)
    assert episodes["success_ever"].tolist() == loaded["success_ever"].tolist()
    quantiles = json.loads(pd.read_csv(tmp_path / "out" / "latency.csv")["e2e_quantiles"][0])
    assert len(quantiles) == 100
    assert (tmp_path / "out" / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


def test_parquet_reads_back(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    export(folder, tmp_path / "out", Format.parquet)
    for name in ("episodes", "latency"):
        found, loaded = pd.read_parquet(tmp_path / "out" / f"{name}.parquet"), bench.load(folder, name)
        assert list(found) == list(loaded)
        assert len(found) == len(loaded)
    assert len(found["e2e_quantiles"][0]) == 100


def test_without_pyarrow_the_message_says_how_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    assert importlib.util.find_spec("pyarrow") is None
    with pytest.raises(UserError, match=r"pip install 'visuomotor-bench\[parquet\]', or --format csv"):
        export(folder, tmp_path / "out", Format.parquet)
    assert not (tmp_path / "out").exists()


def test_bad_places_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there"):
        export(tmp_path / "nowhere", tmp_path / "out", Format.csv)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        export(folder, tmp_path / "file" / "out", Format.csv)
