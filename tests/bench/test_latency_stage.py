"""The latency stage: which jobs a run has, and which are left."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.artifacts import Artifact, Cache
from bench.latency_job import run_job
from bench.latency_stage import latency_jobs, missing_jobs
from bench.plan import Kind, make_plan
from bench.records import LatencyRow
from bench.spec import make_spec
from bench.worker import failed_rows

pytestmark = pytest.mark.usefixtures("fake_registry")


def jobs(methods: list[str], profile: str = "lite", device: str = "cpu", failed: tuple[str, ...] = ()):
    units = make_plan(make_spec(methods, ["fake/walk", "fake/run"], profile_name=profile), device)
    return latency_jobs(units, device, failed), units


@pytest.mark.parametrize(
    ("profile", "device", "modes"),
    [("smoke", "cpu", ["cpu1"]), ("lite", "cpu", ["cpu1", "cpuN"]), ("paper", "cpu", ["cpu1", "cpuN"]),
     ("lite", "cuda", ["gpu"])],
)  # fmt: skip
def test_a_job_per_suite_and_thread_mode(profile: str, device: str, modes: list[str]) -> None:
    found, _ = jobs(["base", "student"], profile, device)
    assert [(job.units[0].task.suite, job.mode) for job in found] == [("fake", mode) for mode in modes]


def test_the_teacher_is_timed_whether_it_is_evaluated_or_not() -> None:
    found, _ = jobs(["student", "student@nfe=2"])
    assert [str(v) for v in found[0].variants] == ["base", "student", "student@nfe=2"]
    assert [str(v) for v in found[0].references] == ["base"] * 3


def test_imported_weights_of_a_student_are_no_reference_where_there_is_a_teacher() -> None:
    student = "student:0123456789ab"
    for methods, reference in (([student, "base"], "base"), ([student], student)):
        found, _ = jobs(methods)
        assert {str(v) for v in found[0].references} == {reference}


def test_a_task_whose_trainings_failed_stands_for_no_suite() -> None:
    whole, _ = jobs(["base"])
    failed = whole[0].checkpoints[0]
    assert jobs(["base"], failed=(failed,))[0][0].units[0].task.id != whole[0].units[0].task.id


def test_a_mode_without_its_rows_is_missing() -> None:
    found, _ = jobs(["base", "student"])
    rows = [{"key": found[0].row_key(i)} for i in range(2)]
    assert missing_jobs(found, lambda _: rows) == [found[1]]
    assert missing_jobs(found, lambda _: rows[:1]) == found


def test_rows_say_what_was_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As those of episodes do."""
    key, weights = "0123456789abcdef0123", "0123456789ab"
    methods = ["student", f"student:{weights}"]
    spec = make_spec(methods, ["fake/walk"], profile_name="smoke", demos={"fake/walk": key})
    (job,) = latency_jobs(make_plan(spec), "cpu")
    cache, rows = Cache(tmp_path), []
    for checkpoint in job.checkpoints:
        cache.save(checkpoint, Artifact(b"weights"))
    monkeypatch.setattr("bench.latency_job.RemoteTimer", lambda entry: rows.append(entry["row"]) or Mock())
    monkeypatch.setattr("bench.latency_job.compare", lambda *_, **__: [])
    run_job(job, cache)
    said = {row["variant"]: {k: row[k] for k in ("demos", "weights") if k in row} for row in rows}
    assert said == {"base": {"demos": key}, "student": {"demos": key}, methods[1]: {"weights": weights}}
    for row, unit in zip(rows, job.units, strict=True):
        if unit.kind is Kind.EVALUATE:
            (episode, *_) = failed_rows(unit, "not run")
            assert {k: row.get(k) for k in ("demos", "weights")} == {k: episode.get(k) for k in ("demos", "weights")}
    assert {"demos", "weights"} <= set(LatencyRow.model_fields)
