"""Other ways to run the networks of a method than PyTorch's eager mode: entries of their own, such as ``sdm+onnx``.

A runtime replaces the modules that a method names in ``parts`` (pure functions of tensors); what lies between them, the
sampler's arithmetic, stays as it is, but for ``fused``, which has whole samplers too. Results agree to rounding, so
such an entry has success figures of its own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil

from bench.interfaces import UserError, unknown

EAGER, FUSED, COMPILE, ONNX, GRAPH = "eager", "fused", "compile", "onnx", "graph"
RUNTIMES = (EAGER, FUSED, COMPILE, ONNX, GRAPH)
_COMPILERS = ("g++", "clang++", "c++")


def check_runtime(runtime: str, device: str | None = None) -> None:
    """Raise `UserError` for a runtime that does not exist, is not installed or does not know ``device``."""
    if runtime not in RUNTIMES:
        raise unknown("runtime", runtime, RUNTIMES)
    if reason := unavailable(runtime):
        raise UserError(f"runtime '{runtime}': {reason}")
    if runtime in (FUSED, ONNX) and device not in (None, "cpu"):
        raise UserError(f"runtime '{runtime}' runs on the CPU, not on {device}; choose --device cpu or '{COMPILE}'")
    if runtime == GRAPH and device == "cpu":
        raise UserError(f"runtime '{GRAPH}' runs on a GPU: choose --device cuda or the runtime '{FUSED}'")


def unavailable(runtime: str) -> str | None:
    """Why a runtime cannot be used here and how to get it, or None."""
    if runtime == ONNX:
        lacking = [name for name in ("onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
        return f"{' and '.join(lacking)} missing: pip install 'visuomotor-bench[onnx]'" if lacking else None
    if runtime == COMPILE and not any(map(shutil.which, _COMPILERS)):
        return f"torch.compile needs a C++ compiler ({', '.join(_COMPILERS)}); the runtime '{FUSED}' needs none"
    if runtime == GRAPH and not _has_gpu():
        return f"CUDA graphs need a GPU that torch can use; on the CPU choose '{FUSED}'"
    return None


def versions_of(runtime: str) -> dict[str, str]:
    """Versions of the packages that run the networks, beside PyTorch."""
    package = {FUSED: "numba", ONNX: "onnxruntime"}.get(runtime)
    return {package: importlib.metadata.version(package)} if package else {}


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
