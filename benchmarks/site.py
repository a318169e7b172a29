"""The report's web site for a run of all tasks: seconds to build, megabytes, and how soon its pages are painted.

The run is made up: 57 tasks, 8 methods, 3 training seeds, 20 episodes, with a recorded success and failure of every
method on every task where it has one. ``--paint`` opens the pages in a headless Chromium (extra ``site``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.site import write_site
from benchmarks.output import Row, argument_parser, at_least, begin, publish
from envs import registry
from tests.bench.report.synthetic import make_replay, make_run

VARIANTS = {
    "dp3": 0.9, "dp3@nfe=1": 0.3, "manicm": 0.85, "sdm": 0.88, "flowpolicy": 0.8, "bc": 0.6, "simple_dp3": 0.84,
    "manicm@nfe=4": 0.87,
}  # fmt: skip
FRAMES, POINTS = 30, 256
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Build the site, print and return a row for each of its parts."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tasks", type=at_least(1), default=57, help="number of tasks, at most all")
    parser.add_argument("--seeds", type=at_least(1), default=3, help="training seeds")
    parser.add_argument("--episodes", type=at_least(1), default=20, help="episodes of a cell")
    parser.add_argument("--paint", type=int, default=0, metavar="N", help="open each page N times in headless Chromium")
    parser.add_argument("--out", type=Path, help="keep the site in this folder")
    args = begin(parser, argv)
    with tempfile.TemporaryDirectory() as folder:
        return publish("site", _rows(args, args.out or Path(folder)), args)


def _rows(args: argparse.Namespace, out: Path) -> list[Row]:
    run = make_run(
        registry.select("all")[: args.tasks], VARIANTS, seeds=tuple(range(args.seeds)), episodes=args.episodes
    )
    outcomes = [(task, v, s) for task in run.manifest["spec"]["tasks"] for v in VARIANTS for s in (True, False)]
    found = [make_replay(run, t, v, success=s, frames=FRAMES, points=POINTS) for t, v, s in outcomes]
    replays = [replay for replay in found if replay]
    wall, cpu = time.perf_counter(), time.process_time()
    index = write_site(run, replays, out)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    files = [file for file in out.rglob("*") if file.is_file()]
    rows: list[Row] = [{
        "what": f"build, {len(run.episodes):,} episodes, {len(replays)} replays", "seconds": wall, "CPU seconds": cpu,
        "MB": sum(file.stat().st_size for file in files) / 1e6, "files": len(files),
    }]  # fmt: skip
    if args.paint:
        pages = [index, next(iter(sorted((out / "tasks").iterdir())))]
        rows += [{"what": f"first paint, {page.name}", "seconds": _paint(page, args.paint)} for page in pages]
    return rows


def _paint(page: Path, count: int) -> float:
    """Median seconds from navigation to first contentful paint, each time in a fresh context."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    found = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(count):
            context = browser.new_context(viewport={"width": 1200, "height": 900})
            tab = context.new_page()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_function(PAINT)
            found.append(tab.evaluate(PAINT) / 1000)
            context.close()
        browser.close()
    return median(found)


if __name__ == "__main__":
    main()
