"""Simple DP3: DP3 with a small U-Net, all else the same.

Source: Ze et al. 2024, 3D Diffusion Policy (arXiv 2403.03954), released configuration ``simple_dp3``: channels
(128, 256, 384) for (512, 1024, 2048), one residual block for two; 7.4 million parameters for 255 on MetaWorld.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from methods.dp3 import CONFIGS as DP3
from methods.dp3 import Dp3
from methods.joint import Dp3Config


def _simple(profile: str, down_dims: tuple[int, ...], n_blocks: int) -> Dp3Config:
    config = DP3[profile]
    return replace(config, sizes=replace(config.sizes, down_dims=down_dims, n_blocks=n_blocks))


CONFIGS = {
    "smoke": _simple("smoke", (16, 16, 32), 1),
    # half the channels: with a quarter, the groups of GroupNorm would have one value each at the innermost level
    "lite": _simple("lite", (16, 16, 32), 2),
    "paper": _simple("paper", (128, 256, 384), 1),
}


class SimpleDp3(Dp3):
    """DP3 with a small U-Net; option ``nfe`` (1 to 100)."""

    name, configs = "simple_dp3", CONFIGS
    choices: ClassVar = {"nfe": Dp3.choices["nfe"]}
