"""The converter: weights in the published layout come out as ours, and a pickle runs nothing."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import methods
from bench.interfaces import Observations, TaskSpec
from methods.dp3 import Dp3
from methods.nets.optim import initialise
from tests.fakes import fake_spec
from tests.published_dp3 import PublishedPolicy, published_state

FILE = Path(__file__).parent.parent / "tools/convert_checkpoint.py"
CFG = {
    "horizon": 4, "n_obs_steps": 2, "policy": {"use_pc_color": False, "noise_scheduler": {"prediction_type": "sample"}},
}  # fmt: skip
METAWORLD = TaskSpec("metaworld/drawer-open", "metaworld", "easy", 512, 9, 4, 200, 5, "", "")


TOOL = importlib.util.module_from_spec(SPEC := importlib.util.spec_from_file_location("convert_checkpoint", FILE))
SPEC.loader.exec_module(TOOL)


def convert(source: Path, out: Path, *, pickle: bool = True, weights: str = "ema", horizon: int | None = None) -> str:
    return "\n".join(TOOL.convert(source, out, pickle, weights, horizon))


def trained(method: str, profile: str, task: TaskSpec) -> Dp3:
    """A network with weights of every kind, and a normaliser that is not the identity."""
    policy = methods.make(method, task, profile)
    generator = torch.Generator().manual_seed(1)
    initialise(policy.ema, generator)
    with torch.no_grad():
        for name, tensor in policy.ema.state_dict().items():
            if tensor.ndim == 1:  # biases and norms begin as constants
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator).abs())
            assert tensor.abs().sum() > 0, name
    policy.load_state(policy.state())
    return policy


def workspace(state: dict[str, Tensor], cfg: dict[str, Any] = CFG) -> dict[str, Any]:
    """What the published code saves."""
    raw = {name: tensor + 1 if tensor.ndim == 1 else tensor for name, tensor in state.items()}
    extra = {"mask_generator._dummy_variable": torch.zeros(0), "_dummy_variable": torch.zeros(0)}
    parts = {"model": raw | extra, "ema_model": state | extra, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    return {"cfg": cfg, "pickles": {"epoch": b"\x80\x04K\x01."}, "state_dicts": parts}


@pytest.mark.parametrize(
    ("method", "profile"),
    [("dp3", "smoke"), ("simple_dp3", "paper"), pytest.param("dp3", "paper", marks=pytest.mark.slow)],
)
def test_published_weights_act_as_ours(method: str, profile: str, tmp_path: Path) -> None:
    before = trained(method, profile, METAWORLD)
    state = published_state(before.ema, before.config.sizes)
    with torch.device("meta"):
        theirs = PublishedPolicy(before.config.sizes, 9, 4)
    theirs.load_state_dict(state, assign=True)
    torch.save(workspace(state), tmp_path / "latest.ckpt")
    convert(tmp_path / "latest.ckpt", tmp_path / "out.safetensors")
    after = methods.make(method, METAWORLD, profile)
    after.load_state(load_file(tmp_path / "out.safetensors"))
    first, second = before.ema.state_dict(), after.ema.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    seen = Observations(torch.randn(3, 2, 32, 3), torch.randn(3, 2, 9))
    ours, published = after.encode(seen), theirs.condition(*seen)
    torch.testing.assert_close(ours, published, rtol=1e-4, atol=1e-5)
    x, t = torch.randn(3, 4, 4), torch.tensor([40])
    with torch.inference_mode():
        torch.testing.assert_close(after.ema.unet(x, t, ours), theirs.model(x, t, published), rtol=1e-3, atol=1e-4)
    chunks = [policy.act(seen, torch.Generator().manual_seed(0)) for policy in (before, after)]
    torch.testing.assert_close(*chunks, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    policy = trained("dp3", "smoke", fake_spec())
    return published_state(policy.ema, policy.config.sizes)


def test_layouts_of_the_file(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "bare.pt")
    save_file({f"ema_model.{name}": tensor for name, tensor in published.items()}, tmp_path / "flat.safetensors")
    torch.save(workspace(published), tmp_path / "latest.ckpt")
    out = [tmp_path / f"{i}.safetensors" for i in range(4)]
    convert(tmp_path / "bare.pt", out[0], horizon=4)
    convert(tmp_path / "flat.safetensors", out[1], pickle=False, horizon=4)
    said = convert(tmp_path / "latest.ckpt", out[2])
    assert said.startswith(f"{tmp_path / 'latest.ckpt'}: state_dicts.ema_model, {len(load_file(out[0]))} tensors")
    convert(tmp_path / "latest.ckpt", out[3], weights="raw")
    bare, flat, ema, raw = map(load_file, out)
    assert all(torch.equal(bare[name], other[name]) for other in (flat, ema) for name in bare)
    assert not torch.equal(raw["unet.out.bias"], ema["unet.out.bias"])
    with safe_open(out[2], "pt") as file:
        assert file.metadata()["source_prefix"] == "state_dicts.ema_model."
        assert file.metadata()["horizon"] == "4"


def test_the_command_is_a_process_of_its_own_and_warns(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(workspace(published), tmp_path / "latest.ckpt")
    source, out = str(tmp_path / "latest.ckpt"), tmp_path / "out.safetensors"
    command = [sys.executable, "-I", str(FILE), source, "--allow-pickle", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: reading the pickle")
    assert "next: bench checkpoints import" in done.stdout
    assert out.exists()


def test_a_refusal_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "noise").write_bytes(b"no checkpoint")
    monkeypatch.setattr(sys, "argv", ["convert", str(tmp_path / "noise"), "--out", str(tmp_path / "out")])
    assert TOOL.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_neither_knows_the_other() -> None:
    nodes = list(ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "torch" in named
    assert not {name.partition(".")[0] for name in named} & {"bench", "methods", "envs", "pickle", "dill"}
    sources = [file.read_text(encoding="utf-8") for file in (FILE.parent.parent / "bench").rglob("*.py")]
    assert not any("import convert_checkpoint" in text or "weights_only=False" in text for text in sources)
    assert FILE.read_text(encoding="utf-8").count("torch.load(") == 1


def test_normalisers_of_one_value_stand_for_all(published: dict[str, Tensor], tmp_path: Path) -> None:
    one = {name: torch.tensor([2.0]) for name in published if name.endswith("point_cloud.scale")}
    torch.save({name: t.half() for name, t in (published | one).items()}, tmp_path / "bare.pt")
    convert(tmp_path / "bare.pt", tmp_path / "out.safetensors", horizon=4)
    found = load_file(tmp_path / "out.safetensors")
    assert found["normalizer.point_cloud.scale"].tolist() == [2.0] * 3
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


FAULTS = {
    "does not say the horizon of its training": ({"cfg": {}}, {}),
    "trained with horizon 16; only horizon 4": ({"cfg": CFG | {"horizon": 16}}, {}),
    "trained with use_pc_color True": ({"cfg": CFG | {"policy": {"use_pc_color": True}}}, {}),
    "trained with prediction_type epsilon": (
        {"cfg": CFG | {"policy": {"noise_scheduler": {"prediction_type": "epsilon"}}}},
        {},
    ),
    "tensor 'model.extra.weight' is not of the published": ({}, {"model.extra.weight": torch.zeros(1)}),
    "takes 6 values of a point": ({}, {"obs_encoder.extractor.mlp.0.weight": torch.zeros(16, 6)}),
    "is of type torch.int64": ({}, {"model.final_conv.1.bias": torch.zeros(2, dtype=torch.int64)}),
    "'normalizer.params_dict.action.scale' is missing": ({}, {"normalizer.params_dict.action.scale": None}),
    "tensor for 'unet.out.weight' is missing": ({}, {"model.final_conv.1.weight": None}),
    "holds no policy of the DP3 family": ({}, {"obs_encoder.extractor.mlp.0.weight": None}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_faulty_checkpoint_is_told_its_fault(message: str, published: dict[str, Tensor], tmp_path: Path) -> None:
    top, changes = FAULTS[message]
    state = {name: tensor for name, tensor in (published | changes).items() if tensor is not None}
    torch.save({**workspace(state), **top}, tmp_path / "latest.ckpt")
    refused(message, tmp_path / "latest.ckpt")


def test_files_that_are_none(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "bare.pt")
    (tmp_path / "noise").write_bytes(b"no checkpoint")
    refused("reading one from a stranger can run code", tmp_path / "bare.pt", pickle=False, horizon=4)
    refused("cannot be read as a checkpoint", tmp_path / "noise")
    refused("there is no such file", tmp_path / "nowhere")
    both = {f"{prefix}.ema_model.{name}": t.clone() for name, t in published.items() for prefix in "ab"}
    save_file(both, tmp_path / "two.safetensors")
    refused("several policies for --weights ema; there are: a.ema_model, b", tmp_path / "two.safetensors")
    with pytest.raises(TOOL.RefusedError, match="exists already"):
        convert(tmp_path / "bare.pt", tmp_path / "noise", horizon=4)
    with pytest.raises(TOOL.RefusedError, match="cannot be written"):
        convert(tmp_path / "bare.pt", tmp_path / "nowhere" / "out.safetensors", horizon=4)


def refused(message: str, source: Path, **options: Any) -> None:
    with pytest.raises(TOOL.RefusedError) as caught:
        convert(source, source.parent / "out.safetensors", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(source.parent.glob("*out.safetensors*"))


class Code:
    """Pickled, it runs what it is told to when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_classes_of_a_configuration_are_read_without_their_code(
    published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OmegaConf's are: nested objects with ``_content`` and ``_val``."""
    module = types.ModuleType("omegaconf_stand_in")
    for name in ("DictConfig", "AnyNode"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def node(value: Any) -> Any:
        found = (module.DictConfig if isinstance(value, dict) else module.AnyNode)()
        if isinstance(value, dict):
            found._content = {key: node(item) for key, item in value.items()}
        else:
            found._val = value
        return found

    for horizon in (4, 16):
        torch.save(workspace(published, node(CFG | {"horizon": horizon})), tmp_path / f"{horizon}.ckpt")
    convert(tmp_path / "4.ckpt", tmp_path / "4.safetensors")
    refused("trained with horizon 16", tmp_path / "16.ckpt")


@pytest.mark.parametrize("function", [os.mkdir, Path.mkdir, exec])
def test_a_pickle_runs_no_code(function: Any, published: dict[str, Tensor], tmp_path: Path) -> None:
    marker = tmp_path / "was-here"
    argument = f"import pathlib; pathlib.Path({str(marker)!r}).mkdir()" if function is exec else str(marker)
    torch.save({**workspace(published), "pickles": Code(function, argument)}, tmp_path / "latest.ckpt")
    with suppress(TOOL.RefusedError):
        convert(tmp_path / "latest.ckpt", tmp_path / "out.safetensors")
    assert not marker.exists()
    torch.load(tmp_path / "latest.ckpt", weights_only=False)  # what the converter must not do: the code is there
    assert marker.exists() or function is Path.mkdir
