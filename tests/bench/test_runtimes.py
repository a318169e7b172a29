"""Which runtimes there are, how they are written, and what they need."""

from __future__ import annotations

import pytest

from bench import runtimes
from bench.interfaces import UserError
from bench.runtimes import FUSED, GRAPH, ONNX, check_runtime, versions_of
from bench.spec import Variant


@pytest.mark.parametrize("text", ["sdm+onnx", "sdm+fused", "dp3+onnx@nfe=1", "dp3@nfe=1", "dp3+compile@nfe=1:t=90"])
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


def test_cuda_graphs_are_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="CUDA graphs need a GPU"):
        check_runtime(GRAPH)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(UserError, match="choose --device cuda"):
        check_runtime(GRAPH, "cpu")


def test_onnx_runs_on_the_cpu_alone() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with pytest.raises(UserError, match="runs on the CPU, not on cuda"):
        check_runtime(ONNX, "cuda")


def test_fused_runs_on_the_cpu_alone_and_names_its_compiler() -> None:
    check_runtime(FUSED, "cpu")
    with pytest.raises(UserError, match="'fused' runs on the CPU, not on cuda"):
        check_runtime(FUSED, "cuda")
    assert list(versions_of(FUSED)) == ["numba"]
