"""AdamW with warm-up, cosine decay and clipping, and the exponential moving average (EMA) of weights.

Sources: 3D Diffusion Policy, released training code (AdamW betas .95/.999, cosine with linear warm-up stepped per
batch, EMA with a growing decay); gradient clipping as in the released code of ManiCM and SDM Policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Optimizer:
    """AdamW over named parameters, one learning-rate schedule, optional clipping of the global gradient norm.

    Args:
        modules: their parameters are optimised.
        lr: peak learning rate.
        total_steps: length of the cosine.
        warmup: steps of linear warm-up.
        weight_decay: decoupled.
        clip: largest global gradient norm, or None.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        lr: float,
        total_steps: int,
        warmup: int = 500,
        weight_decay: float = 1e-6,
        clip: float | None = None,
    ) -> None:
        self._parameters = [p for module in modules for p in module.parameters()]
        self._adam = torch.optim.AdamW(
            self._parameters, lr=lr, betas=(0.95, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True
        )
        self._lr, self._total, self._warmup, self._clip = lr, total_steps, warmup, clip
        self.step_count = 0

    def learning_rate(self, step: int) -> float:
        """The learning rate of step ``step`` (from 0)."""
        if step < self._warmup:
            return self._lr * (step + 1) / (self._warmup + 1)
        progress = (step - self._warmup) / max(1, self._total - self._warmup)
        return self._lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of ``loss``."""
        loss.backward()
        self.apply()

    def apply(self) -> None:
        """Take one step with the gradients at hand, and drop them."""
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip, foreach=True)
        self._adam.param_groups[0]["lr"] = self.learning_rate(self.step_count)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.step_count += 1

    def state(self) -> dict[str, Tensor]:
        """Moments, step counts and gradients that wait for a step, by name."""
        tensors = {"count": torch.tensor(self.step_count)}
        for i, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                tensors[f"{i}.grad"] = parameter.grad.clone()
            for key, value in self._adam.state.get(parameter, {}).items():
                tensors[f"{i}.{key}"] = value.clone()
        return tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        self.step_count = int(state["count"])
        for i, parameter in enumerate(self._parameters):
            prefix = f"{i}."
            moments = {k[len(prefix) :]: v.clone() for k, v in state.items() if k.startswith(prefix)}
            parameter.grad = moments.pop("grad", None)
            if moments:
                self._adam.state[parameter] = moments


def ema_decay(call: int, cap: float = 0.9999, power: float = 0.75) -> float:
    """Decay of the EMA at update ``call`` (from 0): min(cap, 1 - (1 + k)^-power), k = call - 1, and 0 while k <= 0."""
    k = call - 1
    return 0.0 if k <= 0 else min(cap, 1 - (1 + k) ** -power)


@torch.no_grad()
def blend(target: nn.Module, source: nn.Module, rate: float) -> None:
    """target <- (1 - rate) target + rate source, for all parameters."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw initial weights of all layers from a seed that ``generator`` gives; the global generator is untouched."""
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
