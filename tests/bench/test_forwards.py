"""Networks run by other runtimes than PyTorch's eager mode."""

from __future__ import annotations

import pytest
import torch

import methods
from bench import runtimes
from bench.forwards import use_runtime
from bench.interfaces import Observations, TaskSpec, UserError
from bench.runtimes import FUSED, GRAPH, ONNX
from tests.fakes import FakeMethod, fake_spec

TASK = TaskSpec("metaworld/none", "metaworld", "easy", 64, 9, 4, 200, 5, "none", "none")


def test_a_method_without_parts_is_refused() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with pytest.raises(UserError, match="names no `parts`"):
        use_runtime(FakeMethod("base", fake_spec(), {}), ONNX)


def test_a_method_without_networks_that_can_be_fused_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    method = FakeMethod("base", fake_spec(), {})
    monkeypatch.setattr(method, "parts", {"network": torch.nn.Linear(2, 2)}, raising=False)
    with pytest.raises(UserError, match="base cannot run by 'fused': there is no such form of its networks"):
        use_runtime(method, FUSED)


@pytest.mark.parametrize("runtime", [FUSED, ONNX, pytest.param("compile", marks=pytest.mark.slow), GRAPH])
def test_a_runtime_gives_the_actions_of_eager_and_counts_evaluations(runtime: str) -> None:
    if reason := runtimes.unavailable(runtime):
        pytest.skip(reason)
    device = "cuda" if runtime == GRAPH else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    seen = Observations(
        torch.randn(2, 2, TASK.n_points, 3, generator=generator, device=device),
        torch.randn(2, 2, TASK.agent_pos_dim, generator=generator, device=device),
    )
    eager, other = (methods.make("dp3", TASK, "smoke", {"nfe": "2"}, device) for _ in range(2))
    use_runtime(other, runtime, device)
    calls = []
    hook = other.network.register_forward_hook(lambda *_: calls.append(1))
    expected = eager.act(seen, torch.Generator(device).manual_seed(1))
    torch.testing.assert_close(other.act(seen, torch.Generator(device).manual_seed(1)), expected, rtol=0, atol=1e-4)
    assert len(calls) == 2
    hook.remove()
    # without anything that counts, a sampler may be one call
    torch.testing.assert_close(other.act(seen, torch.Generator(device).manual_seed(1)), expected, rtol=0, atol=1e-4)
    if runtime == "compile":  # half a minute for each shape
        return
    one = Observations(*(part[:1] for part in seen))  # another batch size
    expected = eager.act(one, torch.Generator(device).manual_seed(1))
    torch.testing.assert_close(other.act(one, torch.Generator(device).manual_seed(1)), expected, rtol=0, atol=1e-4)
