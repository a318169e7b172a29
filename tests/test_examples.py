"""The packages under `examples/`, installed into a fresh environment: a stranger's method and task, end to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import bench
from bench.skeleton import write_skeleton

ROOT = Path(__file__).parents[1]
EXAMPLES = {"bench-mlp": ("method", "mlp"), "bench-toy-reach": ("task", "toy/reach")}


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that sees this tree and its dependencies, and has the examples installed."""
    root = tmp_path_factory.mktemp("fresh")
    venv.create(root / "env", symlinks=True, with_pip=False)
    python = root / "env" / "bin" / "python"
    (site,) = (root / "env" / "lib").glob("python*/site-packages")
    outside = [ROOT, *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "outside.pth").write_text("".join(f"{path}\n" for path in outside))
    for name in EXAMPLES:
        copy = shutil.copytree(ROOT / "examples" / name, root / name)  # a build leaves files in its tree
        run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation",
            "--no-index", "--quiet", copy, cwd=root)  # fmt: skip
    return python


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_bench_new_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.registry.methods", lambda: _Nothing)
    monkeypatch.setattr("bench.registry.tasks", lambda: _Nothing)
    files = write_skeleton(*EXAMPLES[name], tmp_path)
    for file in files:
        example = ROOT / "examples" / file.relative_to(tmp_path)
        assert file.read_text(encoding="utf-8") == example.read_text(encoding="utf-8"), f"{example} is out of date"
    assert max(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 120


class _Nothing:
    names, specs = list, dict


def test_the_examples_pass_their_own_tests(python: Path) -> None:
    root = python.parents[2]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *EXAMPLES, cwd=root)


def test_a_run_of_both_ends_with_a_report(python: Path) -> None:
    root = python.parents[2]
    run(python, "-m", "bench", "run", "--methods", "mlp", "--tasks", "toy/reach", "--profile", "smoke",
        "--workers", "0", "--out", "results/both", cwd=root)  # fmt: skip
    episodes = bench.load(root / "results" / "both")
    assert episodes.groupby(["variant", "task"]).size().to_dict() == {("mlp", "toy/reach"): 2}
    assert episodes["error"].isna().all()
    page = (root / "reports" / "both" / "README.md").read_text(encoding="utf-8")
    assert "mlp" in page
    assert "toy/reach" in page


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = json.loads((ROOT / "examples" / "tour.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "tour.py").write_text("\n\n".join(cells), encoding="utf-8")
    said = run(sys.executable, "tour.py", cwd=tmp_path)
    assert "did you mean dp3 or dp?" in said
    assert "| sdm |" in said
    assert (tmp_path / "tour" / "first" / "episodes.jsonl").exists()
