"""The folder of a site: what an earlier build left there goes, what the site did not write stays."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.interfaces import UserError

LIST = "site-files.sha256"
"""Lists the files of the site with their hashes, as ``sha256sum --check`` reads them."""
_LINE = re.compile(r"([0-9a-f]{64})  ((?:[a-z]+/)?[a-z0-9][a-z0-9_.-]*)")  # no name leads out of the folder


def write_folder(out: Path, files: Mapping[str, str]) -> None:
    """Write ``files``, text by relative name, and delete those of an earlier build that are no part of the site now.

    A file is deleted only if that build listed it and nobody has changed it since.

    Raises:
        UserError: if ``out`` cannot be written.
    """
    contents = {name: text.encode() for name, text in files.items()}
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(contents.items())]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, digest in _listed(out).items():
            if name not in files:
                _delete(out / name, digest, out)
        for name, content in {LIST: "".join(lines).encode(), **contents}.items():
            path = out / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise UserError(f"{out}: cannot write the site there ({error.strerror}); choose another --reports") from None


def _listed(out: Path) -> dict[str, str]:
    """Hash by name; none where no site was, or something else bears the name of its list."""
    path = out / LIST
    if not path.is_file():
        return {}
    found = map(_LINE.fullmatch, path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {match[2]: match[1] for match in found if match}


def _delete(path: Path, digest: str, out: Path) -> None:
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return
    if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
        path.unlink()
        if path.parent != out:
            with suppress(OSError):  # holds other files
                path.parent.rmdir()
