"""Records must not depend on the processor: what is pinned, where, and that libraries follow."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.instruction_set import AVX2, environment, pin

ASK = """
import json
from bench.instruction_set import pin
pin()
import numba, torch
from numba.core.registry import cpu_target
from numpy.lib.introspect import opt_func_info
target = cpu_target.target_context.codegen().magic_tuple()
kernels = {found["current"] for found in opt_func_info(func_name="tanh")["tanh"].values()}
print(json.dumps([torch.backends.cpu.get_cpu_capability(), target[1], target[2], *sorted(kernels)]))
"""


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Pretend to be another processor."""
    environment.cache_clear()
    yield monkeypatch
    environment.cache_clear()


def ask(**variables: str) -> list[str]:
    """What torch, Numba (two) and NumPy (all the others) have kernels for, in a process that has pinned itself."""
    clean = {name: value for name, value in os.environ.items() if name not in AVX2}
    answer: list[str] = json.loads(subprocess.check_output([sys.executable, "-c", ASK], env=clean | variables))
    return answer


@pytest.mark.skipif(not environment(), reason="not an x86-64 processor with AVX2")
def test_libraries_use_avx2_whatever_the_processor_has() -> None:
    torch, *numba = (found := ask())[:3]
    assert [torch, *numba] == ["AVX2", AVX2["NUMBA_CPU_NAME"], AVX2["NUMBA_CPU_FEATURES"]]
    assert found[3:]
    assert not [kernel for kernel in found[3:] if "V4" in kernel or "AVX512" in kernel]


@pytest.mark.skipif(not environment(), reason="not an x86-64 processor with AVX2")
def test_what_the_user_has_set_stays() -> None:
    assert ask(ATEN_CPU_CAPABILITY="default")[0] == "DEFAULT"
    assert ask(NUMBA_CPU_NAME="haswell")[1] == "haswell"


def test_other_processors_are_left_alone(processor: pytest.MonkeyPatch) -> None:
    processor.setattr(platform, "machine", lambda: "arm64")
    for name in AVX2:
        processor.delenv(name, raising=False)
    pin()
    assert not environment()
    assert not set(AVX2) & set(os.environ)


def test_a_processor_without_avx2_is_left_alone(processor: pytest.MonkeyPatch) -> None:
    processor.setattr(platform, "machine", lambda: "AMD64")
    processor.setattr("llvmlite.binding.get_host_cpu_features", lambda: {"sse2": True, "avx2": False})
    assert not environment()
    environment.cache_clear()
    processor.setattr("llvmlite.binding.get_host_cpu_features", lambda: {"avx2": True, "fma": True})
    assert environment() == AVX2
