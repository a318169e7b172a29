"""Does a method keep its contract (`bench.interfaces.Method`)?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from bench import registry
from bench.artifacts import pack_tensors, unpack_tensors
from bench.interfaces import (
    IMAGE_SIZE,
    Batch,
    DemoSet,
    ImageObservation,
    Method,
    MethodSpec,
    Observation,
    ObservationKind,
    Observations,
    TaskSpec,
    UserError,
)
from bench.sensors import batch as as_batch
from bench.testing.demand import demand
from bench.windows import batches

TASK = TaskSpec("check/method", "check", None, 64, 9, 4, 40, 1, "none", "none")
_PROFILES = ("smoke", "lite")  # those that every method has; `bench list methods` shows the sizes of `lite`
_BATCH = 4  # episodes in a policy call
_STEPS = 6  # of training


class Factory(Protocol):
    """What a method's entry point names: a class or function that builds it."""

    def __call__(self, task: TaskSpec, profile: str, options: Mapping[str, str], device: str, /) -> Method:
        """Build the method."""


def check_method(method: str | Factory, task: TaskSpec = TASK) -> None:
    """Check a method at the profile ``smoke``, on random demonstrations and on the CPU; takes seconds.

    Args:
        method: the registered name (this checks the entry point too), or what the entry point names.
        task: sizes of observation and action.

    Raises:
        AssertionError: the first departure from the contract, and what to do.
        UserError: no method of this name is registered.
    """
    make: Factory = partial(registry.methods().make, method) if isinstance(method, str) else method
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers do: more gain nothing at these sizes, and one is reproducible
    try:
        _check_building(make, task)
        demos = _random_demos(task)
        teacher = _teacher_state(make(task, "smoke", {}, "cpu").spec, task, demos)
        _check_acting(make, task)
        _check_training(make, task, demos, teacher)
        _check_checkpoint(make, task, demos, teacher)
    finally:
        torch.set_num_threads(threads)


def _check_building(make: Factory, task: TaskSpec) -> None:
    for profile in _PROFILES:
        try:
            built = make(task, profile, {}, "cpu")
        except UserError as error:
            raise AssertionError(f"profile '{profile}' is refused ({error}): give the method sizes for it") from error
        spec = built.spec
        demand(isinstance(spec, MethodSpec), f"spec is a {type(spec).__name__}: make it a bench.interfaces.MethodSpec")
        sizes = ("horizon", "n_obs_steps", "n_action_steps", "nfe", "train_steps", "batch_size", "executed_steps")
        for name in sizes:
            value = getattr(spec, name)
            demand(isinstance(value, int) and value >= 1, f"spec.{name} is {value!r}: make it a whole number from 1")
        kinds = get_args(ObservationKind)
        demand(spec.observation in kinds, f"spec.observation is {spec.observation!r}: make it {' or '.join(kinds)}")
        for name in ("config", "options"):
            try:
                json.dumps(getattr(spec, name), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise AssertionError(f"spec.{name} is no JSON ({error}): content keys are made from it") from error
        again = make(task, profile, {}, "cpu").spec
        demand(spec == again, "two methods built alike differ in spec: derive it from the arguments alone")
        other = make(TaskSpec(**{**vars(task), "id": "check/other"}), profile, {}, "cpu").spec
        demand(spec == other, "spec depends on the name of the task: only its sizes may count")
    parameters = list(built.network.parameters())
    demand(bool(parameters), "network has no parameters: it must be the module that acts, the harness asks its device")
    for what, profile, options in (
        ("an unknown profile", "no-such-profile", {}),
        ("an unknown option", "smoke", {"no-such-option": "1"}),
    ):
        try:
            make(task, profile, options, "cpu")
        except UserError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{what} raises {type(error).__name__}: raise bench.interfaces.UserError with what there is to choose"
            ) from error
        raise AssertionError(f"{what} is accepted: raise bench.interfaces.UserError with what there is to choose")


def _check_acting(make: Factory, task: TaskSpec) -> None:
    method = make(task, "smoke", {}, "cpu")
    spec, seen = method.spec, _observations(task, method.spec)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    calls: list[int] = []
    hook = method.network.register_forward_hook(lambda *_: calls.append(1))
    chunk = method.act(seen, _generator())
    hook.remove()
    shape = (_BATCH, spec.executed_steps, task.action_dim)
    demand(
        tuple(chunk.shape) == shape,
        f"act returned shape {tuple(chunk.shape)}, expected {shape} = [B, spec.executed_steps, A]: return the actions "
        "[n_obs_steps - 1 : n_obs_steps - 1 + executed_steps] of the horizon",
    )
    demand(chunk.dtype == torch.float32, f"act returned {chunk.dtype}: return float32")
    demand(bool(chunk.isfinite().all()), "act returned values that are not finite, with untrained weights")
    demand(not chunk.requires_grad, "act returned a tensor with a graph: act under torch.inference_mode()")
    demand(
        len(calls) == spec.nfe,
        f"network was called {len(calls)} times in act, spec.nfe says {spec.nfe}: declare what is done, and let "
        "`network` be the module whose calls count (call the module, not its forward)",
    )
    again = method.act(seen, _generator())
    demand(torch.equal(chunk, again), "act with the same generator gave other actions: draw noise from it alone")
    parts = method.sample(method.encode(seen), _generator())
    demand(torch.equal(chunk, parts), "act is not sample(encode(observations)): the latency protocol times these two")
    demand(torch.equal(before, torch.get_rng_state()), "act drew from torch's global generator: use the one given")
    others = type(seen)(*(torch.cat([part[:1], part[1:].flip(0) + 1]) for part in seen))
    alone = method.act(others, _generator())[0]
    demand(
        torch.allclose(chunk[0], alone, atol=1e-5),
        "the actions of an episode changed with the others in the batch: no statistics over the batch when acting",
    )


def _check_training(make: Factory, task: TaskSpec, demos: DemoSet, teacher: Mapping[str, Tensor] | None) -> None:
    if make(task, "smoke", {}, "cpu").spec.teacher:
        try:
            make(task, "smoke", {}, "cpu").begin_training(demos, None, _generator())
        except UserError:
            pass
        else:
            raise AssertionError("begin_training of a student without a teacher goes well: raise UserError")
    whole = _begun(make, task, demos, teacher)
    start = whole.training_state()
    work = _batches(demos, whole.spec)
    generator, middle, noise = _generator(1), start, _generator(1).get_state()
    for step, batch in enumerate(work):
        if step == _STEPS // 2:
            middle, noise = whole.training_state(), generator.get_state()
        losses = whole.fit_step(batch, generator)
        scalar = all(isinstance(v, Tensor) and v.numel() == 1 for v in losses.values())
        demand(bool(losses) and scalar, "fit_step must return scalar tensors by name, for instance {'loss': loss}")
        finite = all(bool(v.isfinite().all()) for v in losses.values())
        demand(finite, f"a loss is not finite in step {step}: {losses}")
        whole.act(_observations(task, whole.spec), _generator())  # as the points of the learning curve do
    end = whole.training_state()
    demand(_difference(start, end) is not None, "training changed nothing in training_state()")
    twin = _begun(make, task, demos, teacher)
    generator = _generator(1)
    for batch in work:
        twin.fit_step(batch, generator)
    demand(
        (name := _difference(end, twin.training_state())) is None,
        f"the same training gave another '{name}': initial weights and noise may come from the generators given alone, "
        "and acting between steps may change nothing",
    )
    resumed = _begun(make, task, demos, teacher)
    resumed.load_training_state(_through_a_file(middle))
    generator = _generator().set_state(noise)
    for batch in work[_STEPS // 2 :]:
        resumed.fit_step(batch, generator)
    demand(
        (name := _difference(end, resumed.training_state())) is None,
        f"training resumed from training_state() gave another '{name}': all that fit_step changes belongs into it "
        "(optimiser moments, averages, counters), as copies, and load_training_state must restore it",
    )


def _check_checkpoint(make: Factory, task: TaskSpec, demos: DemoSet, teacher: Mapping[str, Tensor] | None) -> None:
    trained = _begun(make, task, demos, teacher)
    seen = _observations(task, trained.spec)
    before = trained.state()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    generator = _generator(1)
    for batch in _batches(demos, trained.spec):
        trained.fit_step(batch, generator)
    demand(_difference(before, kept) is None, "state() changed after it was returned: return copies of the tensors")
    state = trained.state()
    demand(bool(state), "state() is empty: it must hold all that act needs")
    copy = make(task, "smoke", {}, "cpu")
    copy.load_state(_through_a_file(state))
    same = torch.equal(copy.act(seen, _generator()), trained.act(seen, _generator()))
    demand(same, "a fresh method with load_state(state()) acts otherwise: state() must hold all that act needs")
    required = next((n for n in sorted(state) if _refused(make, task, {k: v for k, v in state.items() if k != n})), "")
    demand(required != "", "load_state accepts a checkpoint with any tensor missing: raise UserError naming it")
    misshapen = {**state, required: torch.zeros(*state[required].shape, 2)}
    faults: tuple[tuple[str, str, Callable[[], str]], ...] = (
        ("a tensor missing", required, lambda: _refused(make, task, {k: v for k, v in state.items() if k != required})),
        ("an unexpected tensor", "unexpected", lambda: _refused(make, task, {**state, "unexpected": torch.zeros(1)})),
        ("a tensor of another shape", required, lambda: _refused(make, task, misshapen)),
    )
    for fault, name, refusal in faults:
        message = refusal()
        demand(message != "", f"load_state accepts a checkpoint with {fault} ('{name}'): raise UserError naming it")
        demand(name in message, f"load_state with {fault} says '{message}': name the tensor, '{name}'")


def _refused(make: Factory, task: TaskSpec, state: Mapping[str, Tensor]) -> str:
    """What load_state says to a bad checkpoint; empty if nothing."""
    try:
        make(task, "smoke", {}, "cpu").load_state(state)
    except UserError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(
            f"load_state of a bad checkpoint raises {type(error).__name__} ({error}): check names and shapes first and "
            "raise UserError naming the tensor"
        ) from error
    return ""


def _begun(make: Factory, task: TaskSpec, demos: DemoSet, teacher: Mapping[str, Tensor] | None) -> Method:
    method = make(task, "smoke", {}, "cpu")
    method.begin_training(demos, teacher, _generator())
    return method


def _teacher_state(spec: MethodSpec, task: TaskSpec, demos: DemoSet) -> dict[str, Tensor] | None:
    """The checkpoint of a student's teacher after a few steps."""
    if spec.teacher is None:
        return None
    make: Factory = partial(registry.methods().make, spec.teacher)
    teacher = _begun(make, task, demos, _teacher_state(make(task, "smoke", {}, "cpu").spec, task, demos))
    generator = _generator(1)
    for batch in _batches(demos, teacher.spec):
        teacher.fit_step(batch, generator)
    return teacher.state()


def _random_demos(task: TaskSpec, length: int = 30) -> DemoSet:
    """Two episodes of noise."""
    rng = np.random.default_rng(0)
    total = 2 * length
    return DemoSet(
        rng.normal(size=(total, task.n_points, 3)).astype(np.float32),
        rng.normal(size=(total, task.agent_pos_dim)).astype(np.float32),
        rng.uniform(-1, 1, (total, task.action_dim)).astype(np.float32),
        np.array([length, total]),
        image=rng.integers(256, size=(total, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8),
    )


def _observations(task: TaskSpec, spec: MethodSpec) -> Observations:
    """Noise, of the kind that a method sees."""
    rng = np.random.default_rng(2)

    def look() -> Observation | ImageObservation:
        state = rng.normal(size=task.agent_pos_dim).astype(np.float32)
        if spec.observation == "image":
            return ImageObservation(rng.integers(256, size=(IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8), state)
        return Observation(rng.normal(size=(task.n_points, 3)).astype(np.float32), state)

    return as_batch([[look() for _ in range(spec.n_obs_steps)] for _ in range(_BATCH)], torch.device("cpu"))


def _batches(demos: DemoSet, spec: MethodSpec) -> list[Batch]:
    return list(islice(batches(demos, spec, np.random.SeedSequence(0)), _STEPS))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _through_a_file(state: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return unpack_tensors(pack_tensors(state))
    except Exception as error:
        raise AssertionError(f"a state is not kept by safetensors ({error}): tensors by name, none shared") from error


def _difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first tensor that is not equal."""
    if odd := sorted(set(one) ^ set(other)):
        return odd[0]
    return next((name for name in sorted(one) if not torch.equal(one[name], other[name])), None)
