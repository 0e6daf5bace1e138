"""The content store: what is there already is not fetched again, and never simply believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo import content
from petra.content.digest import Digest
from tests.support.command import names
from tests.support.opened import opened
from tests.support.world import World, layer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run
    from tests.support.front import Front

IMAGE = "team/big:1.0"
BIG, MORE = layer("big", 2_500_000), layer("more", 1_500_000)


@pytest.fixture
def big(world: World, front: Front) -> World:
    target = world.repository(IMAGE)
    target.tag(content.push_image(target, [BIG]), "1.0")
    world.spec(IMAGE, host=front.host, verify={"skip": "not what this test is about"})
    return world


def fetched(front: Front, one: content.Layer) -> int:
    return len(front.asked(f"GET .*{Digest.of(one.data)}"))


def blob(store: Path, one: content.Layer) -> Path:
    return store / Digest.of(one.data).blob_path


def test_what_is_there_is_not_fetched_again(big: World, front: Front, create: Run) -> None:
    store = big.folder / "store"
    assert create("--store", store).status == 0
    assert fetched(front, BIG) == 1
    first = opened(big.bundle)
    target = big.repository(IMAGE)
    target.tag(content.push_image(target, [BIG, MORE]), "1.0")

    assert create("--store", store).status == 0

    assert (fetched(front, BIG), fetched(front, MORE)) == (1, 1)
    again = opened(big.bundle)
    assert first.files[blob(store, BIG).relative_to(store).as_posix()] == BIG.data
    assert again.files[blob(store, MORE).relative_to(store).as_posix()] == MORE.data
    assert blob(store, MORE).read_bytes() == MORE.data


def test_a_store_makes_no_difference_to_the_bundle(big: World, petra: Run, create: Run) -> None:
    assert petra("bundle", "lock", "-f", "bundle.yaml").status == 0
    made = set()
    for more in ((), ("--store", "store"), ("--store", "store")):
        assert create("--locked", *more).status == 0
        made.add(big.bundle.read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize(("damage", "status"), [("flipped", 3), ("cut", 0), ("longer", 0)])
def test_a_damaged_blob_is_not_believed(
    big: World, petra: Run, create: Run, damage: str, status: int
) -> None:
    store = big.folder / "store"
    assert create("--store", store).status == 0
    path = blob(store, BIG)
    data = bytearray(BIG.data)
    data[1_000_000] ^= 1
    bad = {"flipped": bytes(data), "cut": BIG.data[:-1], "longer": BIG.data + b"x"}[damage]
    path.chmod(0o644)
    path.write_bytes(bad)
    before = big.bundle.read_bytes()

    outcome = create("--store", store)

    assert outcome.status == status
    if status:
        assert big.bundle.read_bytes() == before
        assert path.name in outcome.err
        assert create("--store", store).status == 0  # it was forgotten
    assert path.read_bytes() == BIG.data
    assert petra("bundle", "verify", "-f", big.bundle, "--key", "ours.pub").status == 0
    assert [name for name in names(store / "blobs" / "sha256") if name.startswith(".")] == []
