"""Chance comes in named streams."""

from sim.chance import Chance
from sim.world import World


def draw(chance: Chance, name: str, count: int = 5) -> list[int]:
    dice = chance(name)
    return [dice.randrange(1000) for _ in range(count)]


def test_the_numbers_of_a_stream_never_change_between_releases() -> None:
    assert draw(Chance(7), "smtp") == [756, 635, 547, 338, 694]


def test_the_same_seed_and_name_give_the_same_numbers() -> None:
    assert draw(Chance(1), "a") == draw(Chance(1), "a")


def test_another_seed_or_another_name_gives_other_numbers() -> None:
    assert draw(Chance(1), "a") != draw(Chance(2), "a")
    assert draw(Chance(1), "a") != draw(Chance(1), "b")


def test_a_stream_that_others_draw_from_reshuffles_nothing() -> None:
    alone = Chance(1)
    expected = draw(alone, "a", 10)
    busy = Chance(1)
    got = draw(busy, "a")
    draw(busy, "b", 100)
    assert got + draw(busy, "a") == expected


def test_asking_twice_gives_the_same_advancing_stream() -> None:
    chance = Chance(3)
    assert chance("x") is chance("x")


def test_machines_have_streams_of_their_own() -> None:
    world = World(seed=5)
    one, other = world.machine("one"), world.machine("other")
    assert [one.dice("x").random() for _ in range(3)] != [
        other.dice("x").random() for _ in range(3)
    ]


def test_shuffling_is_decided_by_the_seed() -> None:
    def shuffled(seed: int) -> list[int]:
        items = list(range(20))
        Chance(seed)("order").shuffle(items)
        return items

    assert shuffled(1) == shuffled(1) != shuffled(2)
    assert sorted(shuffled(1)) == list(range(20))
