"""The order in which files cross a diode."""

from __future__ import annotations

from pathlib import Path
from random import Random

from petra.content.digest import Digest
from petra.transfer.rounds import rounds
from petra.transfer.shipment import Shipment, ShippedFile


def file(name: str) -> ShippedFile:
    return ShippedFile(Path(name), 1, Digest.of(name.encode()))


CHUNKS = tuple(file(f"shop.tar.zst.{number:04}-of-0020") for number in range(1, 21))
SHIPMENT = Shipment(
    "shop.tar.zst",
    Digest.of(b"shop"),
    "shop",
    (CHUNKS, (file("manifest.json"),), (file("manifest.json.sig"),)),
)


def chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311  # an order, and the same each time


def test_the_first_round_has_the_given_order() -> None:
    assert [*map(list, rounds(SHIPMENT, 1, chance(1)))] == [[*SHIPMENT.files]]


def test_later_rounds_have_an_order_of_their_own_with_the_manifest_last() -> None:
    first, second, third = rounds(SHIPMENT, 3, chance(1))

    for each in (second, third):
        assert sorted(one.name for one in each) == sorted(one.name for one in first)
        assert [one.name for one in each[-2:]] == ["manifest.json", "manifest.json.sig"]
    assert len({tuple(one.name for one in each) for each in (first, second, third)}) == 3


def test_the_same_seed_gives_the_same_order() -> None:
    assert [*rounds(SHIPMENT, 3, chance(7))] == [*rounds(SHIPMENT, 3, chance(7))]
