"""The file of published figures: complete, strict, found."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bench import published
from bench.interfaces import UserError
from bench.published import load_published


def test_all_figures_are_there() -> None:
    figures = [figure for source in load_published().sources for figure in source.figures]
    assert len(figures) == 105
    assert Counter(f.trust for f in figures) == {"primary": 63, "secondary": 33, "derived": 9}
    values = {(f.method, f.group, f.metric): f.value for f in figures}
    assert values["ManiCM", "Average(31)", "success_rate"] == 79.0
    assert values["DP3*", "Average(31)", "inference_time"] == 177.6
    assert values["DP3", "encoder+U-Net", "parameters"] == 255_138_308


def test_an_installed_package_finds_the_file_beside_its_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "site-packages" / "bench" / "published.py"
    module.parent.mkdir(parents=True)
    (module.parent / "published.toml").write_text('schema = "published/1"\nsources = []\n')
    monkeypatch.setattr(published, "__file__", str(module))
    assert load_published().sources == []


def test_the_wheel_takes_the_file_along() -> None:
    root = Path(__file__).parents[2]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    (source,) = (file for file, place in wheel["force-include"].items() if place == "bench/published.toml")
    assert (root / source).exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('schema = "published/2"\nsources = []\n', r"schema: Input should be 'published/1'"),
        ('schema = "published/1"\nsources = []\nmore = 1\n', "more: Extra inputs are not permitted"),
        ("schema = ", "no TOML"),
        ("schema = " + 5000 * "[", "no TOML"),
        (
            'schema = "published/1"\n[[sources]]\nname = "x"\n[[sources.figures]]\ntrust = "rumour"\n',
            r"sources\.0\.figures\.0\.trust: Input should be",
        ),
        (
            'schema = "published/1"\n[[sources]]\nname = "x"\nfigures = [{ trust = "primary", method = "m", '
            'suite = "s", group = "g", metric = "demos", value = 1, unit = "episodes", variants = ["dp3"] }]\n',
            "needs 'barred'",
        ),
    ],
)
def test_faults_are_one_line_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "published.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_published(file)
    assert str(file) in str(caught.value)
    with pytest.raises(UserError, match="unreadable"):
        load_published(tmp_path / "nowhere.toml")
