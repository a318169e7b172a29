"""What several commands share: folders, devices, comma lists."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path

from bench import registry
from bench.interfaces import UserError

RESULTS, REPORTS = Path("results"), Path("reports")
CACHE = RESULTS / "cache"


class Device(StrEnum):
    """Where networks are trained and run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def items(text: str) -> list[str]:
    """The parts of a comma list."""
    return [item for item in map(str.strip, text.split(",")) if item]


def numbers(text: str) -> list[int]:
    """The value of ``--seeds``. Raises `UserError` for what is no number."""
    try:
        return [int(item) for item in items(text)]
    except ValueError:
        raise UserError(f"--seeds '{text}': write whole numbers, as in 0,1,2") from None


def cache_option(cache: Path) -> str:
    """What a ``bench run`` without ``--out`` must be given, after a space, to read this cache."""
    return "" if cache == CACHE else f" --cache {shlex.quote(str(cache))}"


def missing_suites() -> dict[str, str]:
    """Suites that cannot run here, and why."""
    envs = registry.tasks()
    reasons = {suite: envs.unavailable(suite) for suite in {t.suite for t in envs.specs().values()}}
    return {suite: reason for suite, reason in sorted(reasons.items()) if reason}
