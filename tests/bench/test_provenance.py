"""Where the code came from: the revision, and whatever differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.provenance import git_state, packages


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "one.py").write_text("a = 1\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_a_clean_checkout(checkout: Path) -> None:
    state = git_state(checkout)
    assert len(str(state["revision"])) == 40
    assert (state["dirty"], state["diff_sha256"]) == (False, None)


def test_every_change_has_a_hash_of_its_own(checkout: Path) -> None:
    hashes = set()
    for content in (b"a = 2\n", b"a = 3\n", b"\xff\xfe\0"):  # the last one is no text
        (checkout / "methods" / "one.py").write_bytes(content)
        hashes.add(git_state(checkout)["diff_sha256"])
    for content in (b"b = 1\n", b"b = 2\n"):  # a file that git does not know
        (checkout / "methods" / "two.py").write_bytes(content)
        state = git_state(checkout)
        assert state["dirty"]
        hashes.add(state["diff_sha256"])
    assert len(hashes) == 5
    assert None not in hashes


def test_what_lies_beside_the_code_does_not_count(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("mine")
    assert git_state(checkout)["dirty"] is False


def test_records_that_a_run_writes_are_no_change_of_the_code(checkout: Path) -> None:
    for name in ("results/mine/manifest.json", "reports/mine/README.md"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).write_text("{}")
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "a run")
    (checkout / "results" / "mine" / "manifest.json").write_text('{"more": 1}')
    (checkout / "reports" / "mine" / "README.md").unlink()
    assert git_state(checkout)["dirty"] is False


def test_outside_of_git(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"revision": None, "dirty": None, "diff_sha256": None}


def test_inside_of_the_checkout_of_something_else(checkout: Path) -> None:
    installed = checkout / "venv" / "site-packages"
    installed.mkdir(parents=True)
    assert git_state(installed) == {"revision": None, "dirty": None, "diff_sha256": None}
    (link := checkout.parent / f"{checkout.name}-link").symlink_to(checkout)
    assert git_state(link) == git_state(checkout)


def test_packages_are_named_with_their_versions() -> None:
    assert {"numpy", "torch", "pytest"} <= set(packages())
