"""Where the code of a run came from, and what was installed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
from pathlib import Path

_CODE = ("bench", "methods", "envs", "pyproject.toml")
"""Where a file that git does not know yet would change results; elsewhere it may be anything."""
_RECORDS = ("results", "reports")
"""Written by runs themselves: one that goes on from committed records has not changed its code."""


def git_state(root: Path = Path(__file__).parent.parent) -> dict[str, str | bool | None]:
    """Revision of the project's checkout, whether it was changed, and a hash of the change; all None outside of it.

    A repository around ``root`` is another project's, into which this one was installed.

    The hash is of the difference to the revision, records and reports left out, and of the source files that git does
    not know.
    """
    top, revision = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "HEAD")
    if top is None or revision is None or Path(os.fsdecode(top.rstrip(b"\r\n"))).resolve() != root.resolve():
        return {"revision": None, "dirty": None, "diff_sha256": None}
    records = [f":(exclude){folder}" for folder in _RECORDS]
    change = _git(root, "diff", "--binary", "HEAD", "--", ".", *records) or b""
    for name in sorted(
        (_git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *_CODE) or b"").split(b"\0")
    ):
        if name and (path := root / name.decode(errors="surrogateescape")).is_file():
            change += b"\0" + name + b"\0" + hashlib.sha256(path.read_bytes()).digest()
    return {
        "revision": revision.decode().strip(),
        "dirty": bool(change),
        "diff_sha256": hashlib.sha256(change).hexdigest() if change else None,
    }


def packages() -> dict[str, str]:
    """Name and version of every installed package."""
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return dict(sorted(found.items()))


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
