"""The order of a load, and what is left when it breaks, on destinations in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.load.ledger import History
from petra.load.run import Load
from tests.support.destinations import (
    Diary,
    FakeDestination,
    FakeFollower,
    FakePublication,
    FakeRelease,
    Killed,
    MemoryLedger,
    away,
)
from tests.support.ledgers import NOON, event, loaded, stamp

if TYPE_CHECKING:
    from petra.load.report import Report

BUNDLE = stamp(2)

SURVEY = ["survey registry", "survey charts", "survey manifests", "reach"]
PLACE = [
    *("registry a", "registry b", "record registry"),
    *("charts a", "charts b", "record charts"),
    *("manifests a", "manifests b", "record manifests"),
]
SWITCH = ["switch manifests", "record manifests switched"]
WHOLE = [
    *SURVEY,
    "begun",
    *PLACE,
    *SWITCH,
    *("notify", "complete", "watch", "record healthy True"),
]


@dataclass
class Site:
    """All that a load touches, and the load itself."""

    diary: Diary = field(default_factory=Diary)

    def __post_init__(self) -> None:
        self.registry = FakeDestination(self.diary, "images", "registry")
        self.charts = FakeDestination(self.diary, "charts", "charts")
        self.manifests = FakePublication(self.diary, "manifests", "manifests")
        self.ledger = MemoryLedger(self.diary)
        self.follower = FakeFollower(self.diary)

    @property
    def load(self) -> Load:
        # Given in the wrong order on purpose.
        destinations = (self.manifests, self.charts, self.registry)
        return Load(
            BUNDLE,
            destinations,
            self.ledger,
            NoProgress(),
            follower=self.follower,
            clock=lambda: NOON,
        )

    def state(self) -> object:
        return (
            self.registry.held,
            self.charts.held,
            self.manifests.held,
            self.manifests.live,
            History(self.ledger.events()).complete("shop"),
            sorted(one.name for one in self.ledger.records[BUNDLE].destinations),
        )


def states(report: Report) -> dict[str, str]:
    return {step.destination: step.state for step in report.steps}


def test_a_load_surveys_all_then_places_in_order_then_switches_and_tells() -> None:
    site = Site()
    report = site.load.run()
    assert site.diary.lines == WHOLE
    assert report.verdict == "loaded"
    assert report.exit_status == 0
    assert report.notified
    assert report.bytes_sent == 60


def test_a_dry_run_surveys_and_changes_nothing() -> None:
    site = Site()
    report = site.load.survey()
    assert site.diary.lines == SURVEY
    assert report.verdict == "would load"
    assert report.bytes_to_send == 60
    assert site.ledger.events() == []


@pytest.mark.parametrize("broken", SURVEY)
def test_nothing_is_touched_where_a_survey_fails(broken: str) -> None:
    site = Site()
    site.diary.fails[broken] = away(broken)
    report = site.load.run()
    assert report.verdict == "failed"
    assert report.exit_status == 1
    assert report.error is not None
    assert report.error.where is not None
    assert broken in report.error.where
    assert site.diary.lines == [line for line in SURVEY if line != broken]


def test_a_survey_reports_everything_that_is_wrong() -> None:
    site = Site()
    site.diary.fails = {line: away(line) for line in SURVEY[:2]}
    report = site.load.survey()
    assert states(report) == {
        "registry": "failed",
        "charts": "failed",
        "manifests": "not begun",
    }


def test_a_destination_that_breaks_leaves_the_cluster_reading_what_it_read() -> None:
    site = Site()
    site.diary.fails["charts b"] = away("charts")
    report = site.load.run()
    assert states(report) == {"registry": "done", "charts": "failed", "manifests": "not begun"}
    assert site.manifests.live == ()
    assert site.manifests.held == set()
    assert "notify" not in site.diary.lines
    assert History(site.ledger.events()).state(BUNDLE.digest) == "begun"


def test_the_report_says_what_is_in_place_when_the_cluster_is_not_told() -> None:
    site = Site()
    site.diary.fails["notify"] = away("the cluster")
    report = site.load.run()
    assert report.verdict == "failed"
    assert set(states(report).values()) == {"done"}
    assert not report.notified
    assert History(site.ledger.events()).state(BUNDLE.digest) == "begun"


STEPS = [line for line in WHOLE if line not in SURVEY]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", [Killed(), away("it")], ids=["killed", "failed"])
def test_a_load_that_ends_at_any_step_goes_on_and_ends_alike(
    step: str, kind: BaseException
) -> None:
    whole = Site()
    whole.load.run()

    site = Site()
    site.diary.fails[step] = kind
    if isinstance(kind, Killed):
        with pytest.raises(Killed):
            site.load.run()
    else:
        assert site.load.run().exit_status == 1
    first = len(site.diary.lines)
    report = site.load.run()

    assert report.exit_status == 0
    assert site.state() == whole.state()
    assert site.ledger.records == whole.ledger.records
    sent_twice = {line for line in site.diary.lines[:first] if line in PLACE} & {
        line for line in site.diary.lines[first:] if not line.startswith("record ")
    }
    assert sent_twice == set()
    assert "notify" in site.diary.lines


def test_the_same_bundle_again_is_a_no_op_that_still_asks_how_the_releases_are() -> None:
    site = Site()
    site.load.run()
    site.diary.lines.clear()
    site.follower.releases = (FakeRelease(succeeded=False),)
    report = site.load.run()
    assert site.diary.lines == ["watch", "record healthy False"]
    assert report.verdict == "not reconciled"
    assert report.exit_status == 1


def test_the_same_bundle_without_a_cluster_touches_nothing() -> None:
    site = Site()
    site.load.run()
    site.diary.lines.clear()
    destinations = site.load.destinations
    report = Load(BUNDLE, destinations, site.ledger, NoProgress()).run()
    assert (site.diary.lines, report.verdict) == ([], "already loaded")


def test_again_checks_destinations_that_the_ledger_has_as_loaded() -> None:
    site = Site()
    site.load.run()
    site.registry.held.clear()
    site.diary.lines.clear()
    report = site.load.run(again=True)
    assert report.verdict == "loaded"
    assert "registry a" in site.diary.lines
    assert "charts a" not in site.diary.lines


def test_the_same_bundle_goes_to_a_destination_that_it_has_not_been_to() -> None:
    site = Site()
    site.load.run()
    second = FakeDestination(site.diary, "images", "second")
    load = Load(BUNDLE, [second], site.ledger, NoProgress(), clock=lambda: NOON)
    assert load.run().verdict == "loaded"
    assert second.held == {"a", "b"}
    assert len(site.ledger.records[BUNDLE].destinations) == 4


def test_a_bundle_that_is_not_the_current_one_is_loaded_again() -> None:
    site = Site()
    site.load.run()
    site.ledger.stored += loaded(stamp(3))
    assert site.load.run().verdict == "loaded"


def test_a_rollback_that_did_not_end_is_gone_back_on_by_the_bundle_that_is_current() -> None:
    """The channel may have moved already: that all was in place once proves nothing."""
    site = Site()
    site.ledger.stored += loaded(stamp(1))
    site.load.run()
    site.ledger.stored.append(event("rolling back", BUNDLE, to=stamp(1)))
    moved: tuple[str, ...] = ("a",)
    site.manifests.live = moved
    assert site.load.run().verdict == "loaded"
    assert site.manifests.live == ("a", "b")
    assert History(site.ledger.events()).rolling_back("shop") is None


def test_manifests_that_would_be_others_now_are_published() -> None:
    """As they are when another call names another registry for the cluster."""
    site = Site()
    site.load.run()
    site.diary.lines.clear()
    site.manifests.digest = Digest.of(b"with another registry in them")
    assert site.load.run().verdict == "loaded"
    assert "switch manifests" in site.diary.lines
    assert site.load.run().verdict == "already loaded"


def test_a_release_that_does_not_succeed_is_no_success() -> None:
    site = Site()
    site.follower.releases = (FakeRelease(), FakeRelease(succeeded=False))
    report = site.load.run()
    assert report.verdict == "not reconciled"
    assert report.exit_status == 1
    assert [one["succeeded"] for one in report.to_json()["releases"]] == [True, False]


def test_a_cluster_that_goes_away_while_watched_fails_after_all_is_in_place() -> None:
    site = Site()
    site.diary.fails["watch"] = away("the cluster")
    report = site.load.run()
    assert (report.verdict, report.exit_status) == ("failed", 1)
    assert set(states(report).values()) == {"done"}
    assert History(site.ledger.events()).complete("shop") == [BUNDLE]


def test_the_ledger_names_every_destination() -> None:
    site = Site()
    site.load.run()
    assert set(site.ledger.stored[0].destinations) == {"registry", "charts", "manifests"}


@pytest.mark.parametrize("step", ["second a", "record second", "switch second", "notify"])
def test_a_complete_bundle_that_is_killed_on_its_way_elsewhere_goes_on_there(step: str) -> None:
    site = Site()
    site.load.run()
    second = FakePublication(site.diary, "manifests", "second")
    load = Load(
        BUNDLE, [second], site.ledger, NoProgress(), follower=site.follower, clock=lambda: NOON
    )
    site.diary.fails[step] = Killed()
    with pytest.raises(Killed):
        load.run()
    assert load.run().verdict == "loaded"
    assert second.live == ("a", "b")
    assert load.run().verdict == "already loaded"


def test_where_no_release_was_watched_nothing_is_said_of_their_health() -> None:
    site = Site()
    site.follower.releases = ()
    assert site.load.run().verdict == "loaded"
    assert site.ledger.records[BUNDLE].healthy is None
