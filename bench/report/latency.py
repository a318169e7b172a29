"""The table of latencies: one row per timing, in `bench report` and `bench latency` alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from bench import latency_figures as figures
from bench.percentiles import LEAST_N
from bench.report.measures import Measures
from bench.report.table import Column, Table, Value, count, factor, milliseconds, probability, share
from bench.stats import Estimate

PAGE = (
    "method", "mode", "e2e_p50_ms", "e2e_p90_ms", "e2e_p99_ms", "policy_p50_ms", "sample_p50_ms", "per_step_ms",
    "hz_control", "missed_10hz", "missed_20hz", "missed_50hz", "nfe", "mflops", "params_network", "cold_ms", "peak_mb",
    "notes",
)  # fmt: skip
"""Columns for a page; the files hold all."""


def latencies(measures: Measures) -> Table:
    """Every timing of a run, in all its thread modes."""
    order = {variant: i for i, variant in enumerate(measures.variants)}
    rows = [{str(k): _plain(v) for k, v in row.items()} for row in measures.timings.to_dict("records")]
    rows.sort(key=lambda row: (row["task"], row["device"], row["mode"], order[row["variant"]]))
    marks = [[] if row["same_model"] else ["timed another checkpoint"] for row in rows]
    return latency_table("Latency", rows, marks)


def latency_table(title: str, rows: Iterable[Mapping[str, Any]], marks: Iterable[list[str]] | None = None) -> Table:
    """A table of rows of ``latency.jsonl``, in their order.

    Args:
        title: of the table.
        rows: the timings.
        marks: further notes, a list per row.
    """
    rows = list(rows)
    return Table(title, _columns(), [_row(r, m) for r, m in zip(rows, marks or [[] for _ in rows], strict=True)])


def machines(timings: pd.DataFrame) -> list[Mapping[str, Any]]:
    """The hardware that the rows were timed on, one for each processor and set of GPUs."""
    return [*{(str(found.get("cpu")), str(found.get("gpus"))): found for found in timings["hardware"]}.values()]


def no_common_scale(timings: pd.DataFrame) -> str:
    """What a reader of milliseconds from several machines must know; empty for one machine."""
    number = len(machines(timings))
    words = f"Timed on {number} different machines: milliseconds have no common scale, speed-ups have."
    return words if number > 1 else ""


def _columns() -> list[Column]:
    columns = [Column("task", "task"), Column("method", "method"), Column("device", "device"), Column("mode", "mode")]
    columns += [Column("threads", "threads", count, csv_only=True), Column("n", "calls", count)]
    for p in LEAST_N:
        key = f"e2e_{p}_ms"
        columns.append(Column(key, f"e2e {p} ms", milliseconds, csv_only=p == "p97"))
        columns += [Column(f"{key}_{end}", "", milliseconds, csv_only=True) for end in ("low", "high")]
    columns += [
        Column("policy_p50_ms", "policy p50 ms", milliseconds), Column("encode_p50_ms", "encode p50 ms", milliseconds),
        Column("sample_p50_ms", "sample p50 ms", milliseconds), Column("nfe", "NFE", count),
        Column("per_step_ms", "ms per control step", milliseconds), Column("hz_chunk", "Hz chunks", _rate),
        Column("hz_control", "Hz control", _rate),
        *(Column(f"missed_{hz}hz", f"late at {hz} Hz, %", share) for hz in figures.DEADLINES_HZ),
        Column("mflops", "MFLOPs", _rate), Column("params_network", "head parameters", count),
        Column("cold_ms", "cold ms", milliseconds), Column("peak_mb", "peak MB", count),
        Column("cuda_p50_ms", "CUDA p50 ms", milliseconds), Column("launch_ms", "launch ms", milliseconds),
        Column("upstream_p50_ms", "upstream's clock p50 ms", milliseconds, csv_only=True),
        Column("harness_ms", "clocks ms", milliseconds, csv_only=True), Column("runtime", "runtime", csv_only=True),
        *(
            Column(f"{part}_speedup", f"{part} speed-up", factor, interval=True)
            for part in ("e2e", "policy", "sample")
        ),
        Column("p", "p (Mann-Whitney)", probability), Column("verdict", "against the reference"),
        Column("notes", "notes"),
    ]  # fmt: skip
    return columns


def _row(row: Mapping[str, Any], marks: list[str]) -> Mapping[str, Value]:
    e2e, flops, gpu_mb = row["t_e2e"], row["flops"], row["peak_gpu_mb"]
    values: dict[str, Value] = {
        "task": row["task"], "method": row["variant"], "device": row["device"], "mode": row["mode"],
        "threads": row["threads"], "n": row["n"], "policy_p50_ms": row["t_policy"]["p50"],
        "encode_p50_ms": row["t_encode"]["p50"], "sample_p50_ms": row["t_sample"]["p50"], "nfe": row["nfe"],
        "per_step_ms": figures.per_control_step_ms(row), "hz_chunk": figures.hz_chunk(row),
        "hz_control": figures.hz_control(row), "mflops": None if flops is None else flops / 1e6,
        "params_network": row["params_network"], "cold_ms": row["cold_ms"],
        "peak_mb": row["peak_rss_mb"] if gpu_mb is None else gpu_mb, "cuda_p50_ms": row["t_cuda"],
        "launch_ms": figures.launch_overhead_ms(row), "upstream_p50_ms": row["t_upstream"],
        "harness_ms": row["harness_ms"], "runtime": row["flags"]["runtime"],
        "notes": "; ".join([*figures.notes(row), *marks]),
    }  # fmt: skip
    for p in LEAST_N:
        ends = e2e[f"{p}_ci"] or (None, None)
        values |= dict(zip((f"e2e_{p}_ms", f"e2e_{p}_ms_low", f"e2e_{p}_ms_high"), (e2e[p], *ends), strict=True))
    values |= {f"missed_{hz}hz": row["deadline_misses"][str(hz)] for hz in figures.DEADLINES_HZ}
    if (speedup := row["speedup"]) is not None and not marks:
        for part in ("e2e", "policy", "sample"):
            found = speedup[f"t_{part}"]
            values[f"{part}_speedup"] = Estimate(found["ratio"], found["low"], found["high"])
        values |= {"p": speedup["t_e2e"]["p"], "verdict": figures.verdict(speedup["t_e2e"])}
    return values


def _plain(value: Any) -> Any:
    """A value as it was recorded: a column of numbers turns null into NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _rate(value: float) -> str:
    """One decimal, none from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
