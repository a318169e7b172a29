"""`bench new`: names are checked before anything is written."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.skeleton import write_skeleton


@pytest.mark.usefixtures("fake_registry")
@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("method", "base", "exists already: choose another name"),
        ("method", "My Policy", "small letters, digits and dashes, as in 'my-policy'"),
        ("method", "a/b", "as in 'my-policy'"),
        ("task", "fake/walk", "exists already: choose another name"),
        ("task", "reach", "as in 'toy/reach'"),
        ("task", "../reach", "as in 'toy/reach'"),
    ],
)
def test_bad_names_are_refused(kind: str, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_skeleton(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("fake_registry")
def test_nothing_is_overwritten(tmp_path: Path) -> None:
    files = write_skeleton("task", "toy/pick-place", tmp_path)
    assert [file.name for file in files][1] == "bench_toy_pick_place.py"
    code = files[1].read_text(encoding="utf-8")
    assert "class PickPlace:" in code
    assert 'suite="toy"' in code
    with pytest.raises(UserError, match="bench-toy-pick-place: exists already"):
        write_skeleton("task", "toy/pick-place", tmp_path)


@pytest.mark.usefixtures("fake_registry")
@pytest.mark.parametrize(
    ("kind", "name", "class_"),
    [("method", "net", "NetMethod"), ("method", "batch", "BatchMethod"), ("task", "toy/outcome", "OutcomeTask")],
)
def test_a_name_that_the_code_uses_already_is_set_apart(kind: str, name: str, class_: str, tmp_path: Path) -> None:
    package, code, *_ = write_skeleton(kind, name, tmp_path)
    classes = [node.name for node in ast.parse(code.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    assert class_ in classes
    assert len(classes) == len(set(classes))
    (entry,) = tomllib.loads(package.read_text(encoding="utf-8"))["project"]["entry-points"][f"bench.{kind}s"].values()
    assert entry.endswith(f":{class_}")


@pytest.mark.usefixtures("fake_registry")
@pytest.mark.parametrize(("kind", "name"), [("method", "mine"), ("task", "toy/mine")])
def test_a_fresh_environment_gets_what_its_tests_need(kind: str, name: str, tmp_path: Path) -> None:
    package, _, _, readme = write_skeleton(kind, name, tmp_path)
    assert tomllib.loads(package.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["test"] == ["pytest"]
    assert "pip install -e '.[test]'" in readme.read_text(encoding="utf-8")
