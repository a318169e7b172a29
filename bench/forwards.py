"""What replaces the forward of a module, or a sampler, where another runtime than PyTorch's eager mode is asked for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench import registry
from bench.interfaces import Method, UserError
from bench.runtimes import COMPILE, EAGER, FUSED, GRAPH, ONNX, check_runtime

Forward = Callable[..., Tensor]


def use_runtime(method: Method, runtime: str, device: str = "cpu") -> None:
    """Have the networks of ``method``, whose weights are loaded, run by ``runtime`` from now on.

    Raises:
        UserError: the runtime is missing, does not know the device or none of the networks, or the method names no
            ``parts``.
    """
    check_runtime(runtime, device)
    if runtime == EAGER:
        return
    parts: dict[str, nn.Module] | None = getattr(method, "parts", None)
    if parts is None:
        raise UserError(f"{method.spec.name} cannot run by '{runtime}': it names no `parts` (docs/latency.md)")
    replaced = [(module, forward) for module in parts.values() if (forward := _REPLACEMENTS[runtime](module))]
    if not replaced:
        raise UserError(f"{method.spec.name} cannot run by '{runtime}': there is no such form of its networks")
    for module, forward in replaced:
        module.forward = forward  # hooks, which count evaluations, go on working
    if runtime == FUSED and (sampler := registry.methods().fused_sampler(method)):
        setattr(method, "sample", _Sampler(method, sampler))  # noqa: B010 -- mypy: a method


class _Sampler:
    """A sampler as one call; evaluation by evaluation where hooks of the network count these."""

    def __init__(self, method: Method, fused: Callable[[Tensor, torch.Generator], Tensor]) -> None:
        self._network, self._fused, self._by_evaluations = method.network, fused, method.sample

    def __call__(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        return (self._by_evaluations if self._network._forward_hooks else self._fused)(condition, generator)


def _fused(module: nn.Module) -> Forward | None:
    return registry.methods().fused_forward(module)


def _compiled(module: nn.Module) -> Forward:
    return torch.compile(module.forward, fullgraph=True, dynamic=False)


class _Traced(nn.Module):
    """A module without its hooks: these count the evaluations, of which an export is none."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self._forward = module, module.forward

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self._forward(*inputs)
        return result


class _OnnxForward:
    """The forward of a module by ONNX Runtime on one thread, exported anew for every shape of its inputs."""

    def __init__(self, module: nn.Module) -> None:
        self._traced = _Traced(module)
        self._sessions: dict[tuple[torch.Size, ...], tuple[Any, list[str]]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._sessions:
            self._sessions[shapes] = self._export(inputs)
        session, names = self._sessions[shapes]
        arrays = (tensor.contiguous().numpy() for tensor in inputs)
        (output,) = session.run(None, dict(zip(names, arrays, strict=True)))
        return torch.from_numpy(output)

    def _export(self, inputs: Sequence[Tensor]) -> tuple[Any, list[str]]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        model = self._to_onnx(inputs)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session, [entry.name for entry in session.get_inputs()]

    def _to_onnx(self, inputs: Sequence[Tensor]) -> bytes:
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            # tensors made in inference mode cannot be exported, so that copies are made outside of it
            with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                copies = tuple(tensor.clone() for tensor in inputs)
                program = torch.onnx.export(self._traced, copies, dynamo=True, verbose=False)
        finally:
            logger.setLevel(level)
        assert program is not None
        model: bytes = program.model_proto.SerializeToString()
        return model


class _GraphForward:
    """The forward of a module as one launch: a CUDA graph, captured anew for every shape of its inputs."""

    def __init__(self, module: nn.Module) -> None:
        self._forward = module.forward
        self._graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = self._capture(inputs)
        graph, places, output = self._graphs[shapes]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return output.clone()  # the next replay writes to the same place

    def _capture(self, inputs: Sequence[Tensor]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]:
        # as for an export, with tensors that may be written to in and out of inference mode
        with torch.inference_mode(False), torch.no_grad():
            places = tuple(tensor.clone() for tensor in inputs)
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries choose and allocate in the first calls, which a capture forbids
                for _ in range(3):
                    self._forward(*places)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output: Tensor = self._forward(*places)
        return graph, places, output


_REPLACEMENTS: dict[str, Callable[[nn.Module], Forward | None]] = {
    FUSED: _fused,
    COMPILE: _compiled,
    ONNX: _OnnxForward,
    GRAPH: _GraphForward,
}
