"""A policy whose state dict has the names and shapes of the published DP3 family, layer by plain layer.

Written from the description in `docs/checkpoints.md`, apart from the converter, so that the two check each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from methods.networks import N_OBS_STEPS, NetSizes, Networks


class Extractor(nn.Module):
    def __init__(self, widths: tuple[int, ...], out_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((3, *widths)):
            layers += [nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers)
        self.final_projection = nn.Sequential(nn.Linear(widths[-1], out_dim), nn.LayerNorm(out_dim))

    def forward(self, points: Tensor) -> Tensor:
        return self.final_projection(self.mlp(points).amax(dim=1))


class Encoder(nn.Module):
    def __init__(self, sizes: NetSizes, state_dim: int) -> None:
        super().__init__()
        self.extractor = Extractor(sizes.point_widths, sizes.feature_dim)
        hidden = nn.Linear(state_dim, sizes.state_hidden)
        self.state_mlp = nn.Sequential(hidden, nn.ReLU(), nn.Linear(sizes.state_hidden, sizes.feature_dim))

    def forward(self, points: Tensor, state: Tensor) -> Tensor:
        return torch.cat([self.extractor(points), self.state_mlp(state)], dim=-1)


class ConvBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv1d(c_in, c_out, 5, padding=2), nn.GroupNorm(8, c_out), nn.Mish())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ConvBlock(c_in, c_out), ConvBlock(c_out, c_out)])
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(width, 2 * c_out))
        self.residual_conv = nn.Conv1d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        scale, shift = self.cond_encoder(g)[..., None].chunk(2, dim=1)
        return self.blocks[1](scale * self.blocks[0](x) + shift) + self.residual_conv(x)


class Resample(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Sinusoids(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.half = dim // 2

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None] * torch.exp(-math.log(1e4) / (self.half - 1) * torch.arange(self.half))
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Unet(nn.Module):
    def __init__(self, action_dim: int, sizes: NetSizes) -> None:
        super().__init__()
        dim, widths = sizes.time_dim, sizes.down_dims
        layers = [Sinusoids(dim), nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim)]
        self.diffusion_step_encoder = nn.Sequential(*layers)
        width = dim + 2 * sizes.feature_dim * N_OBS_STEPS

        def level(c_in: int, c_out: int, last: nn.Module | None) -> nn.ModuleList:
            blocks = [Residual(c_in if i == 0 else c_out, c_out, width) for i in range(sizes.n_blocks)]
            return nn.ModuleList([*blocks, *([last] if last is not None else [])])

        ends = [*(Resample(nn.Conv1d(c, c, 3, 2, 1)) for c in widths[:-1]), nn.Identity()]
        dims = pairwise((action_dim, *widths))
        self.down_modules = nn.ModuleList(level(a, b, last) for (a, b), last in zip(dims, ends, strict=True))
        self.mid_modules = level(widths[-1], widths[-1], None)
        self.up_modules = nn.ModuleList(
            level(2 * a, b, Resample(nn.ConvTranspose1d(b, b, 4, 2, 1))) for a, b in pairwise(widths[::-1])
        )
        self.final_conv = nn.Sequential(ConvBlock(widths[0], widths[0]), nn.Conv1d(widths[0], action_dim, 1))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        g = torch.cat([self.diffusion_step_encoder(t).expand(len(x), -1), condition], dim=-1)
        h, skips = x.transpose(1, 2), []
        for *blocks, last in self.down_modules:
            for block in blocks:
                h = block(h, g)
            skips.append(h)
            h = last(h)
        for block in self.mid_modules:
            h = block(h, g)
        for *blocks, last in self.up_modules:
            h = torch.cat([h, skips.pop()], dim=1)
            for block in blocks:
                h = block(h, g)
            h = last(h)
        return self.final_conv(h).transpose(1, 2)


class PublishedPolicy(nn.Module):
    """``obs_encoder``, ``model`` and ``normalizer`` as the published policies have them; 6 values of a point."""

    def __init__(self, sizes: NetSizes, state_dim: int, action_dim: int) -> None:
        super().__init__()
        self.obs_encoder = Encoder(sizes, state_dim)
        self.model = Unet(action_dim, sizes)
        self.normalizer = nn.Module()
        self.normalizer.params_dict = nn.ModuleDict()
        for field, dim in (("point_cloud", 6), ("agent_pos", state_dim), ("action", action_dim)):
            part = nn.ParameterDict({"scale": torch.ones(dim), "offset": torch.zeros(dim)})
            part["input_stats"] = nn.ParameterDict({"min": torch.zeros(dim)})
            self.normalizer.params_dict[field] = part

    def condition(self, cloud: Tensor, state: Tensor) -> Tensor:
        """Of observations ``[B, To, N, 3]`` and ``[B, To, P]``: ``[B, C]``."""
        params = self.normalizer.params_dict
        cloud = cloud * params["point_cloud"]["scale"][:3] + params["point_cloud"]["offset"][:3]
        state = state * params["agent_pos"]["scale"] + params["agent_pos"]["offset"]
        return self.obs_encoder(cloud.flatten(0, 1), state.flatten(0, 1)).view(len(cloud), -1)


def published_state(ours: Networks, sizes: NetSizes) -> dict[str, Tensor]:
    """The weights of a network of ours under the published names: module by module, no names are matched."""
    normalizer = ours.normalizer
    with torch.device("meta"):  # nothing is drawn that will be replaced
        policy = PublishedPolicy(sizes, len(normalizer.agent_pos.scale), len(normalizer.action.scale))
    pairs: list[tuple[nn.Module, nn.Module]] = []
    encoder, unet = policy.obs_encoder, policy.model
    for i, (linear, norm) in enumerate(zip(ours.encoder.points.linears, ours.encoder.points.norms, strict=True)):
        pairs += [(encoder.extractor.mlp[3 * i], linear), (encoder.extractor.mlp[3 * i + 1], norm)]
    projection = encoder.extractor.final_projection
    pairs += [(projection[0], ours.encoder.points.project), (projection[1], ours.encoder.points.project_norm)]
    pairs += [(encoder.state_mlp, ours.encoder.state), (unet.diffusion_step_encoder[1], ours.unet.time.expand)]
    pairs += [(unet.diffusion_step_encoder[3], ours.unet.time.project), (unet.final_conv[1], ours.unet.out)]
    pairs += [(unet.final_conv[0].block[0], ours.unet.head.conv), (unet.final_conv[0].block[1], ours.unet.head.norm)]
    theirs = [*unet.down_modules, unet.mid_modules, *unet.up_modules]
    for stage, own in zip(theirs, [*ours.unet.down, ours.unet.mid, *ours.unet.up], strict=True):
        for block, mine in zip(stage, own, strict=False):  # the resampling stands behind the blocks
            pairs += [(block.blocks[0].block[0], mine.first.conv), (block.blocks[0].block[1], mine.first.norm)]
            pairs += [(block.blocks[1].block[0], mine.second.conv), (block.blocks[1].block[1], mine.second.norm)]
            pairs += [(block.cond_encoder[1], mine.film)]
            pairs += [(block.residual_conv, mine.skip)] if mine.skip is not None else []
    for stages, own in ((unet.down_modules, ours.unet.downsample), (unet.up_modules, ours.unet.upsample)):
        pairs += [(stage[-1].conv, mine) for stage, mine in zip(stages, own, strict=False)]
    for target, source in pairs:
        target.load_state_dict(source.state_dict(), assign=True)
    for field, own in (("agent_pos", normalizer.agent_pos), ("action", normalizer.action)):
        _normalise_as(policy.normalizer.params_dict[field], own.state_dict())
    points = {name: torch.cat([values, torch.ones(3)]) for name, values in normalizer.point_cloud.state_dict().items()}
    _normalise_as(policy.normalizer.params_dict["point_cloud"], points)
    return {name: tensor.detach() for name, tensor in policy.state_dict().items()}


def _normalise_as(part: nn.ParameterDict, values: Mapping[str, Tensor]) -> None:
    for name in ("scale", "offset"):
        part[name] = nn.Parameter(values[name])
    part["input_stats"]["min"] = nn.Parameter(torch.zeros(values["scale"].shape))
