"""Seeds: a number belongs to its name and to nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from bench.seeding import Purpose, episode_seed, sequence, torch_generator

NAMES = st.text(min_size=1, max_size=20)


@given(NAMES, st.integers(0, 999), st.integers(0, 999))
def test_purposes_and_episodes_do_not_share_seeds(task: str, first: int, second: int) -> None:
    purposes = [Purpose.DEMO, Purpose.SELECTION, Purpose.TEST]
    seeds = {(p, e): episode_seed(0, task, p, e) for p in purposes for e in {first, second}}
    assert len(set(seeds.values())) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_known_seeds_never_change() -> None:
    assert [episode_seed(0, "metaworld/drawer-open", Purpose.TEST, i) for i in range(3)] == [
        1130839870,
        1344752067,
        57509799,
    ]


def test_generators_of_equal_names_agree() -> None:
    draws = [torch_generator(sequence(1, "a", Purpose.TRAIN, 2)).get_state().tolist() for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0] != torch_generator(sequence(1, "a", Purpose.TRAIN, 3)).get_state().tolist()
