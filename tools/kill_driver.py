"""Kill a smoke run at random moments, let it go on, and compare its records with those of an undisturbed run.

    python tools/kill_driver.py --kills 20

Each trial starts in an empty folder, is killed once (SIGKILL to the driver alone) at a moment that is uniform over the
time of the undisturbed run, and is then run to its end. Exit code 1 if any record is lost, doubled or different.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.store import read_rows

FILES = ("episodes", "curves")


def command(root: Path, workers: int, module: str, options: Sequence[str]) -> list[str]:
    """The run; ``module`` is ``bench`` or, without latency, ``tests.fake_run``."""
    if module == "bench":
        places = ["run", "--out", str(root / "run"), "--reports", str(root / "reports")]
    else:
        places = [str(root)]
    return [sys.executable, "-m", module, *places, "--workers", str(workers), *options]


def finish(arguments: Sequence[str], cwd: Path) -> float:
    """Run to the end; returns seconds."""
    start = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - start


def records(root: Path) -> dict[str, bytes]:
    """What must be equal."""
    return {name: (root / "run" / f"{name}.jsonl").read_bytes() for name in FILES}


def trial(arguments: Sequence[str], root: Path, after: float) -> bool:
    """Start, kill, finish; returns whether the run was still under way when it was killed."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=root
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    killed = process.wait() < 0
    finish(arguments, root)
    return killed


def main() -> None:
    """Kill, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--module", choices=["bench", "tests.fake_run"], default="tests.fake_run")
    parser.add_argument("--methods", default="dp3,sdm")
    parser.add_argument("--tasks", default="metaworld/drawer-open")
    args = parser.parse_args()
    options = ["--methods", args.methods, "--tasks", args.tasks]
    options += ["--profile", "smoke"] if args.module == "bench" else []
    here = str(Path(__file__).parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
    moments, equal, hit = random.Random(args.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "undisturbed")
        whole.mkdir()
        seconds = finish(command(whole, args.workers, args.module, options), whole)
        wanted = records(whole)
        print(f"undisturbed: {seconds:.0f} s, {len(read_rows(whole / 'run' / 'episodes.jsonl'))} episodes", flush=True)
        for number in range(args.kills):
            root, after = Path(name, str(number)), moments.uniform(0, seconds)
            root.mkdir()
            killed = trial(command(root, args.workers, args.module, options), root, after)
            same = records(root) == wanted
            hit, equal = hit + killed, equal + same
            print(f"{number + 1}: killed after {after:.1f} s: {'equal' if same else 'DIFFERENT'}", flush=True)
            shutil.rmtree(root)
    print(f"{equal} of {args.kills} equal; {hit} were killed in the middle of a run")
    sys.exit(equal != args.kills)


if __name__ == "__main__":
    main()
