"""Runs with known numbers, as the store would read them: no simulator, no training."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.records import FILES
from bench.replay import About, Replay, pack
from bench.seeding import Purpose, episode_seed
from bench.spec import RunSpec
from bench.store import Run, RunFolder

DIFFICULTIES = ("easy", "easy", "medium", "hard", "very_hard")


def make_run(
    tasks: Sequence[str],
    variants: Mapping[str, float],
    *,
    seeds: Sequence[int] = (0,),
    episodes: int = 20,
    latency: bool = True,
    control_hz: int | None = None,
    curves: bool = True,
    broken: Sequence[tuple[str, str]] = (),
    not_run: Sequence[tuple[str, str]] = (),
    spreads: Mapping[str, float] | None = None,
) -> Run:
    """A run in which each variant has the given success probability, and tasks differ in difficulty.

    Args:
        control_hz: With it, every cell is there in real time too, where success is rarer by a tenth per waited step.
        variants: Success probability on an easy task by variant; the first is the reference of the speed-up.
        broken: (task, variant) whose episodes all failed with an error.
        not_run: (task, variant) without episodes.
        spreads: Action spread of every episode by variant; none is recorded for the others.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in FILES}
    reference = next(iter(variants))
    for i, task in enumerate(tasks):
        suite = task.split("/")[0]
        difficulty = DIFFICULTIES[i % len(DIFFICULTIES)] if suite == "metaworld" else None
        for variant, p in variants.items():
            for seed in seeds:
                cell = {
                    "key": f"{_crc(task, variant, seed):020x}", "suite": suite, "task": task,
                    "method": re.split("[+@]", variant)[0], "profile": "lite", "training_seed": seed,
                }  # fmt: skip
                rng = np.random.default_rng(_crc(task, variant, seed))
                chance = p * (1.0, 0.95, 0.8, 0.6, 0.4)[i % 5]
                checkpoint = f"{_crc(task, cell['method'], seed):064x}"
                if (task, variant) not in not_run:
                    error = "SimulatorError: unstable" if (task, variant) in broken else None
                    rows["episodes"] += _episodes(cell, variant, difficulty, episodes, chance, checkpoint, error, rng)
                    if control_hz:
                        waited = 3 if variant == reference else 1
                        chance_late = chance * 0.9**waited
                        late = _episodes(cell, variant, difficulty, episodes, chance_late, checkpoint, error, rng)
                        rows["realtime"] += [_in_real_time(row, control_hz, waited) for row in late]
                if curves and variant == cell["method"] and (task, variant) not in (*broken, *not_run):
                    rows["curves"] += _curve(cell, difficulty, chance, rng)
                if latency and (task, variant) not in broken:
                    rows["latency"] += [
                        _latency(cell, variant, reference, checkpoint, mode, rng) for mode in ("cpu1", "cpuN")
                    ]
    for row in rows["episodes"]:
        row["action_spread"] = None if row["error"] else (spreads or {}).get(row["variant"])
    manifest = {
        "schema": "manifest/1",
        "spec": {
            "methods": list(variants), "tasks": list(tasks), "seeds": list(seeds), "profile": "lite",
            "episodes": episodes, "base_seed": 0, **({"control_hz": control_hz} if control_hz else {}),
        },
        "command": f"bench run --methods {','.join(variants)} --tasks quick", "versions": {"python": "3.12.1"},
        "hardware": {"cpu": "Test CPU", "cores": 2}, "created": "2026-01-01T00:00:00+00:00", "wall_seconds": 754.2,
        "device": "cpu", "git": {"revision": "0123456789abcdef", "dirty": False, "diff_sha256": None},
    }  # fmt: skip
    return Run(Path("runs/synthetic"), manifest, **{name: _frame(name, found) for name, found in rows.items()})


def with_rows(run: Run, **frames: pd.DataFrame) -> Run:
    """The run with other frames."""
    return Run(**{**vars(run), **frames})


def save_run(run: Run, folder: Path, replays: Sequence[Replay] = ()) -> Path:
    """Write a run as its driver would, and replays; returns the folder."""
    spec = {**run.manifest["spec"]}
    spec |= {name: tuple(spec[name]) for name in ("methods", "tasks", "seeds")}
    with RunFolder(folder, RunSpec(**spec), "0" * 20) as out:
        out.write_manifest({k: v for k, v in run.manifest.items() if k not in ("schema", "key", "plan", "spec")})
        for name in FILES:
            out.append(name, plain_rows(getattr(run, name)))
        for replay in replays:
            out.write_replay(pack(replay))
    return folder


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as in a records file: a frame turns whole numbers with nulls among them into floats."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    for row in rows:
        if row.get("steps_to_success") is not None:
            row["steps_to_success"] = int(row["steps_to_success"])
    return rows


def make_replay(
    run: Run, task: str, variant: str, *, success: bool, frames: int = 5, points: int = 64
) -> Replay | None:
    """A replay of the first episode with that outcome: a cloud that falls; None where there is no such episode."""
    rows = run.episodes[(run.episodes["task"] == task) & (run.episodes["variant"] == variant)]
    rows = rows[(rows["success_ever"] == success) & rows["error"].isna()]
    if rows.empty:
        return None
    row = plain_rows(rows.iloc[[0]])[0]
    about = About(success=success, **{k: row[k] for k in About.model_fields if k in row})
    cloud = np.random.default_rng(_crc(task, variant)).integers(-4000, 4000, (1, points, 3))
    fall = np.arange(frames)[:, None, None] * np.array([0, 0, -300])
    return Replay(about, (cloud + fall).astype(np.int16), np.arange(frames, dtype=np.int32) * 3)


def _crc(*parts: object) -> int:
    return zlib.crc32(":".join(map(str, parts)).encode())


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    for row in rows:
        FILES[name].model_validate(row)
    columns = [field.alias or field_name for field_name, field in FILES[name].model_fields.items()]
    return pd.DataFrame(rows, columns=columns)


def _episodes(
    cell: dict[str, Any], variant: str, difficulty: str | None, count: int, chance: float, checkpoint: str,
    error: str | None, rng: np.random.Generator,
) -> list[dict[str, Any]]:  # fmt: skip
    rows = []
    for episode in range(count):
        solved = bool(rng.random() < chance) and error is None
        steps = int(rng.integers(40, 200)) if solved else None
        rows.append({
            **cell, "schema": "episode/1", "difficulty": difficulty, "variant": variant, "episode": episode,
            "seed": episode_seed(0, cell["task"], Purpose.TEST, episode),
            "state_hash": "" if error else f"{_crc(cell['task'], episode):016x}",
            "action_hash": "" if error else f"{_crc(variant, cell['task'], episode):016x}",
            "success_ever": solved, "success_end": solved, "steps": 0 if error else 200, "steps_to_success": steps,
            "return": 0.0, "error": error, "checkpoint": None if error else checkpoint, "nfe": 10,
            "executed_steps": 3, "engine": "metaworld 3.1.1", "assets": "metaworld-v3/1", "versions": {},
        })  # fmt: skip
    return rows


def _in_real_time(row: dict[str, Any], control_hz: int, waited: int) -> dict[str, Any]:
    calls = row["steps"] // (3 + waited)
    return {
        **row, "schema": "realtime/1", "control_hz": control_hz, "latency_key": row["key"], "calls": calls,
        "held_steps": calls * waited,
    }  # fmt: skip


def _curve(
    cell: dict[str, Any], difficulty: str | None, chance: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    total = 3000 if cell["method"] == "dp3" else 1500
    return [
        {
            **cell, "schema": "curve/1", "difficulty": difficulty, "step": total * point // 5, "epoch": point,
            "episodes": 10, "successes": int(rng.binomial(10, chance * (1 - np.exp(-point)))), "losses": {"loss": 0.1},
        }
        for point in range(1, 6)
    ]  # fmt: skip


def _latency(
    cell: dict[str, Any], variant: str, reference: str, checkpoint: str, mode: str, rng: np.random.Generator
) -> dict[str, Any]:
    slow, faster = variant == reference, 1.0 if mode == "cpu1" else 0.8
    nfe = int(variant.partition("nfe=")[2] or (10 if slow else 1))
    encode, sample = faster * 0.4 * rng.uniform(0.95, 1.05), faster * 0.9 * nfe * rng.uniform(0.9, 1.1)
    clocks = {"t_encode": encode, "t_sample": sample, "t_policy": encode + sample, "t_e2e": encode + sample + 0.8}
    base = {"t_sample": 9.0 * faster, "t_policy": 9.4 * faster, "t_e2e": 9.4 * faster + 0.8}
    ratios = {c: base[c] / clocks[c] for c in base}
    return {
        **cell, "schema": "latency/2", "variant": variant, "checkpoint": checkpoint, "device": "cpu", "mode": mode,
        "threads": 1 if mode == "cpu1" else 2,
        "flags": {"dtype": "float32", "tf32": False, "autocast": False, "runtime": "eager"},
        "n": 320, "nfe": nfe, "executed_steps": 3, "horizon": 4, "params": 1_234_567, "params_network": 1_100_000,
        "checkpoint_bytes": 5_000_000, "flops": 12_000_000 * nfe, **{c: _clock(v) for c, v in clocks.items()},
        "e2e_quantiles": [clocks["t_e2e"] * (0.9 + i / 500) for i in range(100)],
        "block_medians": {c: [v * (0.98 + 0.04 * i / 15) for i in range(16)] for c, v in clocks.items()},
        "deadline_misses": {"10": 0.0, "20": 0.0, "50": 0.25 if slow else 0.0}, "t_upstream": 0.99 * (encode + sample),
        "t_cuda": None, "harness_ms": 0.004, "cold_ms": 31.0, "warm": True, "contended": False, "load_average": 0.1,
        "reference": reference, "speedup": None if slow else {c: _ratio(r) for c, r in ratios.items()},
        "peak_rss_mb": 512.0, "peak_gpu_mb": None, "gpu": None,
        "hardware": {"cpu": "Test CPU", "cores": 2, "os": "Linux", "python": "3.12", "torch": "2.13"},
        "parallel_info": "OpenMP",
    }  # fmt: skip


def _clock(ms: float) -> dict[str, Any]:
    """320 calls: enough for p97, not for p99."""
    found = {"p50": ms, "p90": 1.2 * ms, "p97": 1.3 * ms, "p99": None}
    ends = {"p50": [0.99 * ms, 1.01 * ms], "p90": [1.1 * ms, 1.3 * ms], "p97": [1.2 * ms, None], "p99": None}
    return found | {f"{p}_ci": end for p, end in ends.items()}


def _ratio(ratio: float) -> dict[str, float]:
    return {"ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio, "p": 1e-9}
