"""The regression check of a code change: the base run again, compared with what it was."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench import app
from bench.interfaces import UserError
from bench.spec import Variant, make_spec
from bench.store import read_manifest


def run_again(base: Path, folder: Path, console: Console) -> Path:
    """Run what ``base`` ran, without latency and in this process, and return the new run's folder.

    Args:
        folder: for records and artefacts; nothing of the base run's cache is used.

    Raises:
        UserError: if there is no run at ``base``, its spec is not valid any more, or the run was stopped.
    """
    manifest = read_manifest(base)
    asked = manifest["spec"]
    if asked.get("demos"):
        raise UserError(f"{base}: made with imported demos; run it again with --demos, and compare the two folders")
    if any(Variant.parse(text).weights for text in asked["methods"]):
        raise UserError(f"{base}: made with imported weights; run it again with these, and compare the two folders")
    spec = make_spec(
        asked["methods"], asked["tasks"], asked["seeds"], asked["profile"], asked["episodes"], asked["base_seed"]
    )
    settings = app.Settings(
        folder / "run", folder / "cache", folder / "reports", workers=0, ray_address=None, device=manifest["device"],
        dry_run=False, latency=False,
    )  # fmt: skip
    if app.run(spec, settings, console) == app.INTERRUPTED:
        raise UserError("stopped before there was anything to compare")
    return settings.out
