"""The driver: interrupted anywhere and run again, the records are those of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.artifacts import Cache
from bench.costs import Costs
from bench.driver import Driver, find_missing, put_in_order, repair
from bench.executor import Event, InProcessExecutor
from bench.plan import Unit, make_plan, plan_key, realtime_units
from bench.progress import Clock
from bench.spec import make_spec
from bench.store import RunFolder

pytestmark = pytest.mark.usefixtures("fake_registry")
METHODS = ["student", "base", "base@nfe=2"]


class Silent:
    """A display that counts."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def start(self, units, clock: Clock) -> None: ...

    def update(self, running) -> None: ...

    def finish(self, unit: Unit, seconds: float, outcome: str) -> None:
        self.finished.append((unit.label, outcome))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stop(self) -> None: ...


class Interrupted(InProcessExecutor):
    """Breaks off at the n-th event, as Ctrl-C or a kill would."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def wait(self, on_event) -> None:
        def counted(event: Event) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            on_event(event)

        super().wait(counted)


def run(root: Path, methods: list[str], executor: InProcessExecutor | None = None, **options) -> Silent:
    spec = make_spec(methods, ["fake/walk", "fake/run"], profile_name="smoke", **options)
    units, cache, display = make_plan(spec), Cache(root / "cache"), Silent()
    with RunFolder(root / "run", spec, plan_key(units)) as folder:
        write_manifest(folder)
        state = repair(find_missing(units, folder.each, cache), folder, cache)
        costs = Costs(root / "cache" / "costs.json")
        Driver(state, folder, cache, costs, executor or InProcessExecutor(), display).run()
        put_in_order(units, folder)
    return display


def write_manifest(folder: RunFolder) -> None:
    texts = dict.fromkeys(("command", "created", "device"), "")
    folder.write_manifest({**texts, "wall_seconds": 0.0, "versions": {}, "git": {}, "hardware": {}})


def records(root: Path) -> dict[str, bytes]:
    files = [
        *(root / "run" / f"{name}.jsonl" for name in ("episodes", "curves")),
        *(root / "run" / "replays").iterdir(),
    ]
    return {file.stem: file.read_bytes() for file in files}


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    run(tmp_path / "undisturbed", METHODS)
    return records(tmp_path / "undisturbed")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_interrupted_and_resumed(undisturbed: dict[str, bytes], tmp_path_factory, stops: list[int]) -> None:
    root = tmp_path_factory.mktemp("interrupted")
    for stop in stops:
        try:
            run(root, METHODS, Interrupted(stop))
        except KeyboardInterrupt:
            continue
    run(root, METHODS)
    assert records(root) == undisturbed


def test_a_finished_run_does_nothing(tmp_path: Path) -> None:
    run(tmp_path, METHODS)
    before = records(tmp_path)
    assert run(tmp_path, METHODS).finished == []
    assert records(tmp_path) == before


@pytest.mark.parametrize(("name", "again"), [("episodes", 1), ("curves", 0)])
def test_a_lost_row_is_made_again(tmp_path: Path, name: str, again: int) -> None:
    run(tmp_path, METHODS)
    before = records(tmp_path)
    path = tmp_path / "run" / f"{name}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert len(run(tmp_path, METHODS).finished) == again
    assert records(tmp_path) == before


def test_a_lost_cache_doubles_no_rows(tmp_path: Path) -> None:
    run(tmp_path, METHODS)
    before = records(tmp_path)
    for file in (tmp_path / "cache").glob("*.safetensors"):
        file.unlink()
    path = tmp_path / "run" / "episodes.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    run(tmp_path, METHODS)
    assert records(tmp_path) == before


def test_records_do_not_depend_on_company(tmp_path: Path) -> None:
    run(tmp_path / "together", METHODS)
    run(tmp_path / "alone", ["base"])
    together = set(records(tmp_path / "together")["episodes"].splitlines())
    alone = set(records(tmp_path / "alone")["episodes"].splitlines())
    assert alone
    assert alone < together


def test_an_error_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    display = run(tmp_path, ["broken", "base"])
    spec = make_spec(["broken", "base"], ["fake/walk", "fake/run"], profile_name="smoke")
    with RunFolder(tmp_path / "run", spec, plan_key(make_plan(spec))) as folder:
        errors, episodes = folder.rows("errors"), folder.rows("episodes")
    assert [e["error"] for e in errors] == ["RuntimeError: a fault in the method"] * 2
    assert "fit_step" in errors[0]["traceback"]
    failed = [e for e in episodes if e["method"] == "broken"]
    assert len(failed) == 4
    assert all(e["error"] and not e["success_ever"] and e["checkpoint"] is None for e in failed)
    assert all(e["error"] is None for e in episodes if e["method"] == "base")
    assert sum("error" in outcome for _, outcome in display.finished) == 4


def test_cells_in_error_are_tried_again(tmp_path: Path, fake_registry, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, ["broken"])
    mended = {**fake_registry.METHODS, "broken": fake_registry.METHODS["base"]}
    monkeypatch.setattr(type(fake_registry), "METHODS", mended)
    assert all("error" not in outcome for _, outcome in run(tmp_path, ["broken"]).finished)
    assert b'"error":"' not in records(tmp_path)["episodes"]


def test_a_checkpoint_from_another_run_brings_its_curve(tmp_path: Path) -> None:
    run(tmp_path, METHODS)
    whole = records(tmp_path)
    (tmp_path / "run").rename(tmp_path / "before")
    display = run(tmp_path, METHODS)
    assert all(label.startswith("evaluate") for label, _ in display.finished)
    assert records(tmp_path) == whole


@pytest.mark.parametrize("known", [True, False])
def test_what_an_earlier_stage_did_not_make_is_an_error_not_a_wait(tmp_path: Path, known: bool) -> None:
    spec = make_spec(["base"], ["fake/walk"], profile_name="smoke", control_hz=20)
    units, cache = make_plan(spec), Cache(tmp_path / "cache")
    late = realtime_units(units, 20, {})
    with RunFolder(tmp_path / "run", spec, plan_key(units)) as folder:
        state = find_missing(late, folder.rows, cache)
        costs, failed = Costs(tmp_path / "costs.json"), {str(late[0].checkpoint): "no memory"} if known else {}
        driver = Driver(state, folder, cache, costs, InProcessExecutor(), Silent(), failed)
        assert late[0].key in driver.run()
        errors = {row["error"] for row in folder.rows("realtime")}
    reason = "no memory" if known else f"{late[0].checkpoint} is no longer in the cache"
    assert errors == {f"not evaluated: {reason}"}
