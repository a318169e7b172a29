"""The methods by name: robot policies with a way to train them.

A new method is one file with a callable ``(task, profile, options, device) -> bench.interfaces.Method`` and one line
below, or an entry point of the group ``bench.methods`` in another distribution.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

import torch
from torch import Tensor, nn

from bench.interfaces import Method, TaskSpec, UserError, unknown

METHODS = {
    "bc": "methods.bc:Bc",
    "dp": "methods.dp:Dp",
    "dp3": "methods.dp3:Dp3",
    "flowpolicy": "methods.flowpolicy:FlowPolicy",
    "flowpolicy-released": "methods.flowpolicy:released",
    "manicm": "methods.manicm:ManiCm",
    "manicm-released": "methods.manicm:released",
    "sdm": "methods.sdm:Sdm",
    "sdm-released": "methods.sdm:released",
    "sdm2d": "methods.sdm2d:Sdm2d",
    "simple_dp3": "methods.simple_dp3:SimpleDp3",
}
BASELINES = ("dp3@nfe=1", "dp3@nfe=2", "dp3@nfe=4", "dp3@nfe=10", "manicm@nfe=1", "manicm@nfe=4")
"""Variants that a claim of speed has to be held against: the teacher and a student, with fewer and more steps."""
ENTRY_POINTS = "bench.methods"


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS) if entry.name not in METHODS}


def names() -> list[str]:
    """All registered methods, those of other distributions included (these are not imported)."""
    return sorted({*METHODS, *_plugins()})


def baselines() -> list[str]:
    """Variants that stand beside the methods of a run that asks for baselines."""
    return list(BASELINES)


def make(
    name: str,
    task: TaskSpec,
    profile: str = "lite",
    options: Mapping[str, str] | None = None,
    device: str | torch.device = "cpu",
) -> Method:
    """Build a method for a task.

    Args:
        name: one of `names`.
        task: gives the sizes of observation and action.
        profile: "smoke", "lite" or "paper".
        options: inference options as text, e.g. ``{"nfe": "1"}``.
        device: where its tensors live.

    Raises:
        UserError: unknown method, profile, option or value, or a plugin that cannot be imported.
    """
    return _factory(name)(task, profile, options or {}, device)


def fused_forward(module: nn.Module) -> Callable[..., Tensor] | None:
    """The forward of ``module``, whose weights are loaded, as one call of compiled code; None where there is none."""
    from methods.nets.fused import FusedUnet, fusable
    from methods.nets.unet import ConditionalUnet1d

    return FusedUnet(module) if isinstance(module, ConditionalUnet1d) and fusable(module) else None


def fused_sampler(method: Method) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """``method.sample``, its weights loaded, as one call of compiled code; None where there is no such form of it."""
    from methods import fused

    return fused.fused_sampler(method)


def _factory(name: str) -> Callable[..., Method]:
    if name in METHODS:
        module, attribute = METHODS[name].split(":")
        factory: Callable[..., Method] = getattr(importlib.import_module(module), attribute)
        return factory
    plugins = _plugins()
    if name not in plugins:
        raise unknown("method", name, [*METHODS, *plugins])
    try:
        loaded: Callable[..., Method] = plugins[name].load()
    except Exception as error:  # a broken plugin must not look like a fault of ours
        raise UserError(f"method '{name}' of the plugin {plugins[name].value} cannot be imported: {error}") from error
    return loaded
