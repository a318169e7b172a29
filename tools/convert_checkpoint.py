"""Checkpoints of the published DP3 family -> safetensors that `bench checkpoints import` takes.

    python tools/convert_checkpoint.py latest.ckpt --allow-pickle --out drawer.safetensors

Reads what a workspace of DP3, Simple DP3, ManiCM, SDM Policy or FlowPolicy saves, or a state dict of the policy, as
pickle or as safetensors; `docs/checkpoints.md` has both layouts. It needs torch and safetensors, nothing of this
project: run it in an environment of its own, or on another machine.

Checkpoints of the published code are pickles, and reading a pickle from a stranger can run code. So it has to be asked
for (--allow-pickle), and is done by torch's restricted reader, which builds tensors and plain containers. Whatever else
the file names, the configuration's classes for instance, becomes an `Inert` without any behaviour.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

HORIZON, N_OBS_STEPS = 4, 2  # of the networks that are evaluated here
MARK = "obs_encoder.extractor.mlp.0.weight"  # what every policy of the family has
BLOCK = r"(blocks\.[01]\.block\.[01]|cond_encoder\.1|residual_conv)\.(weight|bias)"
BLOCK_PARTS = {
    "blocks.0.block.0": "first.conv", "blocks.0.block.1": "first.norm", "blocks.1.block.0": "second.conv",
    "blocks.1.block.1": "second.norm", "cond_encoder.1": "film", "residual_conv": "skip",
}  # fmt: skip
LAYERS = {
    "obs_encoder.extractor.final_projection.0": "encoder.points.project",
    "obs_encoder.extractor.final_projection.1": "encoder.points.project_norm",
    "obs_encoder.state_mlp.0": "encoder.state.0",
    "obs_encoder.state_mlp.2": "encoder.state.2",
    "model.diffusion_step_encoder.1": "unet.time.expand",
    "model.diffusion_step_encoder.3": "unet.time.project",
    "model.final_conv.0.block.0": "unet.head.conv",
    "model.final_conv.0.block.1": "unet.head.norm",
    "model.final_conv.1": "unet.out",
}
UNUSED = re.compile(
    r"_dummy_variable|mask_generator\.|model\.var_est\.|normalizer\.params_dict\.(imagined_robot\.|\w+\.input_stats\.)"
)
"""Tensors of a policy that play no part in acting."""


class RefusedError(Exception):
    """The file is not what can be converted: one line, exit code 2."""


class Inert:
    """Stands for any object of a pickle that is no tensor; keeps what it was given, does nothing with it."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def main() -> int:
    """Convert as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description="Published DP3 checkpoint -> safetensors.")
    parser.add_argument("source", type=Path, help="checkpoint of the published code, or a state dict of its policy")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--allow-pickle", action="store_true", help="read a pickle: do so with files you trust only")
    parser.add_argument("--weights", choices=("ema", "raw"), default="ema", help="averaged weights or not")
    parser.add_argument("--horizon", type=int, help="chunk length of its training, where the file does not say")
    arguments = parser.parse_args()
    try:
        for line in convert(**vars(arguments)):
            print(line)
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def convert(source: Path, out: Path, allow_pickle: bool, weights: str, horizon: int | None) -> Iterator[str]:
    """Write ``out``; yields what there is to say."""
    if out.exists():
        raise RefusedError(f"{out}: exists already; remove it or choose another place")
    tensors, config = read(source, allow_pickle)
    prefix = find_policy(tensors, weights, source)
    check_config(config, horizon, source)
    policy = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    ours = rename(policy, source)
    about = {
        "layout": "visuomotor-bench/1", "source": source.name, "source_sha256": sha256(source),
        "source_prefix": prefix, "horizon": str(HORIZON),
    }  # fmt: skip
    beside = out.with_name(f".{out.name}.partial")
    try:
        save_file(ours, beside, metadata=about)
        beside.replace(out)
    except (OSError, SafetensorError) as error:
        raise RefusedError(f"{out}: cannot be written ({error})") from None
    finally:
        beside.unlink(missing_ok=True)
    values = sum(tensor.numel() for tensor in ours.values())
    yield f"{source}: {'the policy' if not prefix else prefix.rstrip('.')}, {len(ours)} tensors, {values:,} values"
    left = sorted({name.split(".")[0] for name in tensors if not name.startswith(prefix)} - {"optimizer"})
    if left:
        yield f"not used: {', '.join(left)}"
    yield f"written: {out}; next: bench checkpoints import TASK={out} --method METHOD"


def read(source: Path, allow_pickle: bool) -> tuple[dict[str, Tensor], Any]:
    """All tensors of a file by dotted name, and the configuration beside them, if there is one."""
    if not source.is_file():
        raise RefusedError(f"{source}: there is no such file")
    try:
        with safe_open(source, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, None  # noqa: SIM118 (no mapping)
    except SafetensorError:
        pass  # so it should be a pickle
    if not allow_pickle:
        raise RefusedError(
            f"{source}: is no safetensors file. If it is a pickle: reading one from a stranger can run code; where you "
            "trust it, give --allow-pickle"
        )
    print(
        f"warning: reading the pickle {source}; torch's restricted reader keeps it from running code, as far as is "
        "known. Rather do this in a container, with files of people you trust",
        file=sys.stderr,
    )
    try:
        foreign = [(Inert, name) for name in torch.serialization.get_unsafe_globals_in_checkpoint(source)]
        with torch.serialization.safe_globals(foreign):
            content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise RefusedError(f"{source}: cannot be read as a checkpoint ({type(error).__name__}: {words})") from None
    if not isinstance(content, dict):
        raise RefusedError(f"{source}: holds a {type(content).__name__}, expected a state dict or a workspace")
    return dict(flatten(content)), plain(content.get("cfg"))


def flatten(content: Mapping[object, object], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts by dotted name."""
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")


def plain(value: Any) -> Any:
    """The values in what stands for a configuration."""
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        return plain(state.get("_content", state.get("_val")))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def find_policy(tensors: Mapping[str, Tensor], weights: str, source: Path) -> str:
    """What the names of the wanted policy begin with: ``state_dicts.ema_model.`` in a workspace."""
    found = [name.removesuffix(MARK) for name in tensors if name.endswith(MARK)]
    if not found:
        some = ", ".join(sorted(tensors)[:3]) or "no tensors"
        raise RefusedError(f"{source}: holds no policy of the DP3 family: '...{MARK}' is missing; there are: {some}")
    chosen = [prefix for prefix in found if prefix.endswith("ema_model.") == (weights == "ema")]
    if len(found) == 1 and (found == [""] or chosen):
        return found[0]  # a bare state dict does not say which weights it holds
    if len(chosen) != 1:
        there = ", ".join(prefix.rstrip(".") or "a bare policy" for prefix in found)
        raise RefusedError(f"{source}: has no or several policies for --weights {weights}; there are: {there}")
    return chosen[0]


def check_config(config: Any, horizon: int | None, source: Path) -> None:
    """Refuse policies that the networks here would run otherwise than they were trained."""
    found = config if isinstance(config, dict) else {}
    policy = found.get("policy") or {}
    scheduler = policy.get("noise_scheduler") or {}
    length = found.get("horizon", horizon)
    if length is None:
        raise RefusedError(f"{source}: does not say the horizon of its training; give it with --horizon")
    facts = (
        ("horizon", length, HORIZON), ("n_obs_steps", found.get("n_obs_steps", N_OBS_STEPS), N_OBS_STEPS),
        ("use_pc_color", policy.get("use_pc_color", False), False),
        ("prediction_type", scheduler.get("prediction_type", "sample"), "sample"),
    )  # fmt: skip
    for name, there, here in facts:
        if there != here:
            raise RefusedError(f"{source}: trained with {name} {there}; only {name} {here} can be evaluated")


def rename(policy: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """The tensors of a published policy under the names of this project, in float32."""
    ours: dict[str, Tensor] = {}
    for name, tensor in policy.items():
        if UNUSED.match(name):
            continue
        if (new := new_name(name)) is None:
            raise RefusedError(f"{source}: tensor '{name}' is not of the published DP3 layout")
        if not tensor.is_floating_point():
            raise RefusedError(f"{source}: tensor '{name}' is of type {tensor.dtype}, expected floating-point numbers")
        ours[new] = tensor.float().contiguous()
    sizes = {"point_cloud": 3}
    for field, layer, axis in (("agent_pos", "encoder.state.0.weight", 1), ("action", "unet.out.weight", 0)):
        if layer not in ours:
            raise RefusedError(f"{source}: tensor for '{layer}' is missing: not of the published DP3 layout")
        sizes[field] = ours[layer].shape[axis]
    if (first := ours["encoder.points.linears.0.weight"]).shape[1] != 3:
        raise RefusedError(f"{source}: takes {first.shape[1]} values of a point; only 3, without colour, can run")
    for field, size in sizes.items():
        for part in ("scale", "offset"):
            name = f"normalizer.{field}.{part}"
            if name not in ours:
                raise RefusedError(f"{source}: '{name.replace('.', '.params_dict.', 1)}' is missing")
            ours[name] = of_size(ours[name], size, field)
    return ours


def new_name(name: str) -> str | None:
    """The name here of a tensor of a published policy; None where there is none."""
    layer, _, kind = name.rpartition(".")
    if layer in LAYERS:
        return f"{LAYERS[layer]}.{kind}"
    if found := re.fullmatch(r"obs_encoder\.extractor\.mlp\.(\d+)\.(weight|bias)", name):
        step, place = divmod(int(found[1]), 3)  # Linear, LayerNorm, ReLU
        return f"encoder.points.{('linears', 'norms')[place]}.{step}.{found[2]}" if place < 2 else None
    if found := re.fullmatch(rf"model\.mid_modules\.(\d+)\.{BLOCK}", name):
        return f"unet.mid.{found[1]}.{BLOCK_PARTS[found[2]]}.{found[3]}"
    if found := re.fullmatch(rf"model\.(down|up)_modules\.(\d+)\.(\d+)\.{BLOCK}", name):
        return f"unet.{found[1]}.{found[2]}.{found[3]}.{BLOCK_PARTS[found[4]]}.{found[5]}"
    if found := re.fullmatch(r"model\.(down|up)_modules\.(\d+)\.\d+\.conv\.(weight|bias)", name):
        return f"unet.{found[1]}sample.{found[2]}.{found[3]}"
    if found := re.fullmatch(r"normalizer\.params_dict\.(point_cloud|agent_pos|action)\.(scale|offset)", name):
        return f"normalizer.{found[1]}.{found[2]}"
    return None


def of_size(values: Tensor, size: int, field: str) -> Tensor:
    """Normaliser values ``[size]``: colours behind the coordinates are cut off, one value stands for all."""
    values = values.reshape(-1)
    if field == "point_cloud" and len(values) == 6:
        values = values[:3]
    return values.expand(size).clone() if len(values) == 1 else values.clone()


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
