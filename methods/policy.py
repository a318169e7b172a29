"""What the methods share: construction, inference, checkpoints and the state of training."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from bench.interfaces import DemoSet, MethodSpec, ObservationKind, Observations, TaskSpec, UserError, unknown
from methods.nets.diffusion import Schedule
from methods.nets.optim import Optimizer
from methods.networks import HORIZON, N_ACTION_STEPS, N_OBS_STEPS, Networks

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ConfigT = TypeVar("ConfigT")

RAW = "raw."  # prefix of the weights without EMA in a teacher's checkpoint


class ChunkPolicy(ABC):
    """Base of the methods: acts with EMA weights by the `_sample` of its subclass; keeps the state of training.

    A subclass says in class attributes what it is, makes in `_set_up` what its sampler needs, and fills ``_modules``,
    ``_optimizers`` and ``_counters`` in `begin_training`: what `fit_step` changes.

    Args:
        task: gives the sizes of observation and action.
        profile: one of ``configs``.
        options: inference options as text.
        device: where the tensors live.
        config: hyper-parameters in the place of the profile's; with ``released_compat`` the name has that ending.
    """

    name: str
    teacher: str | None = None
    configs: Mapping[str, Any]  # hyper-parameters by profile, a dataclass
    choices: ClassVar[Mapping[str, Collection[int]]] = {"nfe": (1,)}  # values that inference options may have
    observation: ObservationKind = "point_cloud"
    networks_type: type[Any] = Networks  # or a counterpart; made of a task and ``recipe.sizes``

    def __init__(
        self,
        task: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        config: Any = None,
    ) -> None:
        self.config = config or profile_config(self.configs, profile, task)
        name = f"{self.name}-released" if getattr(self.config, "released_compat", False) else self.name
        in_force = self._options(name, options)
        self.spec = MethodSpec(
            name=name,
            teacher=self.teacher,
            horizon=HORIZON,
            n_obs_steps=N_OBS_STEPS,
            n_action_steps=N_ACTION_STEPS,
            nfe=in_force["nfe"],
            train_steps=self.recipe.train_steps,
            batch_size=self.recipe.batch_size,
            config=asdict(self.config),
            options=in_force,
            observation=self.observation,
        )
        self.device = torch.device(device)
        self.schedule = Schedule(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # weights before training are of no use, but the same in every process
            networks: Networks = self.networks_type(task, self.recipe.sizes)
        self.ema = networks.to(self.device).requires_grad_(False).eval()
        self._chunk = (HORIZON, task.action_dim)
        self._modules: dict[str, nn.Module] = {}
        self._optimizers: dict[str, Optimizer] = {}
        self._counters: dict[str, int] = {}
        self._frozen = False
        self._set_up(in_force)

    @property
    def recipe(self) -> Any:
        """The part of ``config`` that has ``sizes``, ``train_steps`` and ``batch_size``."""
        return self.config

    def _options(self, name: str, given: Mapping[str, str] | None) -> dict[str, int]:
        """The inference options in force, ``nfe`` first; `UserError` on one that there is not."""
        return {"nfe": 1} | read_options(name, given, self.choices)

    @abstractmethod
    def _set_up(self, options: Mapping[str, int]) -> None:
        """Make what `_sample` needs besides the networks, for the options in force."""

    @property
    def network(self) -> nn.Module:
        """The U-Net that acts."""
        return self.ema.unet

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What a compiled runtime may replace: modules that `encode` and `sample` call, pure functions of tensors."""
        self._freeze()
        return {"encoder": self.ema, "network": self.ema.unet}

    # ------------------------------------------------------------------------------------------- inference

    def encode(self, observations: Observations) -> Tensor:
        """Normalise and encode to the condition ``[B, C]``."""
        with torch.inference_mode():
            self._freeze()
            condition: Tensor = self.ema(*observations)
            return condition

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Sample actions ``[B, K, A]``, un-normalised, K = ``spec.executed_steps``."""
        with torch.inference_mode():
            self._freeze()
            noise = torch.randn((len(condition), *self._chunk), generator=generator, device=self.device)
            chunk = self.ema.normalizer.action.inverse(self._sample(condition, noise, generator))
            first = N_OBS_STEPS - 1
            return chunk[:, first : first + self.spec.executed_steps]

    def act(self, observations: Observations, generator: torch.Generator) -> Tensor:
        """Return ``sample(encode(observations), generator)``."""
        return self.sample(self.encode(observations), generator)

    @abstractmethod
    def _sample(self, condition: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Take noise ``[B, H, A]`` to normalised actions in [-1, 1]."""

    def _freeze(self) -> None:
        if not self._frozen:
            self.ema.freeze()
            self._frozen = True

    # ----------------------------------------------------------------------------------------- checkpoints

    def state(self) -> dict[str, Tensor]:
        """EMA weights and normaliser by name."""
        return {name: tensor.detach().clone() for name, tensor in self.ema.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load `state`. Raises `UserError` naming the first missing, unexpected, misshapen or non-finite tensor."""
        load_checked(self.ema, state, self.spec.name)
        self._thaw()

    def training_state(self) -> dict[str, Tensor]:
        """Everything that `fit_step` changes: networks, EMA, optimiser moments, counters."""
        tensors = {f"ema/{name}": tensor for name, tensor in self.ema.state_dict().items()}
        for key, module in self._modules.items():
            tensors |= {f"{key}/{name}": tensor for name, tensor in module.state_dict().items()}
        for key, optimizer in self._optimizers.items():
            tensors |= {f"optimizer.{key}/{name}": tensor for name, tensor in optimizer.state().items()}
        tensors |= {f"counter/{key}": torch.tensor(value) for key, value in self._counters.items()}
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `training_state`; called after `begin_training` with the same arguments."""

        def part(key: str) -> dict[str, Tensor]:
            return {name.split("/", 1)[1]: t for name, t in state.items() if name.split("/", 1)[0] == key}

        load_checked(self.ema, part("ema"), self.spec.name)
        for key, module in self._modules.items():
            load_checked(module, part(key), self.spec.name)
        for key, optimizer in self._optimizers.items():
            optimizer.load_state(part(f"optimizer.{key}"))
        self._counters = {key: int(value) for key, value in part("counter").items()}
        self._thaw()

    def _thaw(self) -> None:
        self.ema.thaw()
        self._frozen = False

    # -------------------------------------------------------------------------------------------- training

    def _to_device(self, array: object) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self.device)

    def _all_frames(self, demos: DemoSet) -> tuple[Tensor, Tensor]:
        """All frames as they came: clouds ``[T, N, 3]`` and states ``[T, P]``."""
        return self._to_device(demos.point_cloud), self._to_device(demos.agent_pos)

    def _clean_chunks(self, action: Tensor, draws: int) -> Tensor:
        """Normalised action chunks ``[draws * B, H, A]``: the batch, once for each noise draw."""
        return self.ema.normalizer.action(action.to(self.device)).repeat(draws, 1, 1)

    def _randn_like(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device)


def trainable(module: ModuleT) -> ModuleT:
    """A copy of ``module`` that takes gradients."""
    return copy.deepcopy(module).requires_grad_(True)


def read_options(
    method: str, options: Mapping[str, str] | None, allowed: Mapping[str, Collection[int]]
) -> dict[str, int]:
    """Parse inference options, all of them integers; `UserError` on an unknown name or a value out of range."""
    values = {}
    for name, text in (options or {}).items():
        if name not in allowed:
            raise unknown(f"option of {method}", name, allowed)
        choices = sorted(allowed[name])
        if not text.isdecimal() or int(text) not in choices:
            span = f"{choices[0]} to {choices[-1]}" if len(choices) > 4 else ", ".join(map(str, choices))
            raise UserError(f"option {name}={text} of {method}: choose from {span}")
        values[name] = int(text)
    return values


def profile_config(configs: Mapping[str, ConfigT], profile: str, task: TaskSpec) -> ConfigT:
    """The configuration of a profile for a task; `UserError` if there is none of that name.

    Gradient steps grow with the square root of the demonstrations: between as many steps and as many epochs.
    """
    if profile not in configs:
        raise unknown("profile", profile, configs)
    return _longer(configs[profile], math.sqrt(task.demo_factor))


def _longer(config: Any, factor: float) -> Any:
    """The configuration with ``factor`` times the gradient steps, wherever in it they are."""
    if hasattr(config, "recipe"):
        return replace(config, recipe=_longer(config.recipe, factor))
    return replace(config, train_steps=round(config.train_steps * factor))


def load_checked(module: nn.Module, state: Mapping[str, Tensor], owner: str) -> None:
    """Load tensors by name after checking names, shapes and values; `UserError` on the first fault."""
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"checkpoint of {owner}: tensor '{name}' is missing")
        if state[name].shape != tensor.shape:
            shapes = f"{list(state[name].shape)} instead of {list(tensor.shape)}"
            raise UserError(f"checkpoint of {owner}: tensor '{name}' has shape {shapes} (other profile or task?)")
        if not torch.isfinite(state[name]).all():
            raise UserError(f"checkpoint of {owner}: tensor '{name}' has values that are not finite")
    for name in state:
        if name not in expected:
            raise UserError(f"checkpoint of {owner}: unexpected tensor '{name}'")
    module.load_state_dict(state)
