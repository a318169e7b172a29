"""The only way from the harness to methods and tasks: by name, at run time.

`bench` never imports `methods` or `envs` in its own source (a linter holds this). Both packages own their registries,
built-in entries and third-party entry points alike; this module finds the packages and describes what it needs of them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from bench.interfaces import Method, MethodSpec, Task, TaskSpec

if TYPE_CHECKING:  # names and specs need no PyTorch
    from torch import Generator, Tensor, nn


class MethodRegistry(Protocol):
    """What the package ``methods`` offers."""

    def names(self) -> list[str]:
        """All method names, built in and installed."""

    def baselines(self) -> list[str]:
        """Variants that a run with baselines measures beside those it is asked for."""

    def make(
        self,
        name: str,
        task_spec: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str = "cpu",
    ) -> Method:
        """Build a method; raises `UserError` for an unknown name, profile or option."""

    def fused_forward(self, module: nn.Module) -> Callable[..., Tensor] | None:
        """The forward of a module of a method as one call of compiled code, or None."""

    def fused_sampler(self, method: Method) -> Callable[[Tensor, Generator], Tensor] | None:
        """``method.sample`` as one call of compiled code, or None."""


class TaskRegistry(Protocol):
    """What the package ``envs`` offers."""

    def specs(self) -> dict[str, TaskSpec]:
        """All tasks by id, whether their suite is installed or not."""

    def make(self, task_id: str) -> Task:
        """Build a task; raises `UserError` for an unknown id or a suite that is not installed."""

    def unavailable(self, suite: str) -> str | None:
        """Why the tasks of a suite cannot run and how to get it, or None."""

    def select(self, patterns: Sequence[str]) -> list[str]:
        """Task ids for ids, globs, suites, difficulty groups, ``quick`` and ``all``."""


def methods() -> MethodRegistry:
    """The method registry."""
    return cast(MethodRegistry, importlib.import_module("methods"))


def tasks() -> TaskRegistry:
    """The task registry."""
    return cast(TaskRegistry, importlib.import_module("envs"))


def describe(name: str, task: TaskSpec, profile: str, options: Mapping[str, str]) -> tuple[MethodSpec, str]:
    """The spec of a method and the version of its code. It may depend on the sizes of a task, not on its name."""
    return _describe(name, replace(task, id="", difficulty=None), profile, tuple(sorted(options.items())))


@cache
def _describe(name: str, task: TaskSpec, profile: str, options: tuple[tuple[str, str], ...]) -> tuple[MethodSpec, str]:
    method = methods().make(name, task, profile, dict(options))
    return method.spec, code_version(type(method).__module__)


@cache
def code_version(module_name: str) -> str:
    """Hash of the source of a module and of what it imports from its own top-level package and from ``methods``.

    Part of the content keys: editing a method makes its old checkpoints stale and nobody else's. Comments, docstrings
    and layout do not count.
    """
    package = module_name.partition(".")[0]
    roots = {package, "methods"}  # a plugin may be built from the networks of the methods here
    pending, seen = [module_name], {}
    while pending:
        name = pending.pop()
        module = importlib.import_module(name)
        if name in seen or (source := inspect.getsourcefile(module)) is None:
            continue
        tree = ast.parse(Path(source).read_text(encoding="utf-8"))
        seen[name] = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
        for node in ast.walk(tree):
            found = _imported(node, module.__package__ or "")
            pending += [n for n in found if n.partition(".")[0] in roots and importlib.util.find_spec(n)]
    # A package's __init__ is a registry: listing one more method there must not make the others stale.
    listing = sorted((name, digest) for name, digest in seen.items() if name == module_name or name not in roots)
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:12]


def _imported(node: ast.AST, package: str) -> list[str]:
    """Absolute names of modules that an import statement in a module of ``package`` may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        return [base, *(m for a in node.names if _is_module(m := f"{base}.{a.name}"))]
    return []


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body:
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return tree
