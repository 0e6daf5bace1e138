"""What goes and what stays, on destinations in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from petra.errors import PolicyError, TransportError
from petra.load.ledger import DestinationRecord, History, LoadRecord, PlacedRecord
from petra.load.prune import Doomed, Prune, Pruned
from tests.support.destinations import Diary, Killed, MemoryLedger, away
from tests.support.ledgers import NOON, event, loaded, stamp

if TYPE_CHECKING:
    from petra.load.ledger import Stamp

ONE, TWO, THREE, FOUR = stamp(1), stamp(2), stamp(3), stamp(4)
SHARED = "registry/base"


@dataclass
class FakePruner:
    """Forgets references in the site's `held`."""

    site: Site
    record: DestinationRecord

    def current(self) -> str | None:
        self.site.diary.note(f"current {self.record.name}")
        return self.site.live

    def remove(self, doomed: Doomed, *, dry_run: bool) -> Pruned:
        self.site.diary.note(f"remove {self.record.name}")
        placed = {one.reference for record in doomed.records for one in record.placed}
        removed = sorted((placed - doomed.kept_references) & self.site.held)
        if not dry_run:
            self.site.held -= set(removed)
        complete = self.record.name not in self.site.refusing
        return Pruned(self.record.part, self.record.name, tuple(removed), complete=complete)


@dataclass
class Site:
    diary: Diary = field(default_factory=Diary)
    live: str | None = None
    held: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.diary)

    def loaded(self, *bundles: Stamp) -> None:
        self.ledger.stored += loaded(*bundles)
        for one in bundles:
            self.ledger.records[one] = record(one)
            self.held |= {
                placed.reference
                for at in self.ledger.records[one].destinations
                for placed in at.placed
            }
            self.live = one.digest

    @property
    def prune(self) -> Prune:
        return Prune(
            self.ledger,
            lambda at: None if at.name == "containerd" else FakePruner(self, at),
            clock=lambda: NOON,
        )

    def state(self, bundle: Stamp) -> str | None:
        return History(self.ledger.events()).state(bundle.digest)


def record(bundle: Stamp) -> LoadRecord:
    own = PlacedRecord(name="app", reference=f"registry/{bundle.serial}", digest=bundle.digest)
    base = PlacedRecord(name="base", reference=SHARED, digest=stamp(99).digest)
    manifests = PlacedRecord(name="m", reference=f"m/{bundle.serial}", digest=bundle.digest)
    return LoadRecord(
        bundle=bundle,
        destinations=(
            DestinationRecord(part="images", name="registry", placed=(own, base)),
            DestinationRecord(part="images", name="containerd", placed=(own,)),
            DestinationRecord(part="manifests", name="m", placed=(manifests,), switched=manifests),
        ),
    )


@pytest.fixture
def site() -> Site:
    return Site()


def test_only_what_older_bundles_alone_brought_goes(site: Site) -> None:
    site.loaded(ONE, TWO, THREE)
    report = site.prune.run(2)
    assert report.bundles == (ONE,)
    assert site.held == {SHARED, "registry/2", "registry/3", "m/2", "m/3"}
    assert site.state(ONE) == "pruned"
    assert site.state(TWO) == "complete"


def test_nothing_goes_where_no_bundle_is_older(site: Site) -> None:
    site.loaded(ONE, TWO)
    report = site.prune.run(2)
    assert (report.bundles, report.destinations) == ((), ())
    assert "remove registry" not in site.diary.lines


def test_a_dry_run_says_what_would_go_and_leaves_it(site: Site) -> None:
    site.loaded(ONE, TWO)
    before, events = set(site.held), list(site.ledger.stored)
    report = site.prune.run(1, dry_run=True)
    assert report.bundles == (ONE,)
    assert [one.removed for one in report.destinations if one.removed] == [
        ("m/1",),
        ("registry/1",),
    ]
    assert (site.held, site.ledger.stored) == (before, events)


def test_what_the_cluster_reads_stays_though_it_is_old(site: Site) -> None:
    site.loaded(ONE, TWO, THREE)
    site.live = ONE.digest
    report = site.prune.run(1)
    assert report.bundles == (TWO,)
    assert "registry/1" in site.held


def test_nothing_goes_where_the_cluster_reads_what_nobody_knows(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.live = "sha256:something"
    with pytest.raises(PolicyError, match="does not know"):
        site.prune.run(1)
    assert site.diary.lines == ["current m"]
    assert site.state(ONE) == "complete"


def test_nothing_goes_where_that_cannot_be_found_out(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.diary.fails["current m"] = away("m")
    with pytest.raises(TransportError):
        site.prune.run(1)
    assert site.state(ONE) == "complete"


def test_a_load_that_did_not_end_keeps_what_it_brought(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.ledger.stored.append(event("begun", THREE))
    site.ledger.records[THREE] = record(THREE)
    site.held.add("registry/3")
    site.prune.run(1)
    assert {"registry/3", "registry/2"} <= site.held
    assert "registry/1" not in site.held


def test_a_load_that_did_not_end_goes_once_a_newer_one_did(site: Site) -> None:
    site.loaded(ONE)
    site.ledger.stored.append(event("begun", TWO))
    site.ledger.records[TWO] = record(TWO)
    site.held.add("registry/2")
    site.loaded(THREE)
    assert set(site.prune.run(1).bundles) == {ONE, TWO}
    assert "registry/2" not in site.held


def test_an_older_bundle_whose_load_was_the_last_to_begin_stays(site: Site) -> None:
    site.loaded(TWO, THREE)
    site.ledger.stored.append(event("begun", ONE))
    site.ledger.records[ONE] = record(ONE)
    site.held.add("registry/1")
    assert site.prune.run(1).bundles == (TWO,)
    assert "registry/1" in site.held


def test_what_was_rolled_back_goes_once_something_newer_is_there(site: Site) -> None:
    site.loaded(ONE, THREE)
    site.ledger.stored.append(event("rolled back", THREE, to=ONE))
    site.live = ONE.digest
    assert site.prune.run(1).bundles == ()
    site.loaded(FOUR)
    assert set(site.prune.run(1).bundles) == {ONE, THREE}


def test_bundles_of_other_names_keep_their_own(site: Site) -> None:
    mail = stamp(7, name="mail")
    site.loaded(mail, ONE, TWO)
    site.prune.run(1)
    assert "registry/7" in site.held


def test_a_bundle_that_is_being_pruned_is_not_gone_back_to(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.diary.fails["remove registry"] = Killed()
    with pytest.raises(Killed):
        site.prune.run(1)
    assert History(site.ledger.events()).complete("shop") == [TWO]
    site.prune.run(1)
    assert site.state(ONE) == "pruned"
    assert "registry/1" not in site.held


def test_a_destination_that_fails_is_reported_and_the_others_are_pruned(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.diary.fails["remove m"] = away("m")
    report = site.prune.run(1)
    assert report.error is not None
    assert "registry/1" not in site.held
    assert site.state(ONE) == "pruning"


def test_a_destination_that_cannot_forget_leaves_the_bundle_to_be_pruned(site: Site) -> None:
    site.loaded(ONE, TWO)
    site.refusing = {"registry"}
    site.prune.run(1)
    assert site.state(ONE) == "pruning"


def test_a_kind_that_nothing_is_taken_from_is_told(site: Site) -> None:
    site.loaded(ONE, TWO)
    (told,) = (one for one in site.prune.run(1).destinations if one.destination == "containerd")
    assert (told.removed, len(told.notes)) == ((), 1)
