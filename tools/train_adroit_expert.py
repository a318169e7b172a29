"""Train the closed-loop expert of an Adroit task: PPO, from a clone of planned episodes or (pen) along these.

    python tools/train_adroit_expert.py door|hammer|pen [--workers 6] [--minutes 7] [--iterations 400] [--seed 0]
        [--resume FILE] [--out DIRECTORY]

Proximal policy optimisation (Schulman et al., 2017) with generalised advantage estimation (2016) on episodes that the
workers simulate. The critic also sees the velocities. The mean action is what the expert executes; that it changes
little from one state to the next is part of the loss, so that demonstrations are smooth and easy to imitate.
Episodes start where training seeds say: no demonstration and no test starts there. Results depend on the seed and on
the device, not on the number of workers. Writes DIRECTORY/adroit_NAME.safetensors, the best policy so far by
evaluations without noise, and DIRECTORY/adroit_NAME_training.safetensors, from which ``--resume`` goes on; a policy
that lies in DIRECTORY by then is replaced by one that is no worse only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from adroit_episodes import Episode, Job, play, quiet
from adroit_settings import SETTINGS, Settings
from adroit_start import demonstrate
from safetensors.numpy import load_file as numpy_file
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from envs.experts.adroit import CLIP, Policy

EVALUATION = 10_000_000  # number of the first evaluation episode


class Learner:
    """Actor, critic and their optimiser for O state numbers and V velocities."""

    def __init__(self, rows: np.ndarray, first: Policy, settings: Settings, device: str) -> None:
        """``rows`` ``[M, O + V]`` are states that the inputs are normalised by; at first it acts about as ``first``."""
        self.settings, self.device, w = settings, device, settings.width
        self.n_state, n_action = len(first.shift), len(first.b2)
        self.shift = torch.tensor(rows.mean(0), device=device)
        self.scale = torch.tensor(np.maximum(rows.std(0), 0.02), device=device)
        self.actor = nn.Sequential(
            nn.Linear(self.n_state, w), nn.Tanh(), nn.Linear(w, w), nn.Tanh(), nn.Linear(w, n_action)
        ).to(device)
        self.critic = nn.Sequential(
            nn.Linear(rows.shape[1], w), nn.Tanh(), nn.Linear(w, w), nn.Tanh(), nn.Linear(w, 1)
        ).to(device)
        with torch.no_grad():
            self.actor[4].weight.mul_(0.1)
            self.actor[4].bias.copy_(torch.tensor(first.b2))
        self.log_std = nn.Parameter(torch.full((n_action,), float(np.log(settings.std)), device=device))
        self.optimiser = torch.optim.Adam([
            {"params": [*self.actor.parameters(), self.log_std], "lr": settings.rate},
            {"params": self.critic.parameters(), "lr": 5e-4},
        ])  # fmt: skip

    def normalised(self, x: Tensor) -> Tensor:
        return ((x - self.shift) / self.scale).clip(-CLIP, CLIP)

    def policy(self) -> Policy:
        """The weights that workers and experts act by."""
        weights = [p.detach().cpu().numpy().copy() for p in self.actor.parameters()]
        shift, scale = (t[: self.n_state].cpu().numpy().copy() for t in (self.shift, self.scale))
        return Policy(shift, scale, *weights)

    def clone(self, states: np.ndarray, actions: np.ndarray) -> float:
        """Regress the actor on planned episodes; returns the last loss."""
        x = self.normalised(torch.tensor(states, device=self.device))[:, : self.n_state]
        y = torch.tensor(actions, device=self.device)
        optimiser = torch.optim.AdamW(self.actor.parameters(), 1e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.settings.clone_steps)
        for _ in range(self.settings.clone_steps):
            rows = torch.randint(len(x), (256,), device=self.device)
            noisy = x[rows] + 0.03 * torch.randn_like(x[rows])  # a smoother network
            loss = ((self.actor(noisy) - y[rows]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return float(loss.detach())

    def update(self, episodes: list[Episode], *, actor: bool, noise: tuple[float, float]) -> dict[str, float]:
        """One iteration of PPO; the exploration noise stays between the two values of ``noise``."""
        s = self.settings
        parts = [self._advantages(e) for e in episodes]
        now, after = (torch.cat([p[k] for p in parts]) for k in (0, 1))
        taken = torch.cat([torch.tensor(e.actions, device=self.device) for e in episodes])
        advantage, target = (torch.cat([p[k] for p in parts]) for k in (2, 3))
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        with torch.no_grad():
            old_mean, old_std = self.actor(now[:, : self.n_state]), self.log_std.exp().clone()
            old = torch.distributions.Normal(old_mean, old_std).log_prob(taken).sum(-1)
        kls: list[float] = []
        trained = [*self.actor.parameters(), self.log_std]
        backup = [parameter.detach().clone() for parameter in trained]
        for _ in range(s.epochs):
            for rows in torch.randperm(len(now), device=self.device).chunk(s.minibatches):
                value = 10.0 * self.critic(now[rows])[:, 0]
                loss = 0.05 * ((value - target[rows]) ** 2).mean()
                if actor:
                    mean = self.actor(now[rows, : self.n_state])
                    new = torch.distributions.Normal(mean, self.log_std.exp())
                    ratio = (new.log_prob(taken[rows]).sum(-1) - old[rows]).exp()
                    gain = advantage[rows]
                    loss = loss - torch.minimum(ratio * gain, ratio.clip(1 - s.clip, 1 + s.clip) * gain).mean()
                    change = mean - self.actor(after[rows, : self.n_state])
                    outside = (mean.abs() - 1.0).clip(min=0.0)
                    loss = loss + s.smooth * (change**2).sum(-1).mean() + 0.05 * (outside**2).sum(-1).mean()
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, 1.0)
                self.optimiser.step()
                with torch.no_grad():
                    self.log_std.clip_(*np.log(noise))
            if actor:
                with torch.no_grad():
                    mean, std = self.actor(now[:, : self.n_state]), self.log_std.exp()
                    kl = (std / old_std).log() + (old_std**2 + (old_mean - mean) ** 2) / (2 * std**2) - 0.5
                    kls.append(float(kl.sum(-1).mean()))
                if kls[-1] > 4 * s.kl:  # undo this epoch
                    for parameter, before in zip(trained, backup, strict=True):
                        parameter.data.copy_(before)
                if kls[-1] > 1.5 * s.kl:
                    break
                backup = [parameter.detach().clone() for parameter in trained]
        if actor:
            group = self.optimiser.param_groups[0]
            group["lr"] *= 0.5 if kls[-1] > 4 * s.kl else 0.8 if kls[-1] > 1.5 * s.kl else 1.1
            group["lr"] = float(np.clip(group["lr"], 1e-6, 1e-3))
        return {
            "kl": kls[-1] if kls else 0.0,
            "lr": self.optimiser.param_groups[0]["lr"],
            "std": float(self.log_std.detach().exp().mean()),
            "critic": float(((value.detach() - target[rows]) ** 2).mean() / (target.var() + 1e-8)),
        }

    def _advantages(self, episode: Episode) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalised states before and after each action, advantages, and what the critic should have said."""
        s = self.settings
        x = self.normalised(torch.tensor(episode.states, device=self.device))
        with torch.no_grad():
            values = (10.0 * self.critic(x)[:, 0]).cpu().numpy()
        if episode.done:
            values[-1] = 0.0
        errors = episode.rewards + s.gamma * values[1:] - values[:-1]
        advantages, total = np.zeros_like(errors), 0.0
        for t in range(len(errors) - 1, -1, -1):
            total = errors[t] + s.gamma * s.lam * total
            advantages[t] = total
        gain = torch.tensor(advantages, device=self.device)
        return x[:-1], x[1:], gain, gain + torch.tensor(values[:-1], device=self.device)

    def state(self) -> dict[str, Tensor]:
        """All tensors but the optimiser's."""
        parts = {"shift": self.shift, "scale": self.scale, "log_std": self.log_std.detach()}
        parts |= {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        parts |= {f"critic.{k}": v for k, v in self.critic.state_dict().items()}
        return {k: v.detach().cpu().contiguous().clone() for k, v in parts.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the tensors of `state`."""
        self.shift, self.scale = (state[k].to(self.device) for k in ("shift", "scale"))
        with torch.no_grad():
            self.log_std.copy_(state["log_std"])
        for name, net in (("actor", self.actor), ("critic", self.critic)):
            net.load_state_dict({k.split(".", 1)[1]: v for k, v in state.items() if k.startswith(name)})


Map = Callable[[Callable[..., object], Iterable[object]], list]


def train(
    name: str,
    settings: Settings,
    *,
    seed: int,
    iterations: int,
    minutes: float,
    parallel: Map,
    out: Path,
    device: str = "cpu",
    resume: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train and write the two files."""
    began = time.monotonic()
    torch.manual_seed(seed)
    still = quiet(name)
    numbers = iter(range(EVALUATION))

    def jobs(policy: Policy, std: np.ndarray | None, count: int, midway: float = 0.0) -> list[Job]:
        return [Job(name, policy, std, seed, next(numbers), midway) for _ in range(count)]

    def evaluate(policy: Policy) -> list[Episode]:
        return parallel(play, [Job(name, policy, None, seed, EVALUATION + k) for k in range(settings.evaluations)])

    best, written = (-1.0, -np.inf), out / f"adroit_{name}.safetensors"
    if resume and written.is_file():
        best = _score(evaluate(Policy(**numpy_file(written))))
        say(f"{name}: at the end {best[0]:.2f} and return {best[1]:.1f} by {written}: a worse one does not replace it")
    if resume:
        noise = np.full(len(still.b2), settings.std, np.float32)
        states = np.concatenate([e.states for e in parallel(play, jobs(still, noise, settings.episodes))])
        learner = Learner(states, still, settings, device)
        learner.load(load_file(resume))
        first = 2  # the optimiser starts anew, and the critic needs hardly any lead
    else:
        planned = [e for e in parallel(demonstrate, jobs(still, None, settings.clones)) if e is not None]
        states, actions = (np.concatenate([e[k] for e in planned]) for k in (0, 1))
        learner = Learner(states, still, settings, device)
        say(f"{name}: {len(planned)} of {settings.clones} planned episodes succeed")
        if settings.clone_steps:
            say(f"{name}: cloned, loss {learner.clone(states, actions):.5f}")
        first = settings.critic_only
    for iteration in range(iterations + 1):
        late = time.monotonic() - began > 60 * minutes
        if iteration % settings.every == 0 or iteration == iterations or late:
            policy = learner.policy()
            tests = evaluate(policy)
            ends, score = np.array([e.ends for e in tests]).mean(0), _score(tests)
            change = np.mean([np.abs(np.diff(e.actions.clip(-1, 1), axis=0)).mean() for e in tests])
            say(
                f"{name} {iteration}: {time.monotonic() - began:.0f} s, success at the end {ends[0]:.2f} {ends[1]:.2f}"
                f", return {score[1]:.1f}, change of actions {change:.3f}"
            )
            out.mkdir(parents=True, exist_ok=True)
            save_file(learner.state(), out / f"adroit_{name}_training.safetensors")
            if score >= best:
                best = score
                weights = {k: torch.tensor(v) for k, v in policy._asdict().items()}
                save_file(weights, written)
        if late or iteration == iterations:
            break
        std = learner.log_std.detach().exp().cpu().numpy()
        noise, midway = settings.schedule(iteration, resumed=resume is not None)
        episodes = parallel(play, jobs(learner.policy(), std, settings.episodes, midway))
        figures = learner.update(episodes, actor=iteration >= first, noise=noise)
        figures["return"] = float(np.mean([e.rewards.sum() for e in episodes]))
        figures["success"] = float(np.mean([min(e.ends) for e in episodes]))
        say(f"{name} {iteration}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))


def _score(tests: list[Episode]) -> tuple[float, float]:
    """What policies are compared by: success at the end by the stricter rule, then mean return."""
    return float(np.array([e.ends for e in tests]).mean(0).min()), float(np.mean([e.rewards.sum() for e in tests]))


def main() -> None:
    """Train with as many processes as asked for."""
    parser = argparse.ArgumentParser(description="Train the expert of an Adroit task.")
    parser.add_argument("name", choices=sorted(SETTINGS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--out", type=Path, default=Path("adroit-experts"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    o = parser.parse_args()
    torch.set_num_threads(1)
    with multiprocessing.get_context("spawn").Pool(o.workers) as pool:
        train(
            o.name, SETTINGS[o.name], seed=o.seed, iterations=o.iterations, minutes=o.minutes, out=o.out,
            device=o.device, resume=o.resume, parallel=lambda f, jobs: pool.map(f, jobs, chunksize=1),
        )  # fmt: skip


if __name__ == "__main__":
    main()
