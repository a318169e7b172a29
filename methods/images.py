"""What `dp` and its student share: the networks of `methods.policy` with pictures in the place of point clouds.

U-Net, diffusion, chunks, optimiser and averages are those of the methods that see point clouds, so that a difference is
that of the encoder and of what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.interfaces import DemoSet, TaskSpec, UserError
from methods.nets.image_encoder import ImageStateEncoder, VisionSizes
from methods.nets.normalizer import Affine
from methods.nets.unet import ConditionalUnet1d
from methods.networks import HORIZON, N_OBS_STEPS
from methods.policy import ChunkPolicy


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of encoder and U-Net; a student has those of its teacher."""

    vision: VisionSizes
    feature_dim: int  # of picture and of state, each, in one frame
    state_hidden: int  # hidden width of the state MLP
    down_dims: tuple[int, ...]  # channels of the U-Net levels
    n_blocks: int  # residual blocks in each level
    time_dim: int  # size of the timestep embedding


SIZES: dict[str, ImageSizes] = {
    "smoke": ImageSizes(VisionSizes(76, 8, 5, (16,), 1, 8), 16, 32, (16, 32, 64), 1, 32),
    "lite": ImageSizes(VisionSizes(76, 16, 5, (32,), 1, 32), 32, 64, (32, 32, 64), 5, 64),
    "paper": ImageSizes(VisionSizes(76, 64, 7, (64, 128, 256, 512), 2, 32), 64, 64, (512, 1024, 2048), 2, 128),
}


class ImageNormalizer(nn.Module):
    """The maps of states and actions; pictures are mapped from 0..255 to [-1, 1] by the encoder."""

    def __init__(self, agent_pos_dim: int, action_dim: int) -> None:
        super().__init__()
        self.agent_pos = Affine(agent_pos_dim)
        self.action = Affine(action_dim)

    def fit(self, agent_pos: Tensor, action: Tensor) -> None:
        """Fit both maps to demonstrations ``[T, P]`` and ``[T, A]``."""
        self.agent_pos.fit(agent_pos)
        self.action.fit(action)


class ImageNetworks(nn.Module):
    """Normaliser, encoder and U-Net: the counterpart of `methods.policy.Networks`."""

    def __init__(self, task: TaskSpec, sizes: ImageSizes) -> None:
        super().__init__()
        self.normalizer = ImageNormalizer(task.agent_pos_dim, task.action_dim)
        self.encoder = ImageStateEncoder(task.agent_pos_dim, sizes.vision, sizes.feature_dim, sizes.state_hidden)
        condition = N_OBS_STEPS * self.encoder.out_dim
        self.unet = ConditionalUnet1d(
            task.action_dim, condition, HORIZON, sizes.down_dims, sizes.n_blocks, sizes.time_dim
        )

    def fit_normalizer(self, image: Tensor, agent_pos: Tensor, action: Tensor) -> None:  # noqa: ARG002
        """Fit the normaliser to states ``[T, P]`` and actions ``[T, A]``."""
        self.normalizer.fit(agent_pos, action)

    def normalise(self, image: Tensor, agent_pos: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures as they are, and normalised states ``[..., P]``."""
        return image, self.normalizer.agent_pos(agent_pos)

    def forward(self, image: Tensor, agent_pos: Tensor) -> Tensor:
        """Encode observations ``[B, To, 84, 84, 3]`` uint8 and ``[B, To, P]``: the condition ``[B, C]``."""
        image, state = self.normalise(image, agent_pos)
        return self.encoder(image.flatten(0, 1), state.flatten(0, 1)).view(len(agent_pos), -1)

    def freeze(self) -> None:
        """Prepare the weights once for repeated calls without gradients; `thaw` before they change."""
        self.unet.freeze()

    def thaw(self) -> None:
        """Forget what `freeze` prepared."""
        self.unet.thaw()


class SeesImages(ChunkPolicy):
    """Put behind a method in the list of bases, it gives that method networks that see pictures.

    ``config.sizes`` of the method must be `ImageSizes`.
    """

    observation = "image"
    networks_type = ImageNetworks

    def _all_frames(self, demos: DemoSet) -> tuple[Tensor, Tensor]:
        """All frames as they came: pictures ``[T, 84, 84, 3]`` uint8 and states ``[T, P]``."""
        if not len(demos.image):
            raise UserError(f"{self.spec.name} sees images: it needs demonstrations that hold them")
        return torch.as_tensor(demos.image, device=self.device), self._to_device(demos.agent_pos)
