"""A timer in a process of its own: real tasks and methods, as that process knows no fakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.latency_process import RemoteTimer

ROW = {
    "key": "0" * 20, "suite": "metaworld", "task": "metaworld/drawer-open", "profile": "smoke", "training_seed": 0,
    "device": "cpu", "mode": "cpu1", "method": "sdm", "variant": "sdm",
}  # fmt: skip


def test_it_does_as_told_and_ends() -> None:
    timer = RemoteTimer({"row": ROW, "options": {}, "runtime": "eager", "checkpoint": None, "base_seed": 0})
    try:
        timer.wait_until_ready()
        assert timer.warm_up(0.05) > 0
        timer.run_block(3)
        timer.run_block(3)
        row, blocks = timer.result()
        assert (row["n"], row["nfe"], row["threads"], row["variant"]) == (6, 1, 1, "sdm")
        assert [block.shape for block in blocks] == [(3, 4), (3, 4)]
        assert row["cold_ms"] > row["t_e2e"]["p50"]
    finally:
        timer.close()
    assert timer._process.returncode is not None


def test_what_it_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"no tensors")
    entry = {"row": ROW, "options": {}, "runtime": "eager", "checkpoint": str(tmp_path / "weights"), "base_seed": 0}
    with pytest.raises(UserError, match="not readable as safetensors") as caught:
        RemoteTimer(entry).wait_until_ready()
    assert "\n" not in str(caught.value)


def test_a_fault_brings_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'options'"):
        RemoteTimer({"row": ROW}).wait_until_ready()


def test_peak_memory_is_of_the_process_alone() -> None:
    here = bytearray(2**30)
    here[:: 2**12] = b"1" * 2**18  # touched: the peak of this process is more than 1 GiB from now on
    code = "from bench.latency_timer import _peak_rss_mb; print(_peak_rss_mb())"
    peak = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 20 < float(peak) < 900
