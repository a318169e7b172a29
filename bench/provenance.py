"""Where the code of a run came from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def git_state() -> dict[str, str | bool | None]:
    """Revision of the project's checkout, whether it was changed, and a hash of the change; all None outside git."""
    folder = Path(__file__).parent
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return {"revision": None, "dirty": None, "diff_sha256": None}
    diff = _git(folder, "diff", "HEAD") or ""
    return {
        "revision": revision,
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff.encode()).hexdigest() if diff else None,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
