"""Mlp: plain regression of action chunks from a pooled point cloud and the robot's state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.interfaces import Batch, DemoSet, MethodSpec, Observations, TaskSpec, UserError, unknown

TRAIN_STEPS = {"smoke": 100, "lite": 1500, "paper": 30_000}  # gradient steps by profile
HORIZON = 4  # H, actions that one call predicts and executes
FEATURES, HIDDEN = 64, 256  # of the cloud; of the regression
BATCH, LR = 64, 1e-3


class Net(nn.Module):
    """Normaliser, encoder and head: all that acting needs, so that its state dict is the checkpoint."""

    def __init__(self, task: TaskSpec) -> None:
        super().__init__()
        for name, size in (("cloud", 3), ("state", task.agent_pos_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        self.points = nn.Sequential(nn.Linear(3, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES))
        inputs = FEATURES + task.agent_pos_dim
        self.head = nn.Sequential(
            nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HORIZON * task.action_dim), nn.Unflatten(1, (HORIZON, task.action_dim)),
        )  # fmt: skip

    def encode(self, cloud: Tensor, state: Tensor) -> Tensor:
        """Condition ``[B, C]`` of frames ``[B, N, 3]`` and ``[B, P]``."""
        features = self.points((cloud - self.cloud_mean) / self.cloud_scale).amax(dim=1)
        return torch.cat([features, (state - self.state_mean) / self.state_scale], dim=1)


class Mlp:
    """The method. `bench.interfaces.Method` says what each part must do; `bench.testing.check_method` checks it."""

    def __init__(self, task: TaskSpec, profile: str, options: Mapping[str, str] | None, device: str) -> None:
        if profile not in TRAIN_STEPS:
            raise unknown("profile", profile, TRAIN_STEPS)
        if options:
            raise UserError(f"mlp has no inference options, got '{', '.join(options)}'")
        self.spec = MethodSpec(
            name="mlp", teacher=None, horizon=HORIZON, n_obs_steps=1, n_action_steps=HORIZON, nfe=1,
            train_steps=TRAIN_STEPS[profile], batch_size=BATCH,
            config={"features": FEATURES, "hidden": HIDDEN, "lr": LR},  # whatever else determines the weights
        )  # fmt: skip
        self.device = torch.device(device)
        self.net = Net(task).to(self.device)
        self.network = self.net.head  # its calls are the network evaluations (NFE)

    def begin_training(self, demos: DemoSet, teacher: Mapping[str, Tensor] | None, generator: torch.Generator) -> None:
        """Fit the normaliser, draw the weights, build the optimiser."""
        self.clouds, self.states = (
            torch.from_numpy(part).to(self.device) for part in (demos.point_cloud, demos.agent_pos)
        )
        for name, values in (("cloud", self.clouds.flatten(0, 1)), ("state", self.states)):
            getattr(self.net, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self.net, f"{name}_scale").copy_(values.std(dim=0).clamp(min=1e-4))
        for parameter in self.net.parameters():  # drawn on the CPU: the same weights on every device
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(noise / parameter.shape[-1] ** 0.5)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=LR)

    def fit_step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step on the mean squared error."""
        frames = batch.frames[:, -1].to(self.device)
        prediction = self.net.head(self.net.encode(self.clouds[frames], self.states[frames]))
        loss = nn.functional.mse_loss(prediction, batch.action.to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def training_state(self) -> dict[str, Tensor]:
        """Weights and optimiser moments, as copies."""
        moments = self.optimizer.state_dict()["state"]
        flat = {f"adam/{i}/{name}": t.clone() for i, row in moments.items() for name, t in row.items()}
        return {f"net/{name}": t for name, t in self.state().items()} | flat

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `training_state`."""
        self.load_state({name.removeprefix("net/"): t for name, t in state.items() if name.startswith("net/")})
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            if key.startswith("adam/"):
                _, i, name = key.split("/")
                moments.setdefault(int(i), {})[name] = tensor.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})

    def state(self) -> dict[str, Tensor]:
        """The checkpoint."""
        return {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load `state`; refuses anything else by the name of the tensor."""
        own = self.net.state_dict()
        for name in sorted({*own, *state}):
            if name not in own or name not in state or own[name].shape != state[name].shape:
                raise UserError(f"checkpoint of mlp: tensor '{name}' is missing, unexpected or of another shape")
        self.net.load_state_dict(dict(state))

    @torch.inference_mode()
    def encode(self, observations: Observations) -> Tensor:
        """Condition ``[B, C]`` of the last frame."""
        return self.net.encode(observations.point_cloud[:, -1], observations.agent_pos[:, -1])

    @torch.inference_mode()
    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Actions ``[B, K, A]``; nothing here is random."""
        return self.network(condition).clamp(-1, 1)

    def act(self, observations: Observations, generator: torch.Generator) -> Tensor:
        """Encoder, then head."""
        return self.sample(self.encode(observations), generator)
