"""Data and weights of others on a real task: a set of ten episodes is trained on, its weights go out and come back."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import bench
import methods
from bench import app, registry
from bench.api import prepare
from bench.artifacts import Cache
from bench.demo_files import read_zarr
from bench.demos_command import export_demos
from bench.store import load_run
from bench.submission.checks import faults
from bench.weights import import_weights
from tests.bench.test_demo_files import assert_equal
from tests.published_dp3 import published_state

TASK = "metaworld/drawer-open"
FILE = Path(__file__).parent.parent / "tools/convert_checkpoint.py"
TOOL = importlib.util.module_from_spec(SPEC := importlib.util.spec_from_file_location("convert_checkpoint", FILE))
SPEC.loader.exec_module(TOOL)


def run(variants: list[str], out: str, timed: bool) -> bench.Run:
    spec, settings = prepare(
        variants, [TASK], [0], "smoke", None, control_hz=None, demos={TASK: "ten.zarr"}, out=out, cache="cache",
        reports="reports", workers=0, ray_address=None, device="cpu", console=Console(quiet=True),
    )  # fmt: skip
    settings = app.Settings(**{**vars(settings), "latency": timed})
    assert app.run(spec, settings, Console(quiet=True)) == app.OK
    return load_run(out)


@pytest.mark.slow
def test_ten_episodes_in_and_weights_out_and_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    export_demos(TASK, Path("ten.zarr"), "lite", Cache(Path("cache")), Console(quiet=True))
    demos, notes = read_zarr(Path("ten.zarr"))
    assert (len(demos.episode_ends), notes) == (10, [])
    trained = run(["dp3"], "trained", timed=False)
    assert trained.errors.empty
    assert len(set(trained.episodes["demos"])) == 1
    key = trained.manifest["keys"][f"train dp3 on {TASK}, seed 0"]
    imported = Cache(Path("cache")).load(trained.episodes["demos"].iloc[0])
    assert_equal(bench.artifacts.unpack_demos(imported.data), demos)

    policy = methods.make("dp3", registry.tasks().specs()[TASK], "smoke")
    policy.load_state(load_file(f"cache/{key}.safetensors"))
    torch.save(published_state(policy.ema, policy.config.sizes), "published.pt")
    list(TOOL.convert(Path("published.pt"), Path("back.safetensors"), True, "ema", 4))
    weights = import_weights({(TASK, 0): Path("back.safetensors")}, "dp3", "smoke")
    weights.keep(Cache(Path("cache")))

    both = run(["dp3", str(weights.variant)], "both", timed=True)
    own, theirs = (both.episodes[both.episodes["variant"] == v] for v in ("dp3", str(weights.variant)))
    assert list(own["action_hash"]) == list(theirs["action_hash"])  # the same actions, bit for bit
    assert list(own["state_hash"]) == list(theirs["state_hash"])
    assert set(theirs["weights"]) == {weights.variant.weights}
    assert theirs["demos"].isna().all()
    timed = both.latency.set_index("variant")
    assert set(timed.index) == {"dp3", str(weights.variant)}
    assert timed.loc[str(weights.variant), "checkpoint"] == theirs["checkpoint"].iloc[0]
    assert list(faults(both, [])) == []
