"""The way back, on channels in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from petra.content.progress import NoProgress
from petra.errors import NotFoundError, PetraError, UsageError
from petra.load.destination import Placed
from petra.load.ledger import DestinationRecord, History, LoadRecord, PlacedRecord
from petra.load.rollback import Rollback
from tests.support.destinations import (
    Diary,
    FakeFollower,
    FakeRelease,
    Killed,
    MemoryLedger,
    away,
)
from tests.support.ledgers import NOON, event, loaded, stamp

if TYPE_CHECKING:
    from petra.load.ledger import Stamp

ONE, TWO, THREE = stamp(1), stamp(2), stamp(3)


@dataclass
class FakeChannel:
    """Moves `live` to the version that the record names."""

    site: Site
    record: DestinationRecord

    def move(self) -> Placed:
        assert self.record.switched is not None
        self.site.diary.note("move")
        self.site.live = self.record.switched.digest
        one = self.record.switched
        return Placed(one.name, one.reference, one.digest, sent=True)


@dataclass
class Site:
    """A channel, and what the ledger knows of the bundles that it stood for."""

    diary: Diary = field(default_factory=Diary)
    live: object = THREE.digest

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.diary)
        self.follower = FakeFollower(self.diary)

    def loaded(self, *bundles: Stamp, healthy: bool | None = None) -> None:
        self.ledger.stored += loaded(*bundles)
        for one in bundles:
            self.ledger.records[one] = record(one, healthy=healthy)

    @property
    def rollback(self) -> Rollback:
        return Rollback(
            self.ledger,
            lambda at: FakeChannel(self, at),
            NoProgress(),
            self.follower,
            clock=lambda: NOON,
        )

    @property
    def history(self) -> History:
        return History(self.ledger.events())


def record(bundle: Stamp, *, healthy: bool | None = None) -> LoadRecord:
    placed = PlacedRecord(name="channel", reference="host/m:stable", digest=bundle.digest)
    manifests = DestinationRecord(part="manifests", name="oci://host/m", switched=placed)
    images = DestinationRecord(part="images", name="registry://host")
    return LoadRecord(bundle=bundle, destinations=(images, manifests), healthy=healthy)


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_channel_goes_back_and_the_cluster_is_told(site: Site) -> None:
    site.loaded(ONE, TWO)
    report = site.rollback.run("shop")
    assert report.verdict == "rolled back"
    assert report.bundle == ONE
    assert site.live == ONE.digest
    assert site.diary.lines == ["rolling back", "move", "notify", "rolled back", "watch"]
    assert site.history.complete("shop") == [ONE]
    assert site.follower.asked == [(ONE, NOON)]


def test_a_place_where_the_older_bundle_was_never_published_is_named(site: Site) -> None:
    """It goes on reading the newer one, and nobody shall think that all of it went back."""
    site.loaded(ONE, TWO)
    assert site.rollback.run("shop").notes == ()

    site.loaded(THREE)
    other = DestinationRecord(
        part="manifests", name="/srv/manifests", switched=record(THREE).channels[0].switched
    )
    site.ledger.records[THREE] = record(THREE).at(other)
    (note,) = site.rollback.run("shop").notes
    assert note == f"/srv/manifests still reads {THREE}: {ONE} was never published there"


def test_the_name_may_be_left_out_where_there_is_one(site: Site) -> None:
    site.loaded(ONE, TWO)
    assert site.rollback.run().bundle == ONE


def test_the_name_is_asked_for_where_there_are_several(site: Site) -> None:
    site.loaded(ONE, stamp(1, name="mail"))
    with pytest.raises(UsageError, match="which bundle") as asked:
        site.rollback.run()
    assert asked.value.expected == "one of mail, shop"


def test_a_name_that_was_never_loaded_is_told_with_those_that_were(site: Site) -> None:
    site.loaded(ONE)
    with pytest.raises(NotFoundError, match="no bundle of this name") as unknown:
        site.rollback.run("shpo")
    assert unknown.value.expected == "one of shop"


def test_an_empty_ledger_is_told(site: Site) -> None:
    with pytest.raises(UsageError, match="nothing was loaded"):
        site.rollback.run()


def test_the_first_bundle_has_nothing_before_it(site: Site) -> None:
    site.loaded(ONE)
    with pytest.raises(NotFoundError, match="no good bundle"):
        site.rollback.run("shop")
    assert site.diary.lines == []


def test_a_bundle_whose_releases_failed_is_no_good_one(site: Site) -> None:
    site.loaded(ONE, healthy=True)
    site.loaded(TWO, healthy=False)
    site.loaded(THREE, healthy=False)
    assert site.rollback.run("shop").bundle == ONE


def test_a_bundle_without_manifests_is_passed_over(site: Site) -> None:
    site.loaded(ONE, TWO, THREE)
    site.ledger.records[TWO] = LoadRecord(bundle=TWO)
    assert site.rollback.run("shop").bundle == ONE


def test_a_load_that_did_not_end_is_gone_back_from_to_the_current_bundle(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.ledger.stored.append(event("begun", THREE))
    report = site.rollback.run("shop")
    assert report.bundle == TWO
    assert site.history.complete("shop") == [ONE, TWO]
    assert site.history.state(THREE.digest) == "rolled back"


def test_a_second_rollback_goes_one_further(site: Site) -> None:
    site.loaded(ONE, TWO, THREE)
    site.rollback.run("shop")
    assert site.rollback.run("shop").bundle == ONE


@pytest.mark.parametrize("step", ["move", "notify", "rolled back", "watch"])
@pytest.mark.parametrize("kind", [Killed(), away("it")], ids=["killed", "failed"])
def test_a_rollback_that_ends_at_any_step_goes_on_to_the_same_bundle(
    site: Site, step: str, kind: BaseException
) -> None:
    site.loaded(ONE, TWO, THREE)
    site.diary.fails[step] = kind
    if isinstance(kind, Killed):
        with pytest.raises(Killed):
            site.rollback.run("shop")
    else:
        assert site.rollback.run("shop").exit_status == 1
    if step != "watch":
        assert site.rollback.run("shop").bundle == TWO
    assert site.live == TWO.digest
    assert site.history.complete("shop") == [ONE, TWO]


def test_a_channel_that_does_not_move_is_reported_and_the_cluster_is_not_told(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.diary.fails["move"] = away("registry")
    report = site.rollback.run("shop")
    assert (report.verdict, report.exit_status) == ("failed", 1)
    assert [step.state for step in report.steps] == ["failed"]
    assert "notify" not in site.diary.lines
    assert site.live == THREE.digest


def test_releases_that_fail_after_it_are_no_success(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.follower.releases = (FakeRelease(succeeded=False),)
    report = site.rollback.run("shop")
    assert (report.verdict, report.exit_status) == ("not reconciled", 1)


def test_a_record_that_was_lost_is_told(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.ledger.stored.append(event("rolling back", TWO, to=ONE))
    site.ledger.records.clear()
    with pytest.raises(PetraError, match="does not say where"):
        site.rollback.run("shop")
