"""Weights of others: checked, named by their hash, evaluated like any variant, and never mixed up with trained ones."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from bench import cli
from bench.artifacts import Cache, unpack_tensors
from bench.interfaces import UserError
from bench.latency_stage import latency_jobs
from bench.plan import Kind, make_plan
from bench.reproduce import reproduce
from bench.spec import Variant, make_spec
from bench.store import load_run
from bench.submission.checks import faults
from bench.weights import import_weights, require_weights

pytestmark = pytest.mark.usefixtures("fake_registry")
WALK, RUN = "fake/walk", "fake/run"
IMPORT = ("checkpoints", "import", "--method", "base")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.report.save", lambda *_: [])  # pictures take most of the time
    for name, scale in (("one", 0.5), ("two", 0.25)):
        weight = {"weight": scale * torch.ones(2, 3), "bias": torch.zeros(2)}
        save_file(weight, f"{name}.safetensors", metadata={"source": f"{name}.ckpt"})


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
    monkeypatch.setattr("bench.app.latency_jobs", lambda *_: [])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def imported(*tasks: str, file: str = "one.safetensors", profile: str = "smoke") -> Variant:
    found = import_weights({(task, 0): Path(file) for task in tasks}, "base", profile)
    found.keep(Cache(Path("cache")))
    return found.variant


def test_a_variant_with_weights_has_one_name() -> None:
    variant = Variant.parse("dp3:1a2b3c4d5e6f+onnx@t=90:nfe=1")
    assert (variant.method, variant.weights, variant.policy) == ("dp3", "1a2b3c4d5e6f", "dp3:1a2b3c4d5e6f")
    assert str(variant) == "dp3:1a2b3c4d5e6f+onnx@nfe=1:t=90"
    assert Variant.parse("dp3").policy == "dp3"
    for text in ("dp3:", "dp3:mine", "dp3:1A2B3C4D5E6F", "dp3:1a2b3c4d5e6f0"):
        with pytest.raises(UserError, match=r"names no weights; 'bench checkpoints import' gives"):
            Variant.parse(text)
    spec = make_spec(["base", "base:1a2b3c4d5e6f", "base:1a2b3c4d5e6f@nfe=1"], [WALK], profile_name="smoke")
    assert spec.methods == ("base", "base:1a2b3c4d5e6f")  # one evaluation is the default


def test_the_id_is_the_hash_of_all_that_was_imported() -> None:
    one, two, both = imported(WALK), imported(WALK, file="two.safetensors"), imported(RUN, WALK)
    assert len({one, two, both}) == 3
    assert imported(WALK, RUN) == both
    (info,) = (i for i in Cache(Path("cache")).infos("weights") if i["weights"] == one.weights)
    assert info["imported"]["from"] == "one.safetensors"
    assert info["imported"]["metadata"] == {"source": "one.ckpt"}


def test_imported_weights_change_no_other_key_and_are_trained_by_nothing() -> None:
    trained = make_plan(make_spec(["base", "student"], [WALK], profile_name="smoke"))
    variant = imported(WALK)
    units = make_plan(make_spec(["base", "student", str(variant)], [WALK], profile_name="smoke"))
    assert {u.key for u in trained} < {u.key for u in units}
    weights, evaluation = (u for u in units if u.variant and u.variant.weights)
    assert (weights.kind, evaluation.kind, evaluation.needs) == (Kind.WEIGHTS, Kind.EVALUATE, (weights.key,))
    assert weights.needs == ()
    assert weights.label == f"weights {variant} on {WALK}, seed 0"
    assert evaluation.key not in {u.key for u in make_plan(make_spec([str(variant)], [WALK], (0,), "smoke"), "cuda")}


def test_latency_is_compared_with_the_teacher_or_the_first_entry() -> None:
    variant = imported(WALK)
    for methods, reference in (([str(variant)], variant), (["student", str(variant)], Variant("base"))):
        (job,) = latency_jobs(make_plan(make_spec(methods, [WALK], profile_name="smoke")), "cpu")
        assert set(job.references) == {reference}
        assert variant in job.variants
        cache = Cache(Path("cache"))
        assert job.checkpoints[job.variants.index(variant)] in cache


def test_they_are_evaluated_and_recorded_as_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = ("checkpoints", "import", f"{WALK}=one.safetensors", "--method", "base", "--profile", "smoke")
    assert call(monkeypatch, *command, "--cache", "cache") == 0
    hint = r"--methods (base:[0-9a-f]{12}) --tasks fake/walk --seeds 0 --profile smoke --cache cache\n"
    name = re.search(hint, capsys.readouterr().out)[1]
    run = ("run", "--profile", "smoke", "--workers", "0", "--tasks", WALK, "--methods", f"base,{name}", "--out", "run")
    assert call(monkeypatch, *run, "--cache", "cache") == 0
    found = load_run("run")
    assert found.errors.empty
    assert list(faults(found, [])) == []
    own, theirs = (found.episodes[found.episodes["variant"] == v] for v in ("base", name))
    assert len(own) == len(theirs) == 2
    assert set(theirs["method"]) == {name}
    assert set(theirs["weights"]) == {name.partition(":")[2]}
    assert own["weights"].isna().all()
    (artifact,) = (Cache(Path("cache")).load(p.stem) for p in Path("cache").glob("*.json")
                   if p.name != "costs.json" and '"weights": "' in p.read_text())  # fmt: skip
    assert set(theirs["checkpoint"]) == {artifact.sha256}
    assert unpack_tensors(artifact.data)["weight"].unique().tolist() == [0.5]
    assert set(found.curves["method"]) == {"base"}
    assert f"imported, not trained here, for {name}" in Path("reports/run/README.md").read_text(encoding="utf-8")
    assert any(label.startswith(f"weights {name}") for label in found.manifest["keys"])
    alone = [*run[:-1], "alone"]
    alone[alone.index(f"base,{name}")] = name
    assert call(monkeypatch, *alone, "--cache", "cache") == 0  # a report without any training
    assert load_run("alone").curves.empty
    assert list(load_run("alone").episodes["action_hash"]) == list(theirs["action_hash"])
    capsys.readouterr()
    assert call(monkeypatch, *run, "--cache", "cache") == 0
    assert "2 done already" in capsys.readouterr().out
    assert call(monkeypatch, "checkpoints", "list", "--cache", "cache") == 0
    assert name in capsys.readouterr().out
    assert call(monkeypatch, "compare", "run", "--ci") == 2
    assert "made with imported weights" in capsys.readouterr().err
    with pytest.raises(UserError, match="made with imported weights; give the cache"):
        reproduce(Path("run"), 9, 0, None, Console(file=io.StringIO()))
    assert reproduce(Path("run"), 9, 0, Path("cache"), Console(file=io.StringIO())) == 0


def test_what_was_not_imported_is_said() -> None:
    variant, cache = imported(WALK), Cache(Path("cache"))
    require_weights(make_plan(make_spec([str(variant)], [WALK], profile_name="smoke")), cache)
    faulty = {
        "no weights base:0123456789ab in cache: import them": (["base:0123456789ab"], WALK, 0, "smoke"),
        "not as base on fake/run, seed 0, profile smoke": ([str(variant)], RUN, 0, "smoke"),
        "not as base on fake/walk, seed 1, profile smoke": ([str(variant)], WALK, 1, "smoke"),
        "were imported as base on fake/walk, seed 0, profile smoke: not as base on fake/walk, seed 0, profile lite": (
            [str(variant)], WALK, 0, "lite",
        ),
        "not as student": ([f"student:{variant.weights}"], WALK, 0, "smoke"),
    }  # fmt: skip
    for message, (methods, task, seed, profile) in faulty.items():
        with pytest.raises(UserError, match=message):
            require_weights(make_plan(make_spec(methods, [task], (seed,), profile)), cache)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*IMPORT, "one.safetensors"], "write TASK=FILE or TASK:SEED=FILE"),
        ([*IMPORT, f"{WALK}:x=one.safetensors"], "write TASK=FILE or TASK:SEED=FILE"),
        ([*IMPORT, *[f"{WALK}=one.safetensors"] * 2], "two files for fake/walk, seed 0"),
        (["checkpoints", "import", f"{WALK}=one.safetensors", "--method", "bse"], "did you mean base"),
        ([*IMPORT, "fake/wlk=one.safetensors"], "did you mean fake/walk"),
        ([*IMPORT, f"{WALK}=nowhere"], "nowhere: cannot be read"),
        ([*IMPORT, f"{WALK}=noise"], "noise: no safetensors file"),
        ([*IMPORT, f"{WALK}=odd"], "odd does not fit base on fake/walk, profile paper"),
        (["run", "--methods", "base:0123456789ab", "--tasks", WALK], "no weights base:0123456789ab"),
        (["latency", "--methods", "base:0123456789ab", "--task", WALK], "no weights base:0123456789ab"),
    ],
)  # fmt: skip
def test_bad_input(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    Path("noise").write_bytes(b"no weights")
    save_file({"other": torch.zeros(1)}, "odd")
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("results").exists()
