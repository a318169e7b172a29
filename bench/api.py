"""From Python what the command line does: `run` and `compare`. The command line itself is made of these parts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from rich.console import Console

from bench import app
from bench.artifacts import Cache
from bench.comparison import Comparison
from bench.comparison import compare as compare_runs
from bench.console import say
from bench.demo_import import resolve
from bench.instruction_set import pin
from bench.interfaces import UserError, unknown
from bench.plan import make_plan, plan_key
from bench.runtimes import check_runtime
from bench.spec import RunSpec, Variant, make_spec
from bench.stats import MARGIN
from bench.store import Run, load_run
from bench.weights import require_weights

RESULTS, REPORTS = Path("results"), Path("reports")
DEVICES = ("auto", "cpu", "cuda")
CELL_TIMEOUT_S = 0.1, 1e9
"""From, to: a timer of the system takes nothing longer than that on all platforms."""

AnyPath = str | PathLike[str]


def run(
    methods: str | Sequence[str],
    tasks: str | Sequence[str] = "quick",
    *,
    seeds: int | Sequence[int] = 0,
    profile: str = "lite",
    episodes: int | None = None,
    demos: Mapping[str, AnyPath] | None = None,
    control_hz: int | None = None,
    cell_timeout: float | None = None,
    out: AnyPath | None = None,
    cache: AnyPath | None = None,
    reports: AnyPath = REPORTS,
    workers: int | None = None,
    ray_address: str | None = None,
    device: str = "cpu",
    workers_per_gpu: int = 1,
    quiet: bool = False,
) -> Run:
    """Measure methods on tasks, as ``bench run`` does: demos, training, evaluation, latency, report.

    The same call again does what is missing and nothing else, and returns the same records. With ``workers=0`` these
    hold for this kind of processor only, if torch has computed in this process before (`bench.instruction_set`).

    Args:
        methods: names and variants, ``["dp3", "dp3@nfe=1", "sdm"]`` or ``"dp3,dp3@nfe=1,sdm"``; with imported
            weights ``dp3:1a2b3c4d5e6f``.
        tasks: ids, globs, suites, groups (``metaworld:hard``), ``quick`` or ``all``.
        seeds: training seeds.
        profile: sizes and budgets: ``smoke``, ``lite`` or ``paper``.
        episodes: test episodes per cell; None: as many as the profile says.
        demos: by task id, a Zarr store, a Minari dataset or the key of an imported demo set to train on, instead of
            the expert's.
        control_hz: also evaluate in real time, at so many control steps per second.
        cell_timeout: seconds that one training or evaluation may take before it counts as an error.
        out: folder of the records; None: one below ``results`` whose name tells the run.
        cache: folder of demo sets and checkpoints; None: ``cache`` beside ``out``.
        reports: folder that the report is written below.
        workers: worker processes; 0 works in this process, None takes one per core.
        ray_address: a Ray cluster to work on.
        device: ``cpu``, ``cuda`` or ``auto``.
        workers_per_gpu: workers that share a GPU; with small networks one leaves it idle.
        quiet: print nothing.

    Returns:
        the run: its folder, its manifest, and its records as frames (``run.episodes``, ``run.latency``, ...). Cells
        that ended in an error have rows in ``run.errors``; their episodes count as failures.

    Raises:
        UserError: bad input, in one line; nothing was started.
        KeyboardInterrupt: stopped; the same call goes on from there.
    """
    pin()
    console = Console(quiet=quiet)
    spec, settings = prepare(
        _items(methods), _items(tasks), [seeds] if isinstance(seeds, int) else list(seeds), profile, episodes,
        control_hz=control_hz, demos={task: str(source) for task, source in (demos or {}).items()},
        out=out, cache=cache, reports=reports, workers=workers, ray_address=ray_address, device=device,
        console=console, cell_timeout_s=cell_timeout, workers_per_gpu=workers_per_gpu,
    )  # fmt: skip
    if app.run(spec, settings, console) == app.INTERRUPTED:
        raise KeyboardInterrupt
    return load_run(settings.out)


def compare(base: AnyPath | Run, new: AnyPath | Run, *, margin: float = MARGIN) -> Comparison:
    """Tell whether ``new`` got worse than ``base``, episode by episode, as ``bench compare`` does.

    Args:
        base: a run or its folder.
        new: the run that may have got worse.
        margin: loss of mean success that matters, as a share of one.

    Returns:
        the verdict (``regression``, ``summary``) and all it is made of; ``to_markdown()`` writes a page.

    Raises:
        UserError: no such run, or the two cannot be compared, with every field that differs.
    """
    before, after = (one if isinstance(one, Run) else load_run(Path(one)) for one in (base, new))
    return compare_runs(before, after, margin=margin)


def prepare(
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    profile: str,
    episodes: int | None,
    *,
    control_hz: int | None,
    demos: Mapping[str, str],
    out: AnyPath | None,
    cache: AnyPath | None,
    reports: AnyPath,
    workers: int | None,
    ray_address: str | None,
    device: str,
    console: Console,
    dry_run: bool = False,
    cell_timeout_s: float | None = None,
    workers_per_gpu: int = 1,
) -> tuple[RunSpec, app.Settings]:
    """Check what was asked for and say where it will be; imports demo sets unless it is a dry run.

    Raises:
        UserError: bad input; nothing was written.
    """
    if workers is not None and workers < 0:
        raise UserError(f"workers must be 0 or more, got {workers}")
    if workers_per_gpu < 1:
        raise UserError(f"workers_per_gpu must be 1 or more, got {workers_per_gpu}")
    if workers_per_gpu > 1 and device == "cpu":
        raise UserError(f"workers_per_gpu {workers_per_gpu}: no worker uses a GPU without --device cuda")
    if workers_per_gpu > 1 and workers == 0:
        raise UserError(f"workers_per_gpu {workers_per_gpu}: --workers 0 is one worker, this process")
    if cell_timeout_s is not None and not CELL_TIMEOUT_S[0] <= cell_timeout_s <= CELL_TIMEOUT_S[1]:
        raise UserError(
            "cell_timeout must be from {:g} to {:g} seconds, got {:g}".format(*CELL_TIMEOUT_S, cell_timeout_s)
        )
    if ray_address and workers == 0:
        raise UserError("--workers 0 works in this process, --ray-address on a cluster: give one of them")
    torch_device = find_device(device)
    artefacts = Cache(Path(cache) if cache else (Path(out).parent if out else RESULTS) / "cache")
    imports = resolve(demos, artefacts)
    spec = make_spec(methods, tasks, seeds, profile, episodes, control_hz=control_hz, demos=imports.keys)
    for name in spec.methods:
        check_runtime(Variant.parse(name).runtime, torch_device)
    require_weights(make_plan(spec, torch_device), artefacts)
    imports.check_images(spec, artefacts)
    for note in imports.notes:
        say(console, note)
    if not dry_run:
        imports.keep(artefacts)
    folder = Path(out) if out else RESULTS / _run_name(spec, ",".join(tasks), torch_device)
    command = _command(spec, folder, demos, artefacts.folder, torch_device)
    return spec, app.Settings(
        folder, artefacts.folder, Path(reports), workers, ray_address, torch_device, dry_run,
        cell_timeout_s=cell_timeout_s, command=command, workers_per_gpu=workers_per_gpu,
    )  # fmt: skip


def find_device(name: str) -> str:
    """``cpu`` or ``cuda``. Raises `UserError` for a name that is none, or a GPU that is not there."""
    import torch

    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no GPU that torch can use; 'bench doctor' says more, --device cpu works always")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _items(names: str | Sequence[str]) -> list[str]:
    parts = names.split(",") if isinstance(names, str) else names
    return [item for item in map(str.strip, parts) if item]


def _run_name(spec: RunSpec, tasks: str, device: str) -> str:
    """A folder name that people recognise and that no other plan has."""
    words = "".join(c if c.isalnum() else "-" for c in tasks).strip("-")
    rate = f"-{spec.control_hz}hz" if spec.control_hz else ""
    return f"{words[:40]}-{spec.profile}{rate}-{plan_key(make_plan(spec, device))[:8]}"


def _command(spec: RunSpec, out: Path, demos: Mapping[str, str], cache: Path, device: str) -> str:
    """The command line that does the same."""
    words = ["bench", "run", "--methods", ",".join(spec.methods), "--tasks", ",".join(spec.tasks)]
    words += ["--seeds", ",".join(map(str, spec.seeds)), "--profile", spec.profile, "--episodes", str(spec.episodes)]
    words += ["--control-hz", str(spec.control_hz)] if spec.control_hz else []
    words += [word for task, source in demos.items() for word in ("--demos", f"{task}={source}")]
    words += ["--device", device] if device != "cpu" else []
    words += ["--cache", str(cache)] if cache != out.parent / "cache" else []
    return shlex.join([*words, "--out", str(out)])
