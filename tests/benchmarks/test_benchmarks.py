"""The benchmarks run, compare like with like and account for time correctly. No timing assertions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench.interfaces import DemoSet, Observations, TaskSpec
from bench.seeding import torch_generator
from bench.stats import Verdict, probability_of_improvement
from bench.windows import batches
from benchmarks import (
    driver_scale,
    growth,
    harness_overhead,
    inference,
    output,
    point_cloud,
    projection,
    rollout,
    scaling,
    site,
    statistics,
    training_step,
)
from benchmarks.hardware_limit import Work, limit_seconds, needed_work
from benchmarks.inputs import policies
from benchmarks.paired import interleave, speedup
from benchmarks.reference import point_cloud as plain_cloud
from benchmarks.reference.statistics import probability_of_improvement as plain_improvement
from benchmarks.reference.training import PlainTeacher, use_plain_layers
from envs import registry
from envs.metaworld import CROP, MetaWorld
from envs.pointcloud import farthest_points
from methods.dp3 import CONFIGS, Dp3
from methods.networks import SIZES

TASK = "metaworld/drawer-open"


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    return registry.specs()[TASK]


@pytest.fixture(scope="module")
def demos(spec: TaskSpec) -> DemoSet:
    rng = np.random.default_rng(0)
    cloud, state = rng.random((40, 64, 3), np.float32), rng.random((40, spec.agent_pos_dim), np.float32)
    return DemoSet(cloud, state, rng.uniform(-1, 1, (40, spec.action_dim)).astype(np.float32), np.array([20, 40]))


@pytest.fixture(autouse=True)
def _idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "busy_cores", lambda: 2.0)


def test_sides_take_turns_and_keep_their_times() -> None:
    order: list[str] = []

    def side(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    times = interleave({"a": lambda: side("a", 6.0), "b": lambda: side("b", 2.0)}, blocks=3, calls=2, warmup=1)
    assert "".join(order) == "ab" + "aabb" + "bbaa" + "aabb"
    assert times["a"].shape == (3, 2)
    assert speedup(times["a"], times["b"]) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("plain_encoder", [True, False])
def test_plain_teacher_trains_as_the_fast_one(spec: TaskSpec, demos: DemoSet, plain_encoder: bool) -> None:
    config = replace(CONFIGS["smoke"], search_points=None, clip=0.5, noise_draws=1, lr=1e-2)
    fast = Dp3(spec, "smoke", config=config)
    fast.begin_training(demos, None, torch_generator(np.random.SeedSequence(0)))
    plain = PlainTeacher(spec, config, demos, fast.state(), plain_encoder=plain_encoder)
    generators = [torch_generator(np.random.SeedSequence(1)) for _ in range(2)]
    source = batches(demos, fast.spec, np.random.SeedSequence(2))
    for _ in range(6):
        batch = next(source)
        expected = fast.fit_step(batch, generators[0])["loss"]
        assert plain.fit_step(batch, generators[1]) == pytest.approx(float(expected), rel=1e-3)
    torch.testing.assert_close(plain.ema.state_dict(), dict(fast.ema.state_dict()), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("profile", ["smoke", "lite"])
def test_plain_policy_acts_alike(spec: TaskSpec, demos: DemoSet, profile: str) -> None:
    seen = Observations(torch.from_numpy(demos.point_cloud[None, :2]), torch.from_numpy(demos.agent_pos[None, :2]))
    fast, plain = (policies(["dp3"], spec, profile, demos)["dp3"] for _ in range(2))
    use_plain_layers(plain, spec, SIZES[profile])
    chunks = [method.act(seen, torch.Generator().manual_seed(0)) for method in (fast, plain)]
    assert fast.ema.unet.__class__ is not plain.ema.unet.__class__
    torch.testing.assert_close(*chunks, rtol=1e-4, atol=1e-4)


def test_plain_cloud_is_the_same_cloud(spec: TaskSpec) -> None:
    ours, multi = MetaWorld(spec), plain_cloud.PlainMetaWorld(spec, "mj_multiRay")
    for task in (ours, multi):
        task.reset(3)
    points, plain = CROP(ours.scan().points), multi.cropped()
    assert abs(len(points) - len(plain)) < 0.02 * len(points)
    gaps = np.linalg.norm(points[:, None] - plain[None], axis=-1).min(axis=1)
    assert np.mean(gaps < 1e-4) > 0.97
    for choose in plain_cloud.SAMPLERS.values():
        np.testing.assert_array_equal(choose(points, 100), farthest_points(points, 100))
    single = plain_cloud.PlainMetaWorld(spec, "mj_ray loop")
    single.reset(3)
    assert abs(len(single.cropped()) - len(plain)) < 0.01 * len(plain)


def test_limit_counts_what_is_needed(spec: TaskSpec, demos: DemoSet) -> None:
    seen = Observations(torch.from_numpy(demos.point_cloud[None, :2]), torch.from_numpy(demos.agent_pos[None, :2]))
    sizes = SIZES["smoke"]
    made = policies(["dp3", "dp3@nfe=1"], spec, "smoke", demos)
    linears = made["dp3"].ema.encoder.points.linears
    parameters = sum(p.numel() for p in made["dp3"].network.parameters())
    work = {name: needed_work(method, spec, sizes, seen) for name, method in made.items()}
    by_point, b = sum(linear.weight.numel() for linear in linears), sizes.point_widths[-1]
    by_frame = b * sizes.feature_dim + spec.agent_pos_dim * sizes.state_hidden + sizes.state_hidden * sizes.feature_dim
    assert work["dp3"]["encode"].flops == 2 * 2 * (64 * by_point + by_frame)
    assert work["dp3"]["sample"] == Work(*(10 * n for n in work["dp3@nfe=1"]["sample"]))
    # convolutions of kernel 5 on a single position need one tap of five
    assert 0.3 * parameters < work["dp3@nfe=1"]["sample"].bytes / 4 < 0.8 * parameters
    assert limit_seconds(Work(flops=100, bytes=10), 50.0, 10.0) == 2.0
    assert limit_seconds(Work(flops=100, bytes=50), 50.0, 10.0) == 5.0


def test_training_step(tmp_path: Path, demos: DemoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_step, "demonstrations", lambda *_: demos)
    file = tmp_path / "figures.json"
    sizes = ["--profile", "smoke", "--batch", "4", "--steps", "1", "--blocks", "2", "--calls", "1"]
    rows = training_step.main([*sizes, "--json", str(file)])
    content = json.loads(file.read_text())
    assert content["rows"] == rows
    assert content["contended"] is True
    assert content["hardware"]["cores"] >= 1
    assert {"dp3", "manicm", "sdm"} <= {row["step"] for row in rows}


def test_point_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(plain_cloud.CASTERS, "mj_ray loop")  # slow
    rows = point_cloud.main(["--blocks", "2", "--calls", "1", "--frames", "1"])
    assert {row["ours"] for row in rows} == {"observe", "scan + preprocess", "FPS"}
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in rows)


def test_rollout() -> None:
    sizes = ["--profile", "smoke", "--episodes", "2", "--steps", "4", "--plain-policy", "--sampler", "compiled"]
    rows = rollout.main([*sizes, "--blocks", "2"])
    assert [(row["policy"], row["nfe"], row["bar"]) for row in rows] == [("dp3", 10, ">= 5.0"), ("sdm", 1, ">= 8.0")]


def test_inference(demos: DemoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "demonstrations", lambda *_: demos)
    rows = inference.main(
        ["--profile", "smoke", "--variants", "dp3,sdm", "--inputs", "2", "--blocks", "2", "--calls", "2"]
    )
    found = {(row["policy"], row["clock"]): row for row in rows}
    assert found["sdm", "t_policy"]["bar"] == ">= 6.0"
    assert "dp3 / ours" not in found["dp3", "t_policy"]
    for policy in ("dp3", "sdm"):
        parts = found[policy, "t_encode"]["limit ms"] + found[policy, "t_sample"]["limit ms"]
        assert found[policy, "t_policy"]["limit ms"] == pytest.approx(parts)


def test_overhead_is_what_the_parts_leave() -> None:
    row = harness_overhead.account(whole=100.0, units=[40.0, 30.0], latency=20.0, nothing=6.0)
    assert row["overhead"] == pytest.approx(0.1)
    assert row["per unit ms"] == pytest.approx(2000)


def test_projection_counts_whole_tasks_alone() -> None:
    units = [("demos", None, 10.0), ("train", "dp3", 300.0), ("evaluate", "dp3", 20.0), ("evaluate", "dp3@nfe=1", 15.0)]
    rows = [(f"metaworld/{task}", *unit) for task in ("reach", "push") for unit in units]
    timings = pd.DataFrame(rows[:-1], columns=["task", "unit", "method", "seconds"])
    assert projection.whole_tasks(timings, ["dp3"]).to_dict() == {"metaworld/reach": 330, "metaworld/push": 330}
    assert projection.whole_tasks(timings, ["dp3", "dp3@nfe=1"]).to_dict() == {"metaworld/reach": 345}
    cached = timings[(timings["task"] == "metaworld/push") | (timings["unit"] == "evaluate")]
    assert projection.whole_tasks(cached, ["dp3"]).to_dict() == {"metaworld/push": 330}


def test_projection() -> None:
    *suites, total = projection.main(["results/six-tasks", "--workers", "4", "--methods", "dp3,sdm"])
    [metaworld] = [row for row in suites if row["sample"]]
    assert (metaworld["tasks"], metaworld["sample"]) == (50, 6) == (total["tasks"], total["sample"])
    assert metaworld["low"] < metaworld["hours"] == total["hours"] < metaworld["high"]
    assert metaworld["hours"] == pytest.approx(50 * metaworld["core s a task"] / 4 / 3600)


def test_growth() -> None:
    rows = growth.main(["--tasks", "1", "2", "--episodes", "2", "--methods", "dp3,sdm"])
    assert [row["units"] for row in rows] == [5, 10]  # demos, two trainings and two evaluations per task
    assert all(row["drive s"] > 0 and row["report s"] > 0 for row in rows)


def test_driver_at_scale() -> None:
    sizes = ["--workers", "5", "--tasks", "2", "--variants", "2", "--seeds", "1", "--episodes", "3"]
    [row] = driver_scale.main(sizes)
    assert (row["units"], row["records"]) == (8, 12)
    assert row["records/s"] > 0
    assert row["peak MiB"] >= row["of these before"]


def test_site(tmp_path: Path) -> None:
    sizes = ["--tasks", "2", "--seeds", "1", "--episodes", "5", "--out", str(tmp_path)]
    [row] = site.main(sizes)
    assert row["files"] == len([file for file in tmp_path.rglob("*") if file.is_file()]) > 10
    assert row["MB"] > 0
    assert row["seconds"] > 0


def test_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SIZES", (20,))
    monkeypatch.setattr(statistics, "CHANCES", (0.5,))
    speed = statistics.main(["--parts", "speed", "--blocks", "2", "--calls", "1"])
    assert speed[-1]["what"] == "probability_of_improvement"
    assert all(row["ms"] > 0 for row in speed)
    gate = statistics.main(["--parts", "gate", "--sims", "10"])
    assert sum(gate[0][f"{verdict} %"] for verdict in Verdict) == pytest.approx(100)
    coverage = statistics.main(["--parts", "coverage", "--sims", "10", "--reps", "20"])
    assert all(0 <= row["coverage %"] <= 100 for row in coverage)


def test_the_plain_loop_computes_the_same_probability() -> None:
    a, b = np.random.default_rng(0).integers(0, 5, (2, 6, 3))
    plain, ours = plain_improvement(a, b, reps=200), probability_of_improvement(a, b)
    assert plain.value == pytest.approx(ours.value)
    assert plain.low < ours.value < plain.high


SCRIPTS = [
    growth,
    driver_scale,
    training_step,
    point_cloud,
    rollout,
    inference,
    harness_overhead,
    projection,
    scaling,
    site,
    statistics,
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_bad_arguments(script: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])  # type: ignore[attr-defined]
    assert stopped.value.code == 0
    assert "--json" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main(["--episodes=0", "--blocks=1"])  # type: ignore[attr-defined]
    assert stopped.value.code == 2
