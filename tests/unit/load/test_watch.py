"""Following releases: lists and watches, what is asked of Flux, and when the waiting ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from petra.errors import AccessError, ReconcileError, TransportError
from petra.load.feeds import Feeds
from petra.load.kubernetes import (
    HELM_CHART,
    HELM_RELEASE,
    HELM_REPOSITORY,
    KUSTOMIZATION,
    OCI_REPOSITORY,
)
from petra.load.notify import ORDER, REQUESTED_AT, RESET_AT, notify
from petra.load.releases import State
from petra.load.watch import await_releases
from tests.support.fake_cluster import FakeCluster
from tests.support.flux_objects import (
    EXPECTED,
    PUBLISHED,
    TOKEN,
    helm_chart,
    kustomization,
    oci_repository,
    release,
    with_template,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.load.watch import Standing

#: Nobody waits so long.
_PATIENCE = 60.0
_AWAY = TransportError("the cluster's API cannot be reached", where="https://api")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(*ORDER)


def _named(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {**value, "metadata": {**value["metadata"], "name": name}}


# What is asked.


def _all(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    cluster.put(KUSTOMIZATION, kustomization())
    cluster.put(OCI_REPOSITORY, oci_repository(lastHandledReconcileAt="before"))
    cluster.put(OCI_REPOSITORY, _named(oci_repository(), PUBLISHED.name))


def test_sources_are_asked_before_those_who_consume_them(cluster: FakeCluster) -> None:
    _all(cluster)
    cluster.objects[OCI_REPOSITORY, "flux-system", PUBLISHED.name]["status"] = {}
    asked = notify(cluster, TOKEN, [EXPECTED], PUBLISHED)
    assert asked == (
        "OCIRepository flux-system/web",
        "OCIRepository flux-system/petra-platform",
        "Kustomization flux-system/platform-base",
        "HelmRelease flux-system/web",
    )
    assert {value[REQUESTED_AT] for _, _, value in cluster.patches} == {TOKEN}


def test_only_releases_are_let_forget_their_failures(cluster: FakeCluster) -> None:
    _all(cluster)
    notify(cluster, TOKEN, [EXPECTED], PUBLISHED)
    assert [kind for kind, _, value in cluster.patches if RESET_AT in value] == ["HelmRelease"]


def test_what_was_asked_or_has_answered_is_not_asked_again(cluster: FakeCluster) -> None:
    _all(cluster)
    notify(cluster, TOKEN, [EXPECTED], PUBLISHED)
    assert notify(cluster, TOKEN, [EXPECTED], PUBLISHED) == ()


def test_another_load_asks_anew(cluster: FakeCluster) -> None:
    _all(cluster)
    notify(cluster, TOKEN, [EXPECTED], PUBLISHED)
    assert "HelmRelease flux-system/web" in notify(cluster, "petra-2", [EXPECTED], PUBLISHED)


def test_the_chart_and_the_repository_of_a_template_are_asked(cluster: FakeCluster) -> None:
    chart = helm_chart(lastHandledReconcileAt="before")
    chart["spec"] = {"sourceRef": {"kind": "HelmRepository", "name": "charts"}}
    cluster.put(HELM_CHART, chart)
    cluster.put(HELM_REPOSITORY, _named(oci_repository(lastHandledReconcileAt=""), "charts"))
    cluster.put(HELM_RELEASE, with_template(release(lastHandledReconcileAt="before")))
    assert notify(cluster, TOKEN, [EXPECTED]) == (
        "HelmRepository flux-system/charts",
        "HelmChart flux-system/flux-system-web",
        "HelmRelease flux-system/web",
    )


def test_what_the_bundle_does_not_hold_is_left_alone(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, _named(release(lastHandledReconcileAt=""), "other"))
    cluster.put(OCI_REPOSITORY, _named(oci_repository(lastHandledReconcileAt=""), "other"))
    assert notify(cluster, TOKEN, [EXPECTED], PUBLISHED) == ()


# When the waiting ends.


def test_success_ends_the_waiting(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release())
    report = await_releases(cluster, [EXPECTED], token=TOKEN, timeout=_PATIENCE)
    assert report.succeeded
    assert report.seconds < _PATIENCE
    report.require()


def test_a_look_without_a_timeout_takes_what_is_there(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    report = await_releases(cluster, [EXPECTED], token=TOKEN)
    assert report.standings[0].verdict.state is State.PROGRESSING
    assert cluster.patches == []


def test_the_first_that_is_not_well_is_named(cluster: FakeCluster) -> None:
    report = await_releases(cluster, [EXPECTED], timeout=0.1)
    with pytest.raises(ReconcileError) as caught:
        report.require()
    assert caught.value.exit_status == 1
    assert "flux-system/web" in str(caught.value)
    assert "MISSING: NotFound" in str(caught.value)


def test_a_change_that_comes_by_watch_is_seen(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    seen: list[State] = []

    def listen(standings: Sequence[Standing]) -> None:
        seen.append(standings[0].verdict.state)
        if len(seen) == 1:
            cluster.put(HELM_RELEASE, release())

    report = await_releases(cluster, [EXPECTED], token=TOKEN, timeout=_PATIENCE, listen=listen)
    assert seen == [State.PROGRESSING, State.SUCCEEDED]
    assert report.succeeded
    assert cluster.lists.count(HELM_RELEASE) == 1


def test_a_watch_that_is_too_old_is_begun_with_a_new_list(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))

    def listen(standings: Sequence[Standing]) -> None:
        if standings[0].verdict.state is State.PROGRESSING:
            cluster.forget(HELM_RELEASE)
            cluster.objects[HELM_RELEASE, "flux-system", "web"]["status"] = release()["status"]

    report = await_releases(cluster, [EXPECTED], token=TOKEN, timeout=_PATIENCE, listen=listen)
    assert report.succeeded
    assert cluster.lists.count(HELM_RELEASE) == 2


def test_a_request_that_another_one_replaced_was_still_handled(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    cluster.put(OCI_REPOSITORY, oci_repository())
    seen: list[str] = []

    def listen(standings: Sequence[Standing]) -> None:
        seen.append(standings[0].verdict.reason)
        reconciling = {"type": "Reconciling", "status": "True", "observedGeneration": 4}
        if len(seen) == 1:
            at_work = release()
            at_work["status"]["conditions"].append(reconciling | {"reason": "Progressing"})
            cluster.put(HELM_RELEASE, at_work)
        elif len(seen) == 2:
            cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="somebody else's"))

    report = await_releases(
        cluster, [EXPECTED], token=TOKEN, notify=True, timeout=_PATIENCE, listen=listen
    )
    assert report.succeeded
    assert seen == ["TokenNotHandled", "Progressing", "InstallSucceeded"]


# When the API is not well.


def test_an_api_that_refuses_ends_the_waiting(cluster: FakeCluster) -> None:
    cluster.trouble[KUSTOMIZATION] = AccessError("the cluster refuses to list kustomizations")
    with pytest.raises(AccessError):
        await_releases(cluster, [EXPECTED], timeout=_PATIENCE)


def test_an_api_that_never_was_there_is_an_error(cluster: FakeCluster) -> None:
    cluster.trouble[HELM_RELEASE] = _AWAY
    with pytest.raises(TransportError, match="cannot be reached"):
        await_releases(cluster, [EXPECTED], timeout=_PATIENCE)


def test_an_api_that_is_lost_meanwhile_is_told_at_the_end(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))

    def listen(standings: Sequence[Standing]) -> None:
        if standings[0].verdict.state is State.PROGRESSING:
            cluster.lose(HELM_RELEASE, _AWAY)

    report = await_releases(cluster, [EXPECTED], token=TOKEN, timeout=0.5, listen=listen)
    assert report.standings[0].verdict.state is State.TIMEOUT
    assert report.trouble == "the cluster's API cannot be reached (https://api)"
    assert report.lines()[-1].startswith("the cluster was lost: ")


def test_an_api_that_comes_back_is_followed_again(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    seen: list[State] = []

    def listen(standings: Sequence[Standing]) -> None:
        if not seen:
            cluster.lose(HELM_RELEASE, _AWAY)
            cluster.objects[HELM_RELEASE, "flux-system", "web"]["status"] = release()["status"]
            del cluster.trouble[HELM_RELEASE]
        seen.append(standings[0].verdict.state)

    report = await_releases(cluster, [EXPECTED], token=TOKEN, timeout=_PATIENCE, listen=listen)
    assert report.succeeded
    assert report.trouble is None


def test_a_request_that_could_not_be_made_is_made_again(cluster: FakeCluster) -> None:
    cluster.put(HELM_RELEASE, release(lastHandledReconcileAt="before"))
    cluster.put(OCI_REPOSITORY, oci_repository())
    cluster.refused_patches = 1

    def listen(standings: Sequence[Standing]) -> None:
        if standings[0].verdict.state is State.PROGRESSING and cluster.patches:
            cluster.put(HELM_RELEASE, release())

    report = await_releases(
        cluster, [EXPECTED], token=TOKEN, notify=True, timeout=5.0, listen=listen
    )
    assert report.trouble is None
    assert [kind for kind, _, _ in cluster.patches] == ["HelmRelease"]


def test_what_is_not_served_is_looked_for_in_measure() -> None:
    cluster = FakeCluster()
    with Feeds(cluster, [(HELM_RELEASE, "flux-system")]) as feeds:
        feeds.first(_PATIENCE)
        assert not feeds.served(HELM_RELEASE)
        feeds.wait(1, 0.5)
    assert len(cluster.lists) == 1


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop(
    cluster: FakeCluster,
) -> None:
    with Feeds(cluster, [(HELM_RELEASE, "flux-system")]) as feeds:
        feeds.first(_PATIENCE)
        for _ in range(50):
            for watch in cluster.watches.get(HELM_RELEASE, []):
                watch.close()
            feeds.wait(1, 0.01)
    assert len(cluster.watches[HELM_RELEASE]) <= 3
