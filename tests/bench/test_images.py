"""Methods that see images beside methods that see point clouds: plans, keys, demos, rollouts, latency, refusals."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from bench import registry
from bench.artifacts import Artifact, Cache, pack_demos, unpack_demos
from bench.clocks import record_inputs, timed_call
from bench.demo_files import read_zarr, write_zarr
from bench.demo_import import resolve
from bench.demos import collect_demos
from bench.demos_command import export_demos
from bench.interfaces import (
    DemoSet,
    ImageObservation,
    ImageObservations,
    Observation,
    Observations,
    TaskSpec,
    UserError,
)
from bench.latency_stage import latency_jobs
from bench.plan import Kind, demos_unit, make_plan
from bench.replay import Recorder
from bench.rollout import rollout
from bench.sensors import batch, observe, preprocess, scan
from bench.spec import make_spec, profile
from bench.testing import check_task
from bench.worker import Worker
from tests.bench.test_demo_files import assert_equal
from tests.bench.test_driver import run
from tests.fakes import FakeMethod, FakeRegistry, FakeStudent, FakeTask, fake_spec


class ImageTask(FakeTask):
    """Shows its position as the brightness of a picture, and counts how often it is looked at."""

    def __init__(self, spec: TaskSpec | None = None) -> None:
        super().__init__(replace(spec or fake_spec(), images="fake-rgb/1"))
        self.pictures = 0

    def observe_image(self) -> ImageObservation:
        self.pictures += 1
        value = np.uint8(np.clip(10 * self.position, 0, 255))
        return ImageObservation(np.full((84, 84, 3), value), self.scan().agent_pos)


class ImageMethod(FakeMethod):
    """Refuses to be shown anything but pictures."""

    def __init__(self, name: str, task: TaskSpec, options: Mapping[str, str]) -> None:
        super().__init__(name, task, options)
        self.spec = replace(self.spec, observation="image")

    def begin_training(self, demos: DemoSet, teacher: Mapping[str, Tensor] | None, generator: torch.Generator) -> None:
        assert demos.image.shape == (len(demos.action), 84, 84, 3)
        super().begin_training(demos, teacher, generator)

    def encode(self, observations: Observations) -> Tensor:
        assert isinstance(observations, ImageObservations)
        assert observations.image.dtype == torch.uint8
        return super().encode(observations)


class ImageStudent(ImageMethod):
    teacher = "image"


class ImageRegistry(FakeRegistry):
    METHODS = {"base": FakeMethod, "student": FakeStudent, "image": ImageMethod, "image-student": ImageStudent}
    TASKS = ("fake/walk", "fake/run", "fake/blind")

    def specs(self) -> dict[str, TaskSpec]:
        return {name: replace(fake_spec(name), images=self.images(name)) for name in self.TASKS}

    def images(self, name: str) -> str | None:
        return None if name == "fake/blind" else "fake-rgb/1"

    def make(self, name: str, *arguments: object, **options: object) -> FakeTask | FakeMethod:
        if not arguments:
            return ImageTask(fake_spec(name)) if self.images(name) else FakeTask(fake_spec(name))
        return super().make(name, *arguments, **options)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> ImageRegistry:
    registry._describe.cache_clear()
    found = ImageRegistry()
    monkeypatch.setattr(registry, "methods", lambda: found)
    monkeypatch.setattr(registry, "tasks", lambda: found)
    yield found
    registry._describe.cache_clear()


def plan(methods: list[str], tasks: tuple[str, ...] = ("fake/walk",)):
    return make_plan(make_spec(methods, tasks, profile_name="smoke"))


def test_other_pictures_are_another_training_whoever_made_the_demos(
    fakes: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(demos: dict[str, str]) -> dict[str, str]:
        spec = make_spec(["base", "image-student"], ("fake/walk",), profile_name="smoke", demos=demos)
        return {unit.label: unit.key for unit in make_plan(spec)}

    imported = {"fake/walk": "a" * 20}
    before = keys({}), keys(imported)
    monkeypatch.setattr(fakes, "images", lambda _: "fake-rgb/2")
    after = keys({}), keys(imported)
    for old, new in zip(before, after, strict=True):
        moved = {label for label in old if old[label] != new[label]}
        assert {label for label in old if "image" in label and not label.startswith("demos")} <= moved
        assert not any("base" in label for label in moved)


def test_a_run_of_both_kinds_has_a_demo_set_for_each() -> None:
    units = plan(["base", "image-student"])
    assert [u.label for u in units] == [
        "demos of fake/walk", "demos of fake/walk with images",
        "train base on fake/walk, seed 0", "evaluate base on fake/walk, seed 0",
        "train image on fake/walk, seed 0", "train image-student on fake/walk, seed 0",
        "evaluate image-student on fake/walk, seed 0",
    ]  # fmt: skip
    assert len({u.key for u in units}) == len(units)
    assert units[2].demos == units[0].key
    assert units[4].demos == units[5].demos == units[1].key


def test_images_do_not_move_the_keys_of_others() -> None:
    task, budget = fake_spec(), profile("smoke")
    other = [replace(task, images=version) for version in ("a/1", "a/2")]
    assert {demos_unit(of, budget, 0).key for of in (task, *other)} == {demos_unit(task, budget, 0).key}
    assert len({demos_unit(of, budget, 0, images=True).key for of in other}) == 2


def test_the_version_of_pictures_is_in_the_key_of_an_evaluation_of_imported_weights(
    fakes: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[str]:
        return [plan([f"{name}:0123456789ab"])[-1].key for name in ("base", "image")]

    before = keys()
    monkeypatch.setattr(fakes, "images", lambda _: "fake-rgb/2")
    after = keys()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_task_without_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"image sees images, and fake/blind has none: choose tasks .* fake"):
        make_spec(["base", "image"], ["fake/walk", "fake/blind"], profile_name="smoke")
    make_spec(["base"], ["fake/walk", "fake/blind"], profile_name="smoke")


def test_demos_hold_images_only_if_asked() -> None:
    task = ImageTask()
    without, seeds = collect_demos(task, 2, base_seed=0)
    assert task.pictures == 0
    assert len(without.image) == 0
    demos, again = collect_demos(task, 2, base_seed=0, images=True)
    assert again == seeds
    assert demos.image.shape == (len(demos.action), 84, 84, 3)
    assert np.array_equal(demos.image[:, 0, 0, 0], np.clip(10 * demos.agent_pos[:, 0], 0, 255).astype(np.uint8))
    assert_equal(replace(demos, image=without.image), without)


def test_demos_with_images_round_trip_and_others_are_packed_as_before() -> None:
    demos, _ = collect_demos(ImageTask(), 2, base_seed=0, images=True)
    assert_equal(unpack_demos(pack_demos(demos)), demos)
    without = replace(demos, image=demos.image[:0])
    assert b"image" not in pack_demos(without)
    assert_equal(unpack_demos(pack_demos(without)), without)
    with pytest.raises(UserError, match="lengths do not agree"):
        unpack_demos(pack_demos(replace(demos, image=demos.image[1:])))


def test_zarr_stores_keep_images(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    demos, _ = collect_demos(ImageTask(), 2, base_seed=0, images=True)
    write_zarr(demos, tmp_path / "set")
    again, notes = read_zarr(tmp_path / "set")
    assert_equal(again, demos)
    assert notes == []
    write_zarr(replace(demos, image=demos.image[:, :64]), tmp_path / "small")
    again, notes = read_zarr(tmp_path / "small")
    assert len(again.image) == 0
    assert notes == ["not used: data/img"]


def test_an_export_without_images_says_so(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("minari")
    demos, _ = collect_demos(ImageTask(), 2, base_seed=0, images=True)
    cache, key, said = Cache(tmp_path / "cache"), "a" * 20, io.StringIO()
    cache.save(key, Artifact(pack_demos(demos), {"kind": "demos", "task": {"id": "fake/walk"}}))
    export_demos(key, tmp_path / "walk-v0", "smoke", cache, Console(file=said, width=200), "minari")
    assert "images left out" in said.getvalue()


def test_imported_demos_must_hold_images_for_methods_that_see_them(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    demos, _ = collect_demos(ImageTask(), 2, base_seed=0, images=True)
    cache = Cache(tmp_path / "cache")
    write_zarr(demos, tmp_path / "seen")
    write_zarr(replace(demos, image=demos.image[:0]), tmp_path / "blind")
    for name, methods, refused in (
        ("seen", ["image"], False), ("blind", ["base"], False), ("blind", ["base", "image"], True),
    ):  # fmt: skip
        imports = resolve({"fake/walk": str(tmp_path / name)}, cache)
        spec = make_spec(methods, ["fake/walk"], profile_name="smoke", demos=imports.keys)
        if not refused:
            imports.check_images(spec, cache)
            continue
        with pytest.raises(UserError, match="image sees images, and the imported demos of fake/walk have none"):
            imports.check_images(spec, cache)


def test_imported_weights_need_no_images_in_imported_demos(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    demos, _ = collect_demos(ImageTask(), 2, base_seed=0)
    cache = Cache(tmp_path / "cache")
    write_zarr(demos, tmp_path / "blind")
    imports = resolve({"fake/walk": str(tmp_path / "blind")}, cache)
    methods = ["base", "image:0123456789ab"]  # the latter is not trained
    imports.check_images(make_spec(methods, ["fake/walk"], profile_name="smoke", demos=imports.keys), cache)


def test_sensors_show_what_a_method_sees() -> None:
    task = ImageTask()
    task.reset(3)
    assert isinstance(observe(task, "point_cloud"), Observation)
    assert task.pictures == 0
    seen = observe(task, "image")
    assert isinstance(seen, ImageObservation)
    assert preprocess(task, reading := scan(task, "image")) is reading
    both = batch([[seen, seen]] * 3, torch.device("cpu"))
    assert isinstance(both, ImageObservations)
    assert both.image.shape == (3, 2, 84, 84, 3)
    assert both.agent_pos.shape == (3, 2, 3)


def test_a_rollout_renders_what_the_policy_looks_at_and_nothing_else() -> None:
    task, recorder = ImageTask(), Recorder()
    method = ImageMethod("image", task.spec, {})
    (episode,) = rollout([task], method, [5], base_seed=0, training_seed=0, recorder=recorder)
    assert episode.error is None
    assert episode.steps == task.spec.max_steps
    assert task.observed == 0
    # the first, and the last two of each chunk of three; nothing is seen after the last step
    assert task.pictures == 1 + 2 * episode.steps // 3 - 1
    assert recorder.kept == {}


def test_a_run_of_both_kinds_goes_from_demos_to_records(tmp_path: Path) -> None:
    display = run(tmp_path, ["base", "image-student"])
    assert not [outcome for _, outcome in display.finished if "error" in outcome]
    assert len(display.finished) == 14  # of two tasks: two demo sets, three trainings, two evaluations
    assert run(tmp_path, ["base", "image-student"]).finished == []


def test_a_worker_makes_the_images(tmp_path: Path) -> None:
    unit = plan(["image"])[0]
    assert unit.kind is Kind.DEMOS
    worker = Worker()
    made = worker.run(unit, {}, None, lambda *_: None)
    worker.close()
    assert made.artifact is not None
    assert len(unpack_demos(made.artifact.data).image)


def test_latency_is_that_of_images_and_compared_within_the_kind() -> None:
    task = ImageTask()
    method = ImageMethod("image", task.spec, {})
    (readings,) = record_inputs(task, 0, 2, count=1, kind="image")
    assert all(isinstance(reading, ImageObservation) for reading in readings)
    assert len(timed_call(method, task, readings, torch.Generator())) == 4
    units = plan(["base", "image-student", "student"])
    (job,) = latency_jobs(units, "cpu")
    found = dict(zip(map(str, job.variants), map(str, job.references), strict=True))
    assert found == {"base": "base", "image": "image", "image-student": "image", "student": "base"}


def test_the_kit_checks_images() -> None:
    class Blind(ImageTask):
        def __init__(self) -> None:
            super().__init__()
            self.spec = replace(self.spec, images=None)

    class Small(ImageTask):
        def observe_image(self) -> ImageObservation:
            seen = super().observe_image()
            return seen._replace(image=seen.image[:64])

    for faulty, words in ((Blind, "spec.images and observe_image"), (Small, r"the image is uint8 \[64, 84, 3\]")):
        with pytest.raises(AssertionError, match=words):
            check_task(faulty)
