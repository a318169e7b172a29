"""A fingerprint of the machine: figures of different machines are never compared silently."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from llvmlite import binding

from bench.interfaces import UserError


def fingerprint() -> dict[str, Any]:
    """Processor, memory, operating system, Python, torch and what it computes with, GPUs."""
    return {
        "cpu": _cpu_name(),
        "cpu_kind": binding.get_host_cpu_name(),  # of LLVM; generations of one maker may share their name
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "gpu_driver": _driver(),
    }


def require_device(device: str, run: Path) -> None:
    """Before a run is measured again: refuse a machine without what it ran on. Raises `UserError`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{run}: made on a GPU, and torch finds none here; 'bench doctor' says more")


def busy_cores(seconds: float = 0.5) -> float:
    """How many cores are at work, measured over some time; this process should be idle meanwhile."""
    return psutil.cpu_percent(interval=seconds) / 100 * (os.cpu_count() or 1)


def load_average() -> float | None:
    """Processes that ran or waited in the last minute; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def gpu_state(device: torch.device) -> dict[str, float | None] | None:
    """Clock, temperature, power, use and throttling of a GPU, each None where NVML does not tell; None on CPUs.

    NVML comes with the optional package ``nvidia-ml-py`` and is reached through torch. ``throttle_reasons`` is NVML's
    bit mask.
    """
    if device.type != "cuda":
        return None
    return {
        "sm_clock_mhz": _reading(lambda: torch.cuda.clock_rate(device)),
        "temperature_c": _reading(lambda: torch.cuda.temperature(device)),
        "power_w": _reading(lambda: torch.cuda.power_draw(device) / 1000),
        "utilisation": _reading(lambda: torch.cuda.utilization(device) / 100),
        "power_limit_w": _reading(lambda: _nvml("nvmlDeviceGetEnforcedPowerLimit", device) / 1000),
        "throttle_reasons": _reading(lambda: _nvml("nvmlDeviceGetCurrentClocksThrottleReasons", device)),
    }


def _reading(read: Callable[[], float]) -> float | None:
    try:
        return read()
    except Exception:  # NVML is a courtesy: whatever it lacks or refuses, timing goes on
        return None


def _nvml(function: str, device: torch.device) -> float:
    """A reading that torch does not offer; the handle is torch's, which counts only the GPUs that are visible."""
    value: float = getattr(importlib.import_module("pynvml"), function)(torch.cuda._get_pynvml_handler(device))
    return value


def _turbo() -> str | None:
    """``on``, ``off``, or None where the system does not say."""
    for path, off in (("intel_pstate/no_turbo", "1"), ("cpufreq/boost", "0")):
        if (state := _read(f"/sys/devices/system/cpu/{path}")) is not None:
            return "off" if state == off else "on"
    return None


def _driver() -> str | None:
    """First line that the NVIDIA kernel module says about itself."""
    text = _read("/proc/driver/nvidia/version")
    return text.splitlines()[0].removeprefix("NVRM version:").strip() if text else None


def _cpu_name() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None
