"""What every method must do: registry, shapes, NFE, determinism, resuming, checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import methods
from bench.interfaces import HandPlace, Method, Observations, TaskSpec, UserError
from bench.spec import Variant
from methods.bc import CONFIGS as BC
from methods.bc import Bc
from methods.dp3 import CONFIGS, Dp3
from methods.flowpolicy import CONFIGS as FLOW
from methods.flowpolicy import FlowPolicy
from methods.networks import SIZES, Networks
from methods.policy import RAW
from methods.simple_dp3 import CONFIGS as SIMPLE
from methods.simple_dp3 import SimpleDp3
from tests.methods.conftest import make_batch

SEE_CLOUDS = [name for name in methods.METHODS if name not in ("dp", "sdm2d")]  # for these: test_images.py
VARIANTS = [
    ("dp3", {}, 10),
    ("dp3", {"nfe": "1"}, 1),
    ("dp3", {"nfe": "1", "t": "0"}, 1),
    ("dp3", {"nfe": "4"}, 4),
    ("manicm", {}, 1),
    ("manicm", {"nfe": "4"}, 4),
    ("manicm-released", {}, 1),
    ("sdm", {}, 1),
    ("sdm-released", {}, 10),
    ("sdm-released", {"nfe": "1"}, 1),
    ("bc", {}, 1),
    ("bc", {"nfe": "1"}, 1),
    ("flowpolicy", {}, 1),
    ("flowpolicy", {"nfe": "2"}, 2),
    ("flowpolicy-released", {}, 1),
    ("simple_dp3", {}, 10),
    ("simple_dp3", {"nfe": "1"}, 1),
]


def observations(batch: int = 3) -> Observations:
    noise = torch.Generator().manual_seed(5)
    return Observations(torch.randn(batch, 2, 64, 3, generator=noise), torch.randn(batch, 2, 9, generator=noise))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def teacher(task, demos) -> dict[str, torch.Tensor]:
    method = methods.make("dp3", task, "smoke")
    method.begin_training(demos, None, seeded())
    generator = seeded(1)
    for step in range(8):
        method.fit_step(make_batch(demos, step=step), generator)
    return method.state()


def started(name: str, task, demos, teacher) -> Method:
    method = methods.make(name, task, "smoke")
    method.begin_training(demos, teacher if method.spec.teacher else None, seeded())
    return method


@pytest.mark.parametrize(("name", "options", "nfe"), VARIANTS)
def test_declared_nfe_is_observed(name, options, nfe, task):
    method = methods.make(name, task, "smoke", options)
    calls = []
    method.network.register_forward_hook(lambda *_: calls.append(1))
    actions = method.act(observations(), seeded())
    assert method.spec.nfe == len(calls) == nfe
    assert actions.shape == (3, method.spec.executed_steps, 4)
    assert method.spec.executed_steps == 3
    assert method.spec.options["nfe"] == nfe


@pytest.mark.parametrize("name", SEE_CLOUDS)
def test_actions_repeat_with_the_seed_and_follow_it(name, task):
    first, again, other = (methods.make(name, task, "smoke").act(observations(), seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "bc")  # which draws nothing


def test_one_step_timesteps_differ(task):
    actions = [Dp3(task, "smoke", {"nfe": "1", "t": t}).act(observations(), seeded()) for t in ("99", "90", "0")]
    default = Dp3(task, "smoke", {"nfe": "1"})
    assert default.spec.options == {"nfe": 1, "t": 99}
    assert torch.equal(default.act(observations(), seeded()), actions[0])
    assert not torch.equal(actions[0], actions[1])
    assert not torch.equal(actions[1], actions[2])


@pytest.mark.parametrize("name", SEE_CLOUDS)
def test_resumed_training_is_bit_identical(name, task, demos, teacher):
    whole, generator = started(name, task, demos, teacher), seeded(1)
    for step in range(12):
        if step == 7:
            snapshot, noise = whole.training_state(), generator.get_state()
        whole.fit_step(make_batch(demos, step=step, epoch=step // 2), generator)
        if step % 5 == 0:
            whole.act(observations(), seeded())  # evaluation must not disturb the training
    resumed = started(name, task, demos, teacher)
    resumed.load_training_state(snapshot)
    generator = seeded().set_state(noise)
    for step in range(7, 12):
        resumed.fit_step(make_batch(demos, step=step, epoch=step // 2), generator)
    expected, got = whole.training_state(), resumed.training_state()
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert torch.equal(whole.act(observations(), seeded()), resumed.act(observations(), seeded()))


@pytest.mark.parametrize("name", SEE_CLOUDS)
def test_checkpoint_acts_the_same(name, task, demos, teacher):
    method, generator = started(name, task, demos, teacher), seeded(1)
    before = method.act(observations(), seeded())
    for step in range(6):
        method.fit_step(make_batch(demos, step=step), generator)
    copy = methods.make(name, task, "smoke")
    copy.load_state(method.state())
    assert torch.equal(copy.act(observations(), seeded()), method.act(observations(), seeded()))
    assert not torch.equal(before, method.act(observations(), seeded()))
    assert copy.state().keys() == method.state().keys()


def test_acting_does_not_touch_the_global_generator(task, demos, teacher):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    method = started("sdm", task, demos, teacher)
    method.fit_step(make_batch(demos), seeded())
    method.act(observations(), seeded())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape", "values"])
def test_damaged_checkpoints_are_refused(fault, task):
    method = methods.make("sdm", task, "smoke")
    state = method.state()
    name = "unet.mid.0.film.weight"
    if fault == "missing":
        del state[name]
    elif fault == "unexpected":
        name = "unet.extra"
        state[name] = torch.zeros(1)
    elif fault == "shape":
        state[name] = state[name][:-1]
    else:
        state[name][0, 0] = float("nan")
    with pytest.raises(UserError, match=name):
        method.load_state(state)


def test_timesteps_are_uniform_and_spread_within_a_window(task):
    method = Dp3(task, "smoke", config=replace(CONFIGS["smoke"], noise_draws=4))
    t = method._draw_timesteps(5000, seeded())
    counts = torch.bincount(t, minlength=100)
    assert len(counts) == 100
    assert counts.min() > 100  # 200 expected
    assert counts.max() < 300
    of_one_window = t.view(4, 5000).sort(dim=0).values.diff(dim=0)
    assert (of_one_window == 25).all()


@pytest.mark.parametrize("policy", [Dp3, Bc])
def test_noise_on_the_state_reaches_training_but_not_acting(policy, task, demos):
    losses, actions = [], []
    for noise in (0.0, 1.0):
        method = policy(task, "smoke", config=replace(CONFIGS["smoke"], state_noise=noise, noise_draws=1))
        method.begin_training(demos, None, seeded())
        actions.append(method.act(observations(), seeded()))
        losses.append([float(method.fit_step(make_batch(demos), seeded(s))["loss"]) for s in (1, 1)])
    assert torch.equal(*actions)
    assert losses[0] != losses[1]


OVERFIT = {"train_steps": 300, "lr": 3e-3, "state_noise": 0.0}


@pytest.mark.parametrize(("policy", "configs"), [(Dp3, CONFIGS), (SimpleDp3, SIMPLE), (Bc, BC)])
def test_one_batch_is_overfitted(policy, configs, task, demos):
    method = policy(task, "smoke", config=replace(configs["smoke"], **OVERFIT))
    method.begin_training(demos, None, seeded())
    generator, batch = seeded(1), make_batch(demos, size=8)
    losses = [float(method.fit_step(batch, generator)["loss"]) for _ in range(300)]
    assert sum(losses[-20:]) / 20 < 0.02 * losses[0]
    assert chunk_error(method, demos, batch) < 0.02


def test_flowpolicy_learns_one_batch(task, demos):
    recipe = replace(FLOW["smoke"].recipe, **OVERFIT, noise_draws=4)
    method = FlowPolicy(task, "smoke", config=replace(FLOW["smoke"], recipe=recipe))
    method.begin_training(demos, None, seeded())
    generator, batch = seeded(1), make_batch(demos, size=8)
    before = chunk_error(method, demos, batch)
    for _ in range(300):
        method.fit_step(batch, generator)
    assert chunk_error(method, demos, batch) < 0.35 * before  # the mean of all chunks would be at 0.4


def chunk_error(method: Method, demos, batch) -> float:
    """Mean squared error of the executed actions, in windows that were trained on."""
    clouds, states = (torch.from_numpy(array)[batch.frames] for array in (demos.point_cloud, demos.agent_pos))
    actions = method.act(Observations(clouds, states), seeded(9))
    return float((actions - batch.action[:, 1:]).square().mean())


@pytest.mark.parametrize(
    ("name", "profile", "options", "message"),
    [
        ("dp33", "smoke", {}, "did you mean dp3"),
        ("dp3", "lita", {}, "did you mean lite"),
        ("dp3", "smoke", {"nfee": "1"}, "did you mean nfe"),
        ("dp3", "smoke", {"nfe": "0"}, "1 to 100"),
        ("dp3", "smoke", {"nfe": "two"}, "1 to 100"),
        ("dp3", "smoke", {"t": "90"}, "nfe=1 only"),
        ("dp3", "smoke", {"nfe": "1", "t": "100"}, "0 to 99"),
        ("manicm", "smoke", {"nfe": "2"}, "1, 4"),
        ("sdm", "smoke", {"nfe": "10"}, "choose from 1"),
        ("bc", "smoke", {"nfe": "2"}, "nfe=2 of bc: choose from 1"),
        ("bc", "lita", {}, "did you mean lite"),
        ("flowpolicy", "smoke", {"nfe": "0"}, "of flowpolicy: choose from 1 to 100"),
        ("flowpolicy-released", "smoke", {"steps": "2"}, "option of flowpolicy-released 'steps'"),
        ("flowpolicy", "papre", {}, "did you mean paper"),
        ("simple_dp3", "smoke", {"nfe": "101"}, "of simple_dp3: choose from 1 to 100"),
        ("simple_dp3", "smoke", {"t": "90"}, "option of simple_dp3 't'"),
        ("simpledp3", "smoke", {}, "did you mean simple_dp3"),
    ],
)
def test_bad_names_and_options(name, profile, options, message, task):
    with pytest.raises(UserError, match=message):
        methods.make(name, task, profile, options)


@pytest.mark.parametrize("name", ["manicm", "sdm"])
def test_students_need_a_teacher(name, task, demos):
    with pytest.raises(UserError, match="needs a checkpoint of dp3"):
        methods.make(name, task, "smoke").begin_training(demos, None, seeded())


def test_baselines_are_variants_that_there_are(task):
    for text in methods.baselines():
        variant = Variant.parse(text)
        assert methods.make(variant.method, task, "smoke", dict(variant.options)).spec.nfe in (1, 2, 4, 10)


def test_broken_plugin_is_named_and_the_others_work(task, monkeypatch):
    from importlib.metadata import EntryPoint

    broken = EntryPoint("broken", "no_such_module:Policy", methods.ENTRY_POINTS)
    working = EntryPoint("working", "methods.dp3:Dp3", methods.ENTRY_POINTS)
    monkeypatch.setattr(
        methods, "entry_points", lambda group: [broken, working] if group == methods.ENTRY_POINTS else []
    )
    assert {"broken", "working", "dp3"} <= set(methods.names())
    assert isinstance(methods.make("working", task, "smoke"), Dp3)
    with pytest.raises(UserError, match="no_such_module"):
        methods.make("broken", task, "smoke")


def paper_task(state: int, action: int) -> TaskSpec:
    return TaskSpec("any/any", "any", None, 512, state, action, 200, 5, "none", "none")


@pytest.mark.parametrize(
    ("state", "action", "count"),
    [(9, 4, 255_138_308), (24, 26, 255_218_138), (24, 28, 255_225_308), (24, 24, 255_210_968), (32, 22, 255_204_310)],
)
def test_published_parameter_counts(state, action, count):
    with torch.device("meta"):
        networks = Networks(paper_task(state, action), SIZES["paper"])
    assert sum(p.numel() for p in networks.parameters()) == count


def test_published_parameter_count_of_simple_dp3():
    with torch.device("meta"):
        networks = Networks(paper_task(9, 4), SIMPLE["paper"].sizes)
    assert sum(p.numel() for p in networks.parameters()) == 7_439_108


@pytest.mark.parametrize("profile", ["smoke", "lite", "paper"])
def test_methods_trained_from_scratch_share_the_recipe_of_dp3(profile):
    """A difference in success is one of loss and sampler, or, for simple_dp3, of the U-Net."""
    assert FLOW[profile].recipe == CONFIGS[profile]
    assert BC[profile] == replace(CONFIGS[profile], noise_draws=1)
    sizes = replace(SIMPLE[profile].sizes, down_dims=CONFIGS[profile].sizes.down_dims, n_blocks=SIZES[profile].n_blocks)
    assert replace(SIMPLE[profile], sizes=sizes) == CONFIGS[profile]


@pytest.mark.parametrize("name", ["dp3", "manicm", "sdm", "bc", "flowpolicy", "simple_dp3"])
def test_four_times_the_demonstrations_take_twice_the_steps(name, task):
    few, many = (methods.make(name, t, "lite").spec for t in (task, replace(task, demo_factor=4)))
    assert many.train_steps == 2 * few.train_steps
    assert many.config != few.config  # so that the checkpoint has another key


def test_the_hand_is_the_origin_of_the_cloud(task, demos):
    """Moved together, hand and cloud look the same; `paper` takes the cloud as it is."""
    turn = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    task = replace(task, hand=HandPlace(2, (0.1, 0.2, 0.3), turn))
    cloud, state = torch.randn(2, 5, 3), torch.randn(2, task.agent_pos_dim)
    step = torch.tensor([1.0, 2.0, 3.0])
    moved = state.clone()
    moved[:, 2:5] += step
    for profile, shifts in (("lite", True), ("smoke", False), ("paper", False)):
        with torch.device("meta" if profile == "paper" else "cpu"):
            networks = Networks(task, SIZES[profile])
        if not shifts:
            assert networks._from_hand(cloud, state) is cloud
            continue
        networks.fit_normalizer(cloud, state, torch.randn(2, task.action_dim))
        seen, _ = networks.normalise(cloud, state)
        again, _ = networks.normalise(cloud + torch.tensor(turn) @ step, moved)
        torch.testing.assert_close(again, seen, rtol=0, atol=1e-5)
        assert seen.abs().max() <= 1 + 1e-5
        alone, _ = networks.normalise(cloud, moved)
        assert (alone - seen).abs().max() > 0.1


def test_raw_weights_travel_with_the_teacher_only(task, demos, teacher):
    raw = {name.removeprefix(RAW) for name in teacher if name.startswith(RAW)}
    assert raw == {name for name, _ in Networks(task, SIZES["smoke"]).named_parameters()}
    assert any(not torch.equal(teacher[name], teacher[RAW + name]) for name in raw)
    student = started("manicm", task, demos, teacher)
    assert not any(name.startswith(RAW) for name in student.state())
