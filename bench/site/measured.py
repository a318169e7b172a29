"""How it was measured: what a reader needs to judge the numbers, and to make them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.report.page import imported, pairs
from bench.site.context import Context, facts
from bench.site.html import Html, el, join


def measured(context: Context) -> Html:
    """Protocol, hardware, versions and the command."""
    run, timed = context.run, context.measures.latency
    manifest, spec = run.manifest, run.manifest["spec"]
    git = manifest.get("git") or {}
    code = git.get("revision") or "not in a checkout"
    protocol = [
        el("li", f"Success counts if the task reports it in any control step. {spec['episodes']} test episodes per "
           "task, method and training seed, from the same initial states for all methods. Training seeds: "
           f"{', '.join(map(str, spec['seeds']))}. Checkpoints: the last weights, none selected."),
        [el("li", line) for line in imported(spec)],
        el("li", "Episodes that ended in an error count as failures."),
        el("li", "Learning curves are of selection episodes, which share no initial state with test episodes."),
        el("li", _latency(timed)),
    ]  # fmt: skip
    return join(
        el("ul", protocol),
        facts({
            "profile": spec["profile"], "device": manifest.get("device"),
            "engines": _several(run.episodes["engine"]), "assets": _several(run.episodes["assets"]),
            "versions": pairs(manifest.get("versions")), "hardware": pairs(manifest.get("hardware")),
            "code": f"{code}, with uncommitted changes" if git.get("dirty") else code,
            "started": manifest.get("created"),
            "wall time": f"{manifest['wall_seconds'] / 60:.1f} min" if manifest.get("wall_seconds") else None,
        }),
        el("h3", "Command"),
        el("pre", el("code", str(manifest.get("command") or "not recorded")), tabindex=0, aria_label="Command"),
    )  # fmt: skip


def _latency(timed: Any) -> str:
    if timed.empty:
        return "Latency was not measured."
    row, tasks = timed.iloc[0], sorted(set(timed["task"]))
    where = ", ".join(tasks) if len(tasks) <= 3 else f"{len(tasks)} tasks"
    return (
        f"Latency: on {where}; batch 1, device {row['device']}, mode {row['mode']}; {timed['n'].min()} or more calls "
        "each on recorded observations, after warm-up, in a process of its own, in interleaved blocks. e2e goes from "
        "the raw scan to the action, policy is encoder and sampler."
    )


def _several(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values}))
