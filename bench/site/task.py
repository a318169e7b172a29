"""The page of a task: every episode of every method, learning curve, replays, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bench.replay import Replay
from bench.report.measures import best, split, success
from bench.report.table import count
from bench.site import charts
from bench.site.context import Context, facts, scrolling, section, task_file
from bench.site.html import Html, document, el, join, slug
from bench.site.index import curve_figure
from bench.site.leaderboard import success_cell

_EPISODE = [
    "episode", "seed", "state_hash", "variant", "training_seed", "success", "steps", "steps_to_success", "error",
]  # fmt: skip


def task_page(context: Context, task: str, replays: Sequence[Replay]) -> str:
    """The page as text. ``replays`` are those of the task that the site has."""
    own, curves = context.episodes[task], context.curves[task]
    figure = None if curves.empty else curve_figure(context, curves, "success on selection episodes")
    methods = set(curves["method"])
    names = [name for name in context.look if name in methods]
    sections = [
        section("results", "Methods", _results(context, task)),
        section("replay", "Replay", *_replays(replays)),
        section("curves", "Learning curves", charts.legend(names, context.look, context.index, key="method"),
                el("div", figure, class_="panels")) if figure else None,
        section("episodes", "Episodes", *_episodes(context, own)),
        section("errors", "Errors", _errors(own)) if own["error"].notna().any() else None,
    ]  # fmt: skip
    first = own.iloc[0] if len(own) else None
    about = {} if first is None else {
        "difficulty": context.difficulty.get(task), "engine": first["engine"],
        "assets": first["assets"], "profile": first["profile"],
    }  # fmt: skip
    body = join(
        el("header", el("p", el("a", context.name, href="../index.html"), class_="eyebrow"), el("h1", task),
           facts(about), _neighbours(context, task)),
        el("main", sections),
        el("footer", el("p", el("a", "All tasks", href="../index.html#tasks"))),
    )  # fmt: skip
    scripts = ["assets/charts.js", "assets/episodes.js"]
    scripts += [f"replays/{slug(task)}.js", "assets/replay.js"] if replays else []
    return document(f"{task} · {context.name}", body, root="../", scripts=tuple(scripts))


def _results(context: Context, task: str) -> Html:
    marks = best(context.episodes[task])
    episodes, cells = split(context.episodes[task], "variant"), split(context.cells[task], "variant")
    rows = []
    for variant in context.measures.variants:
        mine = episodes[variant]
        if mine.empty:
            continue
        steps = mine.loc[mine["success"], "steps_to_success"]
        estimate = success(cells[variant])
        rows.append(el(
            "tr", el("th", context.label(variant), scope="row"), success_cell(estimate, marks.get(variant), sort=False),
            el("td", f"{int(mine['success'].sum())}/{len(mine)}", class_="number"),
            el("td", f"{steps.median():.0f}" if len(steps) else "–", class_="number"),
            el("td", count(int(mine["error"].count())), class_="number"),
            style=f"--c:var(--m{context.index[context.look[variant].colour]})",
        ))  # fmt: skip
    if not rows:
        return el("p", "Not run.")
    titles = ("method", "success %", "episodes", "median steps to success", "errors")
    head = el("tr", [el("th", t, scope="col", class_="number" if i > 1 else None) for i, t in enumerate(titles)])
    table = el("table", el("caption", "Results on this task", class_="quiet"), el("thead", head), el("tbody", rows))
    return scrolling(table, "Results on this task")


def _episodes(context: Context, episodes: pd.DataFrame) -> Iterable[Html]:
    if episodes.empty:
        return
    ran = set(episodes["variant"])
    shown = [variant for variant in context.measures.variants if variant in ran]
    head = [el("th", t, scope="col") for t in ("episode", "seed", "initial state")]
    head += [el("th", context.label(v), scope="col") for v in shown]
    by_number: dict[int, list[Any]] = {}
    outcomes: Iterable[Any] = episodes[_EPISODE].itertuples(index=False)
    for row in outcomes:
        by_number.setdefault(row.episode, []).append(row)
    rows = []
    for number, own in by_number.items():
        hashes = sorted({row.state_hash for row in own} - {""})
        marks = [el("td", [_mark(row) for row in own if row.variant == v]) for v in shown]
        rows.append(el(
            "tr", el("th", number, scope="row"), el("td", el("code", own[0].seed)),
            el("td", [el("code", h, " ") for h in hashes] or "–"), marks,
            data_alike=len({bool(row.success) for row in own}) == 1,
        ))  # fmt: skip
    alike = el("label", el("input", type="checkbox", id="only-different"), " only episodes that ended differently",
               id="different", hidden=True)  # fmt: skip
    table = el("table", el("caption", "Outcome of every episode", class_="quiet"), el("thead", el("tr", head)),
               el("tbody", rows), class_="episodes")  # fmt: skip
    yield alike
    yield scrolling(table, "Outcome of every episode")
    yield el(
        "p", "✓ with the control step of the first success; ✗ failure; ! ended in an error. One mark for each training "
        "seed, in order. Every method starts from the same initial state, which its hash shows.", class_="note",
    )  # fmt: skip


def _mark(episode: Any) -> Html:
    where = f"training seed {episode.training_seed}, {episode.steps} steps"
    if isinstance(episode.error, str):
        return el("span", "!", class_="mark error", title=f"{where}: {episode.error}")
    if episode.success:
        return el("span", f"✓{episode.steps_to_success:.0f}", class_="mark yes", title=where)
    return el("span", "✗", class_="mark no", title=where)


def _errors(episodes: pd.DataFrame) -> Html:
    broken = episodes[episodes["error"].notna()]
    counts = Counter(zip(broken["variant"], broken["training_seed"], broken["error"], strict=True))
    return el("ul", [
        el("li", f"{variant}, training seed {seed}, {n} episodes: {error}")
        for (variant, seed, error), n in sorted(counts.items())
    ])  # fmt: skip


def _replays(replays: Sequence[Replay]) -> Iterable[Html]:
    if not replays:
        yield el("p", "This run has no recorded clouds for the task.")
        return
    figures = []
    for outcome, words in ((True, "Success"), (False, "Failure")):
        found = [(i, r.about) for i, r in enumerate(replays) if r.about.success is outcome]
        if not found:
            figures.append(el("figure", el("figcaption", words), el("p", "None was recorded.")))
            continue
        options = [
            el("option", f"{a.variant}, training seed {a.training_seed}, episode {a.episode}", value=i)
            for i, a in found
        ]
        figures.append(el(
            "figure", el("figcaption", words),
            el("canvas", width=640, height=440, tabindex=0, role="img",
               aria_label=f"{words}: point cloud. Arrow keys rotate, plus and minus zoom, space plays."),
            el("div", el("button", "Play", type="button", class_="play"),
               el("input", type="range", min=0, value=0, step=1, aria_label=f"Frame of the {words.lower()}"),
               el("output", ""), class_="controls"),
            el("label", "Recording ", el("select", options)),
            class_="replay", hidden=True,
        ))  # fmt: skip
    yield el("noscript", el("p", "Replays need scripts."))
    yield el("div", figures, class_="pair")
    yield el("p", "What the policy saw. Drag, or use the arrow keys, to turn it.", class_="note")


def _neighbours(context: Context, task: str) -> Html:
    at = context.tasks.index(task)
    links = [(at - 1, "← "), (at + 1, "")]
    return el("nav", [
        el("a", arrow, context.tasks[i], " →" if not arrow else "", href=f"../{task_file(context.tasks[i])}")
        for i, arrow in links if 0 <= i < len(context.tasks)
    ], aria_label="Neighbouring tasks")  # fmt: skip
