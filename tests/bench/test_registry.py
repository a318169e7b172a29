"""The version of a method's code: every module of its own counts, and nobody else's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.registry import code_version

Version = Callable[..., str]


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Version]:
    """Version of a module after the files given have been written."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(module: str, **files: str) -> str:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__of__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in [m for m in sys.modules if m.startswith("plugin_")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        code_version.cache_clear()
        return code_version(module)

    yield of
    code_version.cache_clear()


def test_a_package_of_a_single_module_counts(version: Version) -> None:
    first = version("plugin_one", plugin_one="SIZE = 1\n")
    assert version("plugin_one", plugin_one="SIZE = 2\n") != first
    assert version("plugin_one", plugin_one='"""Words."""\nSIZE = 1  # more words\n') == first


@pytest.mark.parametrize("line", ["from .nets import SIZE", "from . import nets", "from plugin_two.nets import SIZE"])
def test_what_it_imports_from_its_own_package_counts(line: str, version: Version) -> None:
    first = version(
        "plugin_two.policy", plugin_two__of____init__="", plugin_two__of__policy=f"{line}\n",
        plugin_two__of__nets="SIZE = 1\n",
    )  # fmt: skip
    assert version("plugin_two.policy", plugin_two__of__nets="SIZE = 2\n") != first
    assert version("plugin_two.policy", plugin_two__of__nets="SIZE = 1\n") == first
    assert version("plugin_two.policy", plugin_two__of____init__="LISTED = 1\n") == first  # a registry does not


def test_networks_of_the_methods_here_count_for_a_plugin(version: Version) -> None:
    built_in = version("plugin_three", plugin_three="from methods.networks import Networks\n")
    assert built_in != version("plugin_three", plugin_three="from methods.nets.unet import ConditionalUnet1d\n")
    assert built_in != version("plugin_three", plugin_three="from json import loads\n")
