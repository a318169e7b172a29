"""What is read off the machine, and what happens where it does not tell."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from bench.hardware import fingerprint, gpu_state, load_average

GPU = torch.device("cuda", 0)


def test_a_cpu_has_no_gpu_state() -> None:
    assert gpu_state(torch.device("cpu")) is None
    assert fingerprint()["cores"] >= 1
    assert (load_average() or 0.0) >= 0.0


def test_a_gpu_without_nvml_has_no_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    for name in ("clock_rate", "temperature", "power_draw", "utilization", "_get_pynvml_handler"):
        monkeypatch.setattr(torch.cuda, name, missing)
    assert set((gpu_state(GPU) or {}).values()) == {None}


def test_readings_are_in_watts_and_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("clock_rate", 1980), ("temperature", 41), ("power_draw", 71500), ("utilization", 30)):
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(torch.cuda, "_get_pynvml_handler", lambda _: "handle")
    nvml = SimpleNamespace(
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 700000, nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: 4
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpu_state(GPU) == {
        "sm_clock_mhz": 1980, "temperature_c": 41, "power_w": 71.5, "utilisation": 0.3, "power_limit_w": 700.0,
        "throttle_reasons": 4,
    }  # fmt: skip
