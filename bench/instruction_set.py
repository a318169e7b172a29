"""One instruction set for all arithmetic, so that records do not depend on which x86-64 processor made them.

The kernels of PyTorch, Numba and NumPy take the widest vectors that a processor has, and round otherwise with each
width. AVX2, which all processors of the last ten years have, costs next to nothing at these sizes
(``docs/reliability.md``). The libraries read their environment when they are loaded or compute for the first time:
`pin` before that.
"""

from __future__ import annotations

import os
import platform
from functools import cache

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "NUMBA_CPU_NAME": "znver3",  # LLVM orders instructions by processor, too: any one will do, but the same everywhere
    "NUMBA_CPU_FEATURES": "-avx512f",  # beyond those of that processor; unset, those of this one would be added
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}


@cache
def environment() -> dict[str, str]:
    """The variables of a process that is to use the instruction set; none where the processor does not have it."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return {}
    from llvmlite import binding  # which Numba compiles with

    features = binding.get_host_cpu_features()
    return dict(AVX2) if features.get("avx2") and features.get("fma") else {}


def pin() -> None:
    """Have this process and those it starts use the instruction set, but for variables that are set already."""
    for name, value in environment().items():
        os.environ.setdefault(name, value)
