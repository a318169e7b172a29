"""`bench new`: a package of one's own with a small method or task that works, to be changed from there."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from bench import registry
from bench.artifacts import write_atomically
from bench.interfaces import UserError

_FILES = {"pyproject.toml": "pyproject.toml", "module.py": "$module.py", "test_module.py": "test_$module.py",
          "README.md": "README.md"}  # fmt: skip
_WORD = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
_FORMS = {"method": (_WORD, "'my-policy'"), "task": (f"{_WORD}/{_WORD}", "'toy/reach'")}


def write_skeleton(kind: str, name: str, out: Path) -> list[Path]:
    """Write the package of a new method or task into a folder of its own below ``out``.

    Args:
        kind: ``method`` or ``task``.
        name: of the method, or id of the task, ``suite/name``.

    Returns:
        the files.

    Raises:
        UserError: the name is taken or ill-formed, or the folder exists; nothing was written.
    """
    form, example = _FORMS[kind]
    if not re.fullmatch(form, name):
        raise UserError(f"{kind} '{name}': write small letters, digits and dashes, as in {example}")
    taken = registry.methods().names() if kind == "method" else list(registry.tasks().specs())
    if name in taken:
        raise UserError(f"{kind} '{name}' exists already: choose another name")
    dashed = name.replace("/", "-")
    folder = out / f"bench-{dashed}"
    if folder.exists():
        raise UserError(f"{folder}: exists already; remove it, or choose another name or --out")
    templates = files("bench").joinpath("templates", kind)
    class_ = "".join(map(str.capitalize, name.rpartition("/")[2].split("-")))
    if re.search(rf"\b{class_}\b", templates.joinpath("module.py.in").read_text(encoding="utf-8")):
        class_ += kind.capitalize()  # `net` would redefine the template's own `Net`, `batch` hide an import
    values = {
        "name": name, "dashed": dashed, "module": f"bench_{dashed.replace('-', '_')}", "suite": name.partition("/")[0],
        "class_": class_,
    }  # fmt: skip
    written = []
    for source, target in _FILES.items():
        text = Template(templates.joinpath(f"{source}.in").read_text(encoding="utf-8")).substitute(values)
        path = folder / Template(target).substitute(values)
        write_atomically(path, text.encode())
        written.append(path)
    return written
