"""A `bench.latency_timer.Timer` in a fresh process of its own, and what drives it from here.

The process is in one thread mode, holds one variant, and waits without work until it is told what to do: a JSON line
each way. So cold calls are cold, memory is that of one variant, and several processes can take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.artifacts import Artifact, unpack_tensors
from bench.clocks import record_inputs
from bench.forwards import use_runtime
from bench.interfaces import UserError
from bench.latency_timer import Contender, Timed, Timer
from bench.spec import Variant
from bench.thread_modes import enter, environment


class RemoteTimer:
    """Starts the process; each method waits until it has done what it was told.

    Raises (from all methods):
        UserError: The process refused its input.
        RuntimeError: The process failed; the message is the end of what it said.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """``entry``: ``row`` (the fields of the latency row known beforehand), ``options``, ``runtime``, ``checkpoint``
        (a path, or null for untrained weights) and ``base_seed``."""
        self.variant = str(entry["row"]["variant"])
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.latency_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, text=True, env={**os.environ, **environment(entry["row"]["mode"])},
        )  # fmt: skip
        self._tell(entry)

    def wait_until_ready(self) -> None:
        """Return when the variant is loaded."""
        self._hear()

    def warm_up(self, seconds: float) -> float:
        """See `Timer.warm_up`."""
        self._tell(["warm_up", seconds])
        return float(self._hear())

    def run_block(self, calls: int) -> None:
        """See `Timer.run_block`."""
        self._tell(["run_block", calls])
        self._hear()

    def result(self) -> Timed:
        """See `Timer.result`."""
        self._tell(["result"])
        row, blocks = self._hear()
        return Timed(row, [np.array(block) for block in blocks])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _tell(self, message: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        return json.loads(line)

    def _fail(self) -> None:
        code = self._process.wait()
        self._said.seek(0)
        message = self._said.read().strip()[-2000:] or f"exit code {code}"
        raise UserError(message.splitlines()[-1]) if code == 2 else RuntimeError(message)


def load(entry: Mapping[str, Any]) -> Timer:
    """Build what is to be timed, in this process."""
    row, device = entry["row"], entry["row"]["device"]
    task = registry.tasks().make(row["task"])
    name = Variant.parse(row["method"]).method  # without the id of imported weights
    method = registry.methods().make(name, task.spec, row["profile"], entry["options"], device)
    artifact = None
    if entry["checkpoint"] is not None:
        artifact = Artifact(Path(entry["checkpoint"]).read_bytes())
        method.load_state(unpack_tensors(artifact.data, device))
    use_runtime(method, entry["runtime"], device)
    spec = method.spec
    inputs = record_inputs(task, entry["base_seed"], spec.n_obs_steps, kind=spec.observation)
    return Timer(Contender(row, method, artifact, entry["runtime"]), task, inputs, entry["base_seed"])


def main() -> None:
    """Entry of the process: do as told until the other end is closed."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    entry = json.loads(sys.stdin.readline())
    enter(entry["row"]["mode"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    timer = load(entry)
    answer: object = "ready"
    while True:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        match json.loads(sys.stdin.readline() or "null"):
            case ["warm_up", seconds]:
                answer = timer.warm_up(seconds)
            case ["run_block", calls]:
                timer.run_block(calls)
                answer = "done"
            case ["result"]:
                row, blocks = timer.result()
                answer = [row, [block.tolist() for block in blocks]]
            case _:
                return


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
