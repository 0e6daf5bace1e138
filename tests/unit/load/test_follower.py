"""What a load's record says of its releases, and the cluster that follows."""

from __future__ import annotations

from datetime import UTC, datetime

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.load.expected import release_records
from petra.load.follower import ClusterFollower, published_manifests, recorded_releases
from petra.load.ledger import DestinationRecord, LoadRecord, PlacedRecord
from petra.load.notify import load_token
from petra.load.releases import ExpectedRelease, PublishedManifests
from tests.support.flux_objects import ARCHIVE, MANIFEST, OTHER
from tests.support.ledgers import stamp

PLACED = PlacedRecord(name="web 1.2.3", reference=f"r.local/charts/web@{MANIFEST}", digest=MANIFEST)
WEB = ExpectedRelease("flux-system", "web", "web", "v1.2.3", ARCHIVE, source_namespace="charts")


def _record(*destinations: DestinationRecord) -> LoadRecord:
    return LoadRecord(bundle=stamp(1), destinations=destinations, releases=release_records([WEB]))


def test_charts_in_a_registry_are_expected_by_their_manifest_there() -> None:
    charts = DestinationRecord(part="charts", name="oci://r.local/charts", placed=(PLACED,))
    (found,) = recorded_releases(_record(charts))
    assert found.manifests == {MANIFEST}
    assert (found.archive, found.source_namespace) == (ARCHIVE, "charts")


def test_charts_in_a_folder_have_no_manifest() -> None:
    charts = DestinationRecord(part="charts", name="/srv/charts", placed=(PLACED,))
    (found,) = recorded_releases(_record(charts))
    assert found.manifests == frozenset()


def test_a_chart_of_another_version_is_not_the_one() -> None:
    other = PLACED.model_copy(update={"name": "web 1.2.4"})
    charts = DestinationRecord(part="charts", name="oci://r.local/charts", placed=(other,))
    (found,) = recorded_releases(_record(charts))
    assert found.manifests == frozenset()


def test_what_the_cluster_follows_is_what_was_switched() -> None:
    switched = PlacedRecord(name="manifests", reference=f"r.local/p:stable@{OTHER}", digest=OTHER)
    manifests = DestinationRecord(part="manifests", name="oci://r.local/p", switched=switched)
    found = published_manifests([manifests])
    assert found == PublishedManifests("flux-system", "petra-platform", OTHER)


def test_manifests_that_were_not_switched_are_not_followed() -> None:
    manifests = DestinationRecord(part="manifests", name="oci://r.local/p", placed=(PLACED,))
    assert published_manifests([manifests]) is None


def test_a_token_is_the_same_for_the_same_bundle_and_time_only() -> None:
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    digest = Digest.of(b"bundle")
    tokens = {
        load_token(digest, noon),
        load_token(digest, noon.replace(microsecond=1)),
        load_token(Digest.of(b"other"), noon),
        load_token(digest, noon.replace(second=1)),
    }
    assert f"petra-{digest.hex[:12]}-20261125T120000Z" in tokens
    assert len(tokens) == 3


def test_with_a_receiver_alone_it_is_called_and_nothing_is_watched() -> None:
    called: list[str] = []
    follower = ClusterFollower(None, lambda: called.append("called"))
    follower.reach()
    follower.notify(NoProgress())
    assert called == ["called"]
    assert follower.watch(_record(), datetime.now(UTC), NoProgress()) == ()
