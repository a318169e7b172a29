"""Variants, run specs, content keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.interfaces import UserError
from bench.spec import Variant, canonical_json, make_spec, profile

WORD = st.text("abcdefgh0123456789-", min_size=1, max_size=8)


@given(WORD, st.dictionaries(WORD, WORD, max_size=3))
def test_variant_text_round_trips(name: str, options: dict[str, str]) -> None:
    variant = Variant(name, tuple(sorted(options.items())))
    assert Variant.parse(str(variant)) == variant


def test_option_order_does_not_matter() -> None:
    assert Variant.parse("dp3@t=90:nfe=1") == Variant.parse("dp3@nfe=1:t=90")


@pytest.mark.parametrize("text", ["", "@nfe=1", "dp3@", "dp3@nfe", "dp3@nfe=", "dp3@=1", "dp3@nfe=1:nfe=2"])
def test_incomplete_variants_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"write|twice"):
        Variant.parse(text)


def test_canonical_json_ignores_order_and_refuses_nan() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None]}) == canonical_json({"a": [1.5, None], "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean lite"):
        profile("lita")


@pytest.mark.usefixtures("fake_registry")
class TestMakeSpec:
    def test_defaults_come_from_the_profile(self) -> None:
        spec = make_spec(["base", "base@nfe=2", "base"], ["fake/walk"], profile_name="smoke")
        assert spec.methods == ("base", "base@nfe=2")
        assert (spec.seeds, spec.episodes) == ((0,), profile("smoke").episodes)

    def test_one_entry_has_one_name(self) -> None:
        spec = make_spec(["base@nfe=2", "base@nfe=02", "base", "base@nfe=1"], ["fake/run", "fake/walk", "fake/run"])
        assert spec.methods == ("base@nfe=2", "base")
        assert spec.tasks == ("fake/walk", "fake/run")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"methods": ["bsae"]}, "did you mean base"),
            ({"tasks": ["fake/wlk"]}, "did you mean fake/walk"),
            ({"episodes": 0}, "1 or more"),
            ({"seeds": [-1]}, "0 or more"),
            ({"methods": []}, "at least one"),
            ({"control_hz": 0}, "from 1 to 1000, got 0"),
            ({"control_hz": 1001}, "from 1 to 1000, got 1001"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, changes: dict, message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            make_spec(**{"methods": ["base"], "tasks": ["fake/walk"], **changes})
        assert "\n" not in str(caught.value)

    def test_a_run_without_a_control_rate_knows_of_none(self) -> None:
        assert "control_hz" not in make_spec(["base"], ["fake/walk"]).to_json()
        assert make_spec(["base"], ["fake/walk"], control_hz=20).to_json()["control_hz"] == 20

    def test_every_field_moves_the_key(self) -> None:
        base = {"methods": ["base"], "tasks": ["fake/walk"], "seeds": [0], "profile_name": "smoke", "episodes": 3}
        changes = [
            {}, {"methods": ["student"]}, {"tasks": ["fake/run"]}, {"seeds": [1]}, {"profile_name": "lite"},
            {"episodes": 4}, {"base_seed": 1}, {"control_hz": 20}, {"control_hz": 21},
        ]  # fmt: skip
        assert len({make_spec(**{**base, **change}).key for change in changes}) == len(changes)
