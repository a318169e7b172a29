"""SDM Policy on images: `sdm` with `dp` for its teacher.

Source: SDM Policy (arXiv 2412.09265). Nothing in score and distribution matching depends on what the policy sees: the
encoder is the teacher's and stays as it is, so that features of all frames (the middle crops) are computed once.
"""

from __future__ import annotations

from dataclasses import replace

from methods.images import SIZES, SeesImages
from methods.sdm import CONFIGS as SDM
from methods.sdm import Sdm

CONFIGS = {profile: replace(config, sizes=SIZES[profile]) for profile, config in SDM.items()}


class Sdm2d(Sdm, SeesImages):
    """SDM Policy on images; one evaluation."""

    name, teacher, configs = "sdm2d", "dp", CONFIGS
