"""Methods that see images: their encoder by known answers, and what they have in common with dp3 and sdm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import methods
from bench.interfaces import DemoSet, ImageObservations, TaskSpec, UserError
from bench.testing import check_method
from methods.images import SIZES
from methods.nets.image_encoder import ImageEncoder, ImageStateEncoder, random_crops, spatial_softmax
from tests.methods.conftest import make_batch

NAMES = ("dp", "sdm2d")


@pytest.fixture(scope="module")
def seen(demos: DemoSet) -> DemoSet:
    rng = np.random.default_rng(0)
    return replace(demos, image=rng.integers(256, size=(len(demos.action), 84, 84, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name: str) -> None:
    check_method(name)


def test_the_published_encoder_is_a_resnet_18() -> None:
    encoder = ImageEncoder(SIZES["paper"].vision, 64)
    trunk = (encoder.stem, encoder.stem_norm, encoder.blocks)
    # torchvision's resnet18 without its classifier: BatchNorm has as many weights as GroupNorm
    assert sum(p.numel() for part in trunk for p in part.parameters()) == 11_176_512
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert {norm.num_channels // norm.num_groups for norm in norms} == {16}
    assert encoder.keypoints.out_channels == 32


def test_spatial_softmax_is_the_mean_place() -> None:
    maps = torch.full((1, 2, 5, 9), -100.0)
    maps[0, 0, 1, 6] = 100.0
    maps[0, 1] = 0.0
    places = spatial_softmax(maps)
    assert torch.allclose(places[0, 0], torch.tensor([0.5, -0.5]))
    assert torch.allclose(places[0, 1], torch.zeros(2), atol=1e-6)


def test_crops_are_squares_of_their_pictures_at_places_of_their_own(generator: torch.Generator) -> None:
    ramp = torch.arange(84)
    image = torch.stack([ramp[:, None].expand(84, 84), ramp.expand(84, 84), torch.zeros(84, 84)], dim=-1).byte()
    crops = random_crops(image.expand(200, -1, -1, -1), 76, generator)
    assert crops.shape == (200, 76, 76, 3)
    rows, columns = crops[:, 0, 0, 0], crops[:, 0, 0, 1]
    assert set(rows.tolist()) == set(columns.tolist()) == set(range(9))
    assert not torch.equal(rows, columns)
    for crop, row, column in zip(crops[:3], rows, columns, strict=False):
        assert torch.equal(crop, image[row : row + 76, column : column + 76])
    again = random_crops(image.expand(200, -1, -1, -1), 76, torch.Generator().manual_seed(0))
    assert torch.equal(crops, again)


def test_acting_sees_the_middle() -> None:
    encoder = ImageStateEncoder(9, SIZES["smoke"].vision, 16, 32).eval()
    image = torch.randint(256, (2, 84, 84, 3), dtype=torch.uint8)
    state = torch.randn(2, 9)
    other = image.clone()
    other[:, :4], other[:, -4:], other[:, :, :4], other[:, :, -4:] = 0, 0, 0, 0
    with torch.no_grad():
        assert torch.equal(encoder(image, state), encoder(other, state))
        assert torch.equal(encoder(image, state), encoder(image[:, 4:-4, 4:-4], state))
        other[:, 40:44, 40:44] = 0
        assert not torch.equal(encoder(image, state), encoder(other, state))


@pytest.mark.parametrize("profile", ["smoke", "lite"])
def test_all_but_the_encoder_is_that_of_dp3(task: TaskSpec, profile: str) -> None:
    flat, solid = methods.make("dp", task, profile), methods.make("dp3", task, profile)
    ours, theirs = flat.network.state_dict(), solid.network.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert flat.spec.nfe == solid.spec.nfe == 10
    assert (flat.spec.observation, solid.spec.observation) == ("image", "point_cloud")
    assert flat.spec.executed_steps == solid.spec.executed_steps == 3


def test_the_student_starts_from_its_teacher(task: TaskSpec, seen: DemoSet, generator: torch.Generator) -> None:
    teacher = methods.make("dp", task, "smoke")
    teacher.begin_training(seen, None, generator)
    for step in range(3):
        teacher.fit_step(make_batch(seen, step=step), generator)
    student = methods.make("sdm2d", task, "smoke")
    assert (student.spec.teacher, student.spec.observation, student.spec.nfe) == ("dp", "image", 1)
    student.begin_training(seen, teacher.state(), generator)
    looks = ImageObservations(torch.from_numpy(seen.image[:4]).view(2, 2, 84, 84, 3), torch.randn(2, 2, 9))
    assert torch.equal(student.encode(looks), teacher.encode(looks))
    before = student.state()
    student.fit_step(make_batch(seen), generator)
    changed = {
        name.partition(".")[0] for name, value in student.state().items() if not torch.equal(value, before[name])
    }
    assert changed <= {"unet"}


def test_training_reaches_every_weight_of_the_encoder(
    task: TaskSpec, seen: DemoSet, generator: torch.Generator
) -> None:
    method = methods.make("dp", task, "smoke")
    method.begin_training(seen, None, generator)
    before = {name: tensor for name, tensor in method.training_state().items() if name.startswith("net/encoder.image")}
    method.fit_step(make_batch(seen, size=8), generator)
    after = method.training_state()
    assert [name for name, tensor in before.items() if torch.equal(tensor, after[name])] == []


def test_demonstrations_without_images_and_unknown_options_are_refused(task: TaskSpec, demos: DemoSet) -> None:
    with pytest.raises(UserError, match="dp sees images"):
        methods.make("dp", task, "smoke").begin_training(demos, None, torch.Generator())
    with pytest.raises(UserError, match="option of dp 't'"):
        methods.make("dp", task, "smoke", {"nfe": "1", "t": "3"})
    with pytest.raises(UserError, match="option nfe=2 of sdm2d"):
        methods.make("sdm2d", task, "smoke", {"nfe": "2"})
