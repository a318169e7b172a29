"""`bench run` without latency in a process of its own; with ``tests/stand_ins`` first in its path, on fakes.

python -m tests.fake_run ROOT --methods slow --tasks fake/walk
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench import app
from bench.interfaces import UserError
from bench.spec import make_spec


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--methods", default="base")
    parser.add_argument("--tasks", default="fake/walk")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--ray-address")
    parser.add_argument("--cell-timeout", type=float)
    parser.add_argument("--out", default="run")
    args = parser.parse_args()
    places = (args.root / args.out, args.root / "cache", args.root / "reports")
    settings = app.Settings(
        *places, args.workers, args.ray_address, "cpu", False, latency=False, cell_timeout_s=args.cell_timeout
    )
    try:
        spec = make_spec(args.methods.split(","), args.tasks.split(","), profile_name="smoke")
        return app.run(spec, settings, Console(width=200))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
