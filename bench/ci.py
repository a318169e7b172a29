"""The regression check of a code change: the base run again, compared with what it was."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench import app
from bench.hardware import require_device
from bench.interfaces import UserError
from bench.spec import Variant, make_spec
from bench.store import iterate_rows, read_manifest


def run_again(base: Path, folder: Path, console: Console) -> Path:
    """Run what ``base`` ran, without latency and in this process, and return the new run's folder.

    Args:
        folder: for records and artefacts; nothing of the base run's cache is used.

    Cells that fail are printed with their tracebacks: the folder may be gone before anybody looks there.

    Raises:
        UserError: if there is no run at ``base``, its spec is not valid any more, its device is not here, or the run
            was stopped.
    """
    manifest = read_manifest(base)
    require_device(manifest["device"], base)
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
        dry_run=False, latency=False, temporary=True,
    )  # fmt: skip
    if app.run(spec, settings, console) == app.INTERRUPTED:
        raise UserError("stopped before there was anything to compare")
    for row in iterate_rows(settings.out / "errors.jsonl"):
        what = " ".join(filter(None, (row["unit"], row["method"])))
        console.print(f"{what} on {row['task']}, seed {row['training_seed']}:", markup=False, highlight=False)
        console.print(row["traceback"], style="red", markup=False, highlight=False)
    return settings.out
