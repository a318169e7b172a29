"""Other runtimes than eager."""

from __future__ import annotations

import pytest
import torch

import methods
from bench import runtimes
from bench.interfaces import Observations, TaskSpec, UserError
from bench.runtimes import GRAPH, ONNX, check_runtime, use_runtime
from bench.spec import Variant
from tests.fakes import FakeMethod, fake_spec

TASK = TaskSpec("metaworld/none", "metaworld", "easy", 64, 9, 4, 200, 5, "none", "none")


@pytest.mark.parametrize("text", ["sdm+onnx", "dp3+onnx@nfe=1", "dp3@nfe=1", "dp3+compile@nfe=1:t=90"])
def test_variants_are_written_as_they_are_read(text: str) -> None:
    assert str(Variant.parse(text)) == text


def test_eager_is_not_written() -> None:
    assert str(Variant.parse("sdm+eager")) == "sdm"


@pytest.mark.parametrize("text", ["sdm+", "+onnx", "sdm+@nfe=1"])
def test_incomplete_variants_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="incomplete"):
        Variant.parse(text)


def test_an_unknown_runtime_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="unknown runtime 'onx': did you mean onnx"):
        check_runtime("onx")


def test_a_missing_runtime_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'visuomotor-bench\[onnx\]'"):
        check_runtime(ONNX)
    monkeypatch.setattr(runtimes.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"C\+\+ compiler"):
        check_runtime("compile")


def test_a_method_without_parts_is_refused() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with pytest.raises(UserError, match="names no `parts`"):
        use_runtime(FakeMethod("base", fake_spec(), {}), ONNX)
    with pytest.raises(UserError, match="runs on the CPU, not on cuda"):
        use_runtime(FakeMethod("base", fake_spec(), {}), ONNX, "cuda")


def test_cuda_graphs_are_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="CUDA graphs need a GPU"):
        check_runtime(GRAPH)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(UserError, match="choose --device cuda"):
        use_runtime(FakeMethod("base", fake_spec(), {}), GRAPH, "cpu")


@pytest.mark.parametrize("runtime", [ONNX, pytest.param("compile", marks=pytest.mark.slow), GRAPH])
def test_a_runtime_gives_the_actions_of_eager_and_counts_evaluations(runtime: str) -> None:
    if reason := runtimes.unavailable(runtime):
        pytest.skip(reason)
    device = "cuda" if runtime == GRAPH else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    seen = Observations(
        torch.randn(2, 2, TASK.n_points, 3, generator=generator, device=device),
        torch.randn(2, 2, TASK.agent_pos_dim, generator=generator, device=device),
    )
    eager, other = (methods.make("dp3", TASK, "smoke", {"nfe": "2"}, device) for _ in range(2))
    use_runtime(other, runtime, device)
    calls = []
    other.network.register_forward_hook(lambda *_: calls.append(1))
    expected = eager.act(seen, torch.Generator(device).manual_seed(1))
    torch.testing.assert_close(other.act(seen, torch.Generator(device).manual_seed(1)), expected, rtol=0, atol=1e-4)
    assert len(calls) == 2
    if runtime == "compile":  # half a minute for each shape
        return
    one = Observations(*(part[:1] for part in seen))  # another batch size
    expected = eager.act(one, torch.Generator(device).manual_seed(1))
    torch.testing.assert_close(other.act(one, torch.Generator(device).manual_seed(1)), expected, rtol=0, atol=1e-4)
