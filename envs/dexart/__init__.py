"""DexArt (Bao et al., 2023) as our own MuJoCo port: laptop, faucet, toilet and bucket for an arm with a hand.

Action, observation, contact, progress, reward and success follow the published code and its fork in the 3D Diffusion
Policy benchmark; engine, objects and gains are our own. Its figures are not those of the original: `docs/dexart.md`.
"""

from envs.dexart.task import DexArt

__all__ = ["DexArt"]
