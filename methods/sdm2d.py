"""SDM Policy on images: `sdm` with `dp` for its teacher.

Source: SDM Policy (arXiv 2412.09265). Nothing in score and distribution matching depends on what the policy sees: the
encoder is the teacher's and stays as it is, so that features of all frames (the middle crops) are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from bench.interfaces import TaskSpec
from methods.images import SIZES, SeesImages
from methods.policy import profile_config, read_options
from methods.sdm import CONFIGS as SDM
from methods.sdm import Sdm, SdmConfig

CONFIGS = {profile: replace(config, sizes=SIZES[profile]) for profile, config in SDM.items()}


class Sdm2d(Sdm, SeesImages):
    """SDM Policy on images; one evaluation."""

    def __init__(
        self,
        task: TaskSpec,
        profile: str,
        options: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        config: SdmConfig | None = None,
    ) -> None:
        read_options("sdm2d", options, {"nfe": (1,)})
        super().__init__(task, profile, options, device, config or profile_config(CONFIGS, profile))
        self.spec = replace(self.spec, name="sdm2d", teacher="dp")
