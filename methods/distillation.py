"""What the students share: the teacher's networks, and its features of the demonstrations, computed once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.interfaces import DemoSet, UserError
from methods.policy import RAW, ChunkPolicy, load_checked

_FRAMES_AT_ONCE = 256  # when features of all demonstrations are computed


class Student(ChunkPolicy):
    """Base of the methods that distil a teacher, whose encoder and normaliser stay as they are."""

    teacher = "dp3"

    def _start_distillation(self, demos: DemoSet, teacher: Mapping[str, Tensor] | None, raw: bool) -> Tensor:
        """Take over the teacher's networks and return its features of all frames, ``[T, D]``.

        Args:
            demos: the demonstrations that the teacher was trained on.
            teacher: its `state`; the encoder and the normaliser stay as they are there.
            raw: start from the weights without EMA, as the released students do.
        """
        if teacher is None:
            raise UserError(
                f"{self.spec.name} distils {self.spec.teacher}: it needs a checkpoint of {self.spec.teacher}"
            )
        averaged = {name: tensor for name, tensor in teacher.items() if not name.startswith(RAW)}
        weights = {name.removeprefix(RAW): tensor for name, tensor in teacher.items() if name.startswith(RAW)}
        load_checked(self.ema, averaged | weights if raw else averaged, f"{self.spec.name}'s teacher")
        self._thaw()
        with torch.no_grad():
            frames = self.ema.normalise(*self._all_frames(demos))
            parts = zip(*(part.split(_FRAMES_AT_ONCE) for part in frames), strict=True)
            return torch.cat([self.ema.encoder(*part) for part in parts])

    def _condition(self, features: Tensor, frames: Tensor) -> Tensor:
        """Features ``[T, D]`` of windows ``[B, To]`` -> condition ``[B, To * D]``."""
        return features[frames.to(self.device)].flatten(1)
