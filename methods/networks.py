"""The networks of the methods that see point clouds, in three sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.interfaces import TaskSpec
from methods.nets.encoder import ObservationEncoder
from methods.nets.normalizer import Normalizer
from methods.nets.unet import ConditionalUnet1d

HORIZON, N_OBS_STEPS, N_ACTION_STEPS = 4, 2, 4  # of the published H = 4 configurations: 3 actions are executed


@dataclass(frozen=True)
class NetSizes:
    """Sizes of encoder and U-Net; a student has those of its teacher."""

    hand_frame: bool  # whether the hand is the origin of the cloud, where the state tells its place
    octaves: int  # of the sinusoids beside the coordinates of a point; 0 for none, as published
    point_widths: tuple[int, ...]  # hidden widths of the MLP shared over points
    feature_dim: int  # of cloud and of state, each, in one frame
    state_hidden: int  # hidden width of the state MLP
    down_dims: tuple[int, ...]  # channels of the U-Net levels
    n_blocks: int  # residual blocks in each level
    time_dim: int  # size of the timestep embedding


SIZES: dict[str, NetSizes] = {
    "smoke": NetSizes(False, 0, (16, 32), 16, 32, (16, 32, 64), 1, 32),
    "lite": NetSizes(True, 3, (64, 64, 128), 32, 64, (32, 32, 64), 5, 64),
    "paper": NetSizes(False, 0, (64, 128, 256), 64, 64, (512, 1024, 2048), 2, 128),
}


class Networks(nn.Module):
    """Normaliser, encoder and U-Net: all that acting needs."""

    def __init__(self, task: TaskSpec, sizes: NetSizes) -> None:
        super().__init__()
        self._hand = task.hand if sizes.hand_frame else None
        if self._hand:
            self.register_buffer("_rotation", torch.tensor(self._hand.rotation).T, persistent=False)
            self.register_buffer("_offset", torch.tensor(self._hand.offset), persistent=False)
        self.normalizer = Normalizer(task.agent_pos_dim, task.action_dim)
        self.encoder = ObservationEncoder(
            task.agent_pos_dim, sizes.point_widths, sizes.feature_dim, sizes.state_hidden, sizes.octaves
        )
        condition = N_OBS_STEPS * self.encoder.out_dim
        self.unet = ConditionalUnet1d(
            task.action_dim, condition, HORIZON, sizes.down_dims, sizes.n_blocks, sizes.time_dim
        )

    def fit_normalizer(self, point_cloud: Tensor, agent_pos: Tensor, action: Tensor) -> None:
        """Fit the normaliser to frames ``[T, N, 3]`` and ``[T, P]`` and actions ``[T, A]``."""
        self.normalizer.fit(self._from_hand(point_cloud, agent_pos), agent_pos, action)

    def normalise(self, point_cloud: Tensor, agent_pos: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise frames ``[..., N, 3]`` and ``[..., P]``."""
        cloud = self._from_hand(point_cloud, agent_pos)
        return self.normalizer.point_cloud(cloud), self.normalizer.agent_pos(agent_pos)

    def _from_hand(self, point_cloud: Tensor, agent_pos: Tensor) -> Tensor:
        """The clouds with the hand as their origin, axes as they are; as they came without a hand."""
        if self._hand is None:
            return point_cloud
        place = agent_pos[..., self._hand.first : self._hand.first + 3] @ self._rotation + self._offset
        return point_cloud - place[..., None, :]

    def forward(self, point_cloud: Tensor, agent_pos: Tensor) -> Tensor:
        """Normalise and encode observations ``[B, To, N, 3]`` and ``[B, To, P]``: the condition ``[B, C]``."""
        cloud, state = self.normalise(point_cloud, agent_pos)
        return self.encoder(cloud.flatten(0, 1), state.flatten(0, 1)).view(len(agent_pos), -1)

    def freeze(self) -> None:
        """Prepare the weights once for repeated calls without gradients; `thaw` before they change."""
        self.encoder.points.freeze()
        self.unet.freeze()

    def thaw(self) -> None:
        """Forget what `freeze` prepared."""
        self.encoder.points.thaw()
        self.unet.thaw()
