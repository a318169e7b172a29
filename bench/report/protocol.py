"""Which number of a run answers a published figure, and what stands between the two: the protocol, looked at first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from bench.latency_figures import notes
from bench.published import Figure, Published, Source
from bench.report.measures import Measures, group_latency, success
from bench.report.selection import TOP, Trainings, trainings
from bench.stats import Estimate
from bench.store import Run

OF_A_PORT = "of a suite that is a port here"
"""Kind of the bar before figures of such a suite."""


class Bar(NamedTuple):
    """Why a figure cannot be compared."""

    kind: str  # for counting
    text: str


@dataclass(frozen=True)
class Match:
    """What a run has for one figure."""

    variant: str | None = None
    here: Estimate | None = None  # None where anything bars the comparison
    published: float = 0.0  # in the unit of ``here``; of a parameter count, the head's part
    bars: Sequence[Bar] = ()
    limits: Sequence[str] = ()  # what leaves a comparison possible but makes it directional


@dataclass(frozen=True)
class Case:
    """A published figure before a run."""

    source: Source
    figure: Figure
    published: Published
    run: Run
    measures: Measures

    @property
    def suite(self) -> str:
        """The suite that the figure is of; not one of ours where it is of several."""
        return (self.figure.tasks or self.figure.suite).partition("/")[0].partition(":")[0]

    def first(self, frame: pd.DataFrame) -> str | None:
        """The variant closest to the publication that ``frame`` has."""
        return next((v for v in self.figure.variants if v in set(frame["variant"])), None)

    def of_tasks(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of the figure's tasks: an id, a suite, or ``suite:difficulty``."""
        tasks = self.figure.tasks
        if tasks is None:
            return frame.iloc[:0]
        if "/" in tasks:
            return frame[frame["task"] == tasks]
        suite, _, difficulty = tasks.partition(":")
        return frame[(frame["suite"] == suite) & (not difficulty or frame["difficulty"] == difficulty)]

    def not_run(self, how: str = "run") -> Bar:
        """No variant that the figure can be about is there."""
        return Bar("method not run", f"{' or '.join(self.figure.variants)} was not {how}")


def match(case: Case) -> Match:
    """Find the run's number for a figure, or every reason why there is none; the most general reason comes first."""
    figure = case.figure
    if case.suite in case.published.ports:  # whatever else there is to say
        return Match(bars=[Bar(OF_A_PORT, case.published.ports[case.suite])])
    if figure.barred:
        return Match(bars=[Bar("comparable with no run", figure.barred)])
    if not figure.variants:
        kind = "of methods that are not part of this project"
        return Match(bars=[Bar(kind, f"{figure.method} is not part of this project")])
    if figure.metric.startswith("success"):
        return _success(case)
    if figure.metric.startswith("speedup"):
        return _speedup(case)
    return {"inference_time": _time, "parameters": _parameters}[figure.metric](case)


def _success(case: Case) -> Match:
    source, cells, spec = case.source, case.of_tasks(case.measures.cells), case.run.manifest["spec"]
    variant = case.first(cells)
    own = cells[cells["variant"] == variant]
    curves = trainings(case.run.curves, own) if source.selection == "paper-top5" else None
    bars = [*_sizes(case), *_scenes(case)]
    if variant and source.selection == "paper-top5":
        bars += _other_selection(source, curves, variant)
    bars += _not_all_run(case, own)
    if bars or variant is None:
        return Match(variant, bars=bars)
    estimate = curves.best(TOP) if curves else success(own)
    assert estimate is not None
    limits = list(_limits(case, variant))
    if source.training_seeds != len(spec["seeds"]):
        limits.append(f"{source.training_seeds or 'unknown'} training seeds there, {len(spec['seeds'])} here")
    if source.selection is None:
        limits.append("which evaluation it reports is not stated: the final one is taken")
    elif source.selection == "final" and source.episodes != spec["episodes"]:
        limits.append(f"{source.episodes or 'unknown'} episodes there, {spec['episodes']} here")
    return Match(variant, Estimate(*(100 * x for x in estimate)), case.figure.value, limits=limits)


def _time(case: Case) -> Match:
    source, timed = case.source, case.measures.latency
    timed = timed[timed["suite"] == case.suite]
    variant = case.first(timed)
    row = _row(timed, variant)
    bars = list(_sizes(case))
    if source.hardware is None:
        bars.append(Bar("hardware not stated", "its hardware is not stated"))
    elif row and source.hardware != (machine := _processor(row)):
        bars.append(Bar("other hardware", f"{source.hardware} there, {machine} here"))
    if "+" in case.suite:
        bars.append(Bar("an average over suites", "an average over suites, whose networks have other shapes"))
    elif variant is None:
        bars.append(case.not_run(f"timed on {case.suite}"))
    if bars or row is None:
        return Match(variant, bars=bars)
    clock = row["t_policy"]
    low, high = (clock["p50"] if end is None else end for end in clock["p50_ci"])
    limits = [*_limits(case, variant), *([f"{source.clock} there"] if source.clock else []), *notes(row)]
    return Match(variant, Estimate(clock["p50"], low, high), case.figure.value, limits=limits)


def _speedup(case: Case) -> Match:
    timed = case.measures.latency
    timed = timed[timed["reference"] == case.figure.reference]
    variant = case.first(timed)
    found = group_latency(timed[timed["variant"] == variant])
    speedup = found.speedup.get("t_policy") if found else None
    bars = list(_sizes(case))
    if speedup is None:
        bars.append(case.not_run(f"timed against {case.figure.reference}"))
    if bars or found is None:
        return Match(variant, bars=bars)
    limits = [
        f"{case.source.hardware or 'hardware not stated'} there",
        f"timed on {found.tasks} task{'s' * (found.tasks != 1)} here",
        *found.notes,
        *(
            f"an average that holds {suite}, a port here"
            for suite in case.source.engines
            if suite in case.published.ports
        ),
    ]
    return Match(variant, speedup, case.figure.value, limits=[*_limits(case, variant), *limits])


def _parameters(case: Case) -> Match:
    timed = case.of_tasks(case.measures.latency.assign(difficulty=None))
    variant = case.first(timed)
    row = _row(timed, variant)
    bars = [*_sizes(case), *([] if row else [case.not_run(f"timed on {case.figure.tasks}")])]
    if bars or row is None:
        return Match(variant, bars=bars)
    head, theirs = float(row["params_network"]), case.figure.value - (case.figure.encoder or 0)
    return Match(variant, Estimate(head, head, head), theirs, limits=[f"heads compared, {theirs:,.0f} there"])


def _sizes(case: Case) -> Iterator[Bar]:
    sizes, profile = case.source.sizes, case.run.manifest["spec"]["profile"]
    if sizes is None:
        yield Bar("network sizes not stated", "its network sizes are not stated")
    elif sizes != profile:
        yield Bar("other network sizes", f"profile {profile}, published sizes are those of {sizes}")


def _scenes(case: Case) -> Iterator[Bar]:
    """Simulator and rule of success, of the suite if it is one that was run."""
    source, suite, episodes = case.source, case.suite, case.run.episodes
    ours = "; ".join(sorted(set(episodes.loc[episodes["suite"] == suite, "engine"])))
    if ours and suite not in source.engines:
        yield Bar("simulator not stated", "its simulator is not stated")
    elif ours and source.engines[suite] != ours:
        yield Bar("another simulator", f"{source.engines[suite]} there, {ours} here")
    if source.success.get(suite) == "end":
        yield Bar("another rule of success", "success at the end of an episode there, in any step here")


def _other_selection(source: Source, curves: Trainings | None, variant: str) -> Iterator[Bar]:
    theirs = f"{source.evaluations} × {source.episodes}"
    if curves is None:
        yield Bar("another selection rule", f"best five of {theirs} there, {variant} has no learning curve here")
    elif curves.evaluations != theirs:
        yield Bar("another selection rule", f"best five of {theirs} there, evaluations are {curves.evaluations} here")


def _not_all_run(case: Case, own: pd.DataFrame) -> Iterator[Bar]:
    tasks, figure = set(own["task"]), case.figure
    if figure.tasks is None:
        which = f"its {figure.n_tasks} tasks" if figure.n_tasks else "its tasks"
        yield Bar("tasks not named", f"{which} are not named")
    elif not tasks:
        yield case.not_run(f"run on {figure.tasks}")
    elif "/" not in figure.tasks and len(tasks) != figure.n_tasks:
        yield Bar("tasks not run", f"{len(tasks)} of {figure.n_tasks} tasks were run")
    else:
        cells = {(t, v) for t, v, _, what in case.measures.missing if "real time" not in what}
        if unfinished := cells & set(zip(own["task"], own["variant"], strict=True)):
            yield Bar("tasks not run", f"cells of {len(unfinished)} tasks are unfinished")


def _limits(case: Case, variant: str | None) -> Iterator[str]:
    if variant != case.figure.variants[0]:
        yield f"{variant} is not {case.figure.variants[0]}, the form that was published"
    if case.figure.trust != "primary":
        yield f"{case.figure.trust} source"


def _row(timed: pd.DataFrame, variant: str | None) -> Mapping[str, Any] | None:
    rows: Any = timed[timed["variant"] == variant].to_dict("records")
    return rows[0] if rows else None


def _processor(row: Mapping[str, Any]) -> str:
    hardware = row["hardware"]
    return str(hardware.get("cpu") if row["device"] == "cpu" else next(iter(hardware.get("gpus") or []), None))
