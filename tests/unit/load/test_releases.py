"""What became of a HelmRelease: each rule decides in a test of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from petra.load.flux_status import source_key
from petra.load.releases import (
    ExpectedRelease,
    Sighting,
    State,
    Verdict,
    at_deadline,
    judge,
)
from tests.support.flux_objects import (
    ARCHIVE,
    EXPECTED,
    FAILED,
    GENERATION,
    MANIFEST,
    NOT_READY,
    OTHER,
    PUBLISHED,
    READY,
    TOKEN,
    condition,
    helm_chart,
    kustomization,
    oci_repository,
    release,
    snapshot,
    with_template,
)

UNKNOWN = replace(EXPECTED, manifests=frozenset())
RECONCILING = condition("Reconciling", "True", "Progressing", "Running 'upgrade' action")
GIVEN_UP = condition("Stalled", "True", "RetriesExceeded", "Failed to install after 1 attempt(s)")
STALLED = condition("Stalled", "True", "AccessDenied", "can't access 'OCIRepository/charts/web'")
REVISION = f"1.4.0@{PUBLISHED.digest}"
OLD_REVISION = f"1.3.0@{OTHER}"


def _judge(
    value: dict[str, Any] | None, expected: ExpectedRelease = EXPECTED, **seen: Any
) -> Verdict:
    return judge(expected, Sighting(value, **seen), TOKEN)


def _said(verdict: Verdict) -> tuple[State, str, bool]:
    return verdict.state, verdict.reason, verdict.settled


# Success, and each thing that stands against it alone.


def test_ready_handled_and_of_this_chart_is_success() -> None:
    verdict = _judge(release())
    assert _said(verdict) == (State.SUCCEEDED, "InstallSucceeded", True)
    assert verdict.digest == MANIFEST


def test_a_status_of_an_older_generation_is_no_success() -> None:
    verdict = _judge(release(observedGeneration=GENERATION - 1))
    assert _said(verdict) == (State.PROGRESSING, "NotObserved", False)


def test_a_ready_condition_of_an_older_generation_is_no_success() -> None:
    old = condition("Ready", "True", "InstallSucceeded", generation=GENERATION - 1)
    assert _judge(release(old)).state is State.PROGRESSING


def test_another_token_handled_is_no_success() -> None:
    verdict = _judge(release(lastHandledReconcileAt="2026-11-24T00:00:00Z"))
    assert _said(verdict) == (State.PROGRESSING, "TokenNotHandled", False)


def test_work_that_goes_on_is_told_though_the_token_is_not_handled() -> None:
    verdict = _judge(release(READY, RECONCILING, lastHandledReconcileAt=""))
    assert _said(verdict) == (State.PROGRESSING, "Progressing", False)
    assert verdict.message.startswith("Running 'upgrade' action; ")


def test_a_token_that_was_handled_before_another_came_counts() -> None:
    value = release(lastHandledReconcileAt="2026-11-25T12:00:30Z")
    assert _judge(value, handled=True).state is State.SUCCEEDED


def test_without_a_token_none_must_have_been_handled() -> None:
    value = release(lastHandledReconcileAt="2026-11-24T00:00:00Z")
    assert judge(EXPECTED, Sighting(value)).state is State.SUCCEEDED


def test_no_status_at_all_is_progress() -> None:
    value = release() | {"status": {"lastHandledReconcileAt": TOKEN}}
    assert _said(_judge(value)) == (State.PROGRESSING, "NotObserved", False)


def test_ready_while_reconciling_is_progress() -> None:
    verdict = _judge(release(READY, RECONCILING))
    assert _said(verdict) == (State.PROGRESSING, "Progressing", False)
    assert verdict.message.startswith("Running 'upgrade' action")


def test_reconciling_of_an_older_generation_does_not_count() -> None:
    old = condition("Reconciling", "True", "Progressing", generation=GENERATION - 1)
    assert _judge(release(READY, old)).state is State.SUCCEEDED


def test_ready_unknown_is_progress() -> None:
    unknown = condition("Ready", "Unknown", "Progressing", "reconciliation in progress")
    verdict = _judge(release(unknown))
    assert _said(verdict) == (State.PROGRESSING, "Progressing", False)


def test_a_release_that_is_being_deleted_is_no_success() -> None:
    value = release()
    value["metadata"]["deletionTimestamp"] = "2026-11-25T12:00:00Z"
    assert _said(_judge(value)) == (State.PROGRESSING, "Deleting", False)


# Failure.


def test_not_ready_and_not_reconciling_is_failure_in_the_controllers_words() -> None:
    verdict = _judge(release(NOT_READY))
    assert _said(verdict) == (State.FAILED, "InstallFailed", True)
    assert verdict.message == FAILED


def test_not_ready_while_reconciling_is_progress() -> None:
    retry = condition("Reconciling", "True", "ProgressingWithRetry", "retrying after 5m0s")
    verdict = _judge(release(NOT_READY, retry))
    assert _said(verdict) == (State.PROGRESSING, "ProgressingWithRetry", False)
    assert FAILED in verdict.message


def test_a_failure_of_an_older_generation_is_progress() -> None:
    old = condition("Ready", "False", "InstallFailed", FAILED, GENERATION - 1)
    assert _judge(release(old)).state is State.PROGRESSING


def test_a_failure_from_before_the_request_is_progress() -> None:
    assert _judge(release(NOT_READY, lastHandledReconcileAt="")).state is State.PROGRESSING


def test_a_failure_whose_tries_are_used_up_is_failure_and_not_stalling() -> None:
    verdict = _judge(release(NOT_READY, GIVEN_UP))
    assert _said(verdict) == (State.FAILED, "InstallFailed", True)
    assert verdict.message == f"{FAILED}; Failed to install after 1 attempt(s)"


def test_what_the_controller_cannot_try_is_stalled() -> None:
    denied = condition("Ready", "False", "AccessDenied", STALLED["message"])
    verdict = _judge(release(denied, STALLED))
    assert _said(verdict) == (State.STALLED, "AccessDenied", True)
    assert verdict.message == STALLED["message"]


def test_ready_yet_stalled_is_no_success() -> None:
    assert _judge(release(READY, GIVEN_UP)).state is State.STALLED


def test_stalled_in_an_older_generation_does_not_count() -> None:
    old = condition("Stalled", "True", "AccessDenied", generation=GENERATION - 1)
    assert _judge(release(READY, old)).state is State.SUCCEEDED


def test_remediated_stands_before_the_failure() -> None:
    said = "Helm rollback to previous release apps/web.v1 with chart web@1.2.2 succeeded"
    ready = condition("Ready", "False", "RollbackSucceeded", said)
    remediated = condition("Remediated", "True", "RollbackSucceeded", said)
    verdict = _judge(release(ready, GIVEN_UP, remediated))
    assert _said(verdict) == (State.REMEDIATED, "RollbackSucceeded", True)
    assert verdict.message == said


def test_remediated_with_another_try_to_come_is_progress() -> None:
    remediated = condition("Remediated", "True", "UninstallSucceeded")
    retry = condition("Reconciling", "True", "ProgressingWithRetry")
    assert _judge(release(NOT_READY, remediated, retry)).state is State.PROGRESSING


def test_suspended_says_nothing_of_readiness() -> None:
    value = release()
    value["spec"]["suspend"] = True
    assert _said(_judge(value)) == (State.SUSPENDED, "Suspended", True)


def test_suspended_before_the_request_is_handled_may_yet_change() -> None:
    value = release(lastHandledReconcileAt="")
    value["spec"]["suspend"] = True
    assert _said(_judge(value)) == (State.SUSPENDED, "Suspended", False)


@pytest.mark.parametrize(("served", "reason"), [(True, "NotFound"), (False, "NotServed")])
def test_what_is_not_there_is_missing_and_may_come(*, served: bool, reason: str) -> None:
    assert _said(_judge(None, served=served)) == (State.MISSING, reason, False)


# The chart, from an OCIRepository.


def test_another_manifest_is_a_mismatch_that_names_both() -> None:
    verdict = _judge(release(history=[snapshot(ociDigest=OTHER)]))
    assert _said(verdict) == (State.MISMATCH, "OtherDigest", True)
    assert MANIFEST in verdict.message
    assert OTHER in verdict.message


def test_another_version_is_a_mismatch() -> None:
    other = snapshot(chartVersion=f"1.2.2+{MANIFEST.hex[:12]}")
    verdict = _judge(release(history=[other]))
    assert _said(verdict) == (State.MISMATCH, "OtherChart", True)
    assert "expected chart web 1.2.3, found web 1.2.2" in verdict.message


def test_another_chart_is_a_mismatch() -> None:
    assert _judge(release(history=[snapshot(chartName="db")])).reason == "OtherChart"


def test_the_short_digest_in_a_version_must_be_its_own() -> None:
    odd = snapshot(chartVersion=f"1.2.3+{OTHER.hex[:12]}")
    assert _judge(release(history=[odd])).reason == "OtherChart"


def test_a_version_without_digest_tracking_is_the_version() -> None:
    assert _judge(release(history=[snapshot(chartVersion="1.2.3")])).state is State.SUCCEEDED


def test_the_v_of_a_version_is_lost_in_the_cluster() -> None:
    expected = replace(EXPECTED, version="v1.2.3")
    assert _judge(release(), expected).state is State.SUCCEEDED


def test_the_newest_snapshot_counts_wherever_it_stands() -> None:
    newest = snapshot(version=7, ociDigest=OTHER)
    assert _judge(release(history=[snapshot(version=6), newest])).reason == "OtherDigest"


def test_the_releases_own_digest_is_never_the_charts() -> None:
    posing = snapshot(digest=MANIFEST, ociDigest=OTHER)
    assert _judge(release(history=[posing])).state is State.MISMATCH


def test_ready_without_a_history_is_a_mismatch() -> None:
    verdict = _judge(release(history=[]))
    assert _said(verdict) == (State.MISMATCH, "OtherChart", True)
    assert verdict.chart is None


def test_no_oci_digest_with_an_oci_repository_proves_nothing() -> None:
    value = release(history=[snapshot(ociDigest=None)])
    verdict = _judge(value, source=oci_repository())
    assert _said(verdict) == (State.MISMATCH, "DigestUnknown", True)


def test_an_oci_repository_shows_which_archive_its_manifest_holds() -> None:
    assert _judge(release(), UNKNOWN, source=oci_repository()).state is State.SUCCEEDED


def test_a_manifest_that_holds_another_archive_proves_nothing() -> None:
    verdict = _judge(release(), UNKNOWN, source=oci_repository(digest=OTHER))
    assert verdict.reason == "DigestUnknown"


def test_the_archive_of_another_revision_proves_nothing() -> None:
    verdict = _judge(release(), UNKNOWN, source=oci_repository(revision=f"1.2.3@{OTHER}"))
    assert verdict.reason == "DigestUnknown"


def test_a_manifest_of_which_nothing_is_known_proves_nothing() -> None:
    assert _judge(release(), UNKNOWN).reason == "DigestUnknown"


# The chart, from a HelmRepository.


def test_a_helm_chart_shows_the_archive() -> None:
    verdict = _judge(with_template(release()), source=helm_chart())
    assert _said(verdict) == (State.SUCCEEDED, "InstallSucceeded", True)
    assert verdict.digest == ARCHIVE


def test_another_archive_is_a_mismatch() -> None:
    verdict = _judge(with_template(release()), source=helm_chart(digest=OTHER))
    assert _said(verdict) == (State.MISMATCH, "OtherDigest", True)


def test_the_archive_of_another_version_proves_nothing() -> None:
    verdict = _judge(with_template(release()), source=helm_chart(revision="1.2.4"))
    assert verdict.reason == "DigestUnknown"


def test_a_helm_chart_that_is_away_proves_nothing() -> None:
    assert _judge(with_template(release())).reason == "DigestUnknown"


def test_a_manifests_digest_does_not_stand_for_the_archive() -> None:
    verdict = _judge(with_template(release()), source=helm_chart(digest=MANIFEST))
    assert verdict.reason == "OtherDigest"


# What may yet change, because the source has not looked or the release not followed.


@pytest.mark.parametrize(
    "source",
    [
        oci_repository(lastHandledReconcileAt="before"),
        oci_repository(observedGeneration=1),
        oci_repository(revision=f"1.2.3@{OTHER}"),
    ],
    ids=["not-asked", "older-generation", "not-tried-yet"],
)
def test_failure_with_what_may_be_an_old_chart_is_not_the_end(source: Any) -> None:
    verdict = _judge(release(NOT_READY), source=source)
    assert _said(verdict) == (State.FAILED, "InstallFailed", False)


def test_failure_with_what_the_source_has_now_is_the_end() -> None:
    assert _judge(release(NOT_READY), source=oci_repository()).settled


# The manifests.


@pytest.mark.parametrize(
    "owner",
    [
        kustomization(lastAppliedRevision=REVISION),
        kustomization(
            condition(
                "Reconciling",
                "True",
                "Progressing",
                f"Running health checks for revision {REVISION} with a timeout of 30m0s",
            ),
            lastAppliedRevision=OLD_REVISION,
            lastAttemptedRevision=REVISION,
        ),
        kustomization(
            condition("Ready", "False", "HealthCheckFailed", "timeout waiting for: […]"),
            lastAppliedRevision=OLD_REVISION,
            lastAttemptedRevision=REVISION,
        ),
        None,
    ],
    ids=["done", "waits-for-health", "unhealthy", "nobody"],
)
def test_with_the_manifests_applied_the_release_decides(owner: Any) -> None:
    verdict = judge(EXPECTED, Sighting(release(), owner=owner), TOKEN, PUBLISHED)
    assert verdict.state is State.SUCCEEDED


@pytest.mark.parametrize(
    "owner",
    [
        kustomization(lastAppliedRevision=OLD_REVISION),
        kustomization(
            condition(
                "Reconciling",
                "True",
                "Progressing",
                f"Detecting drift for revision {REVISION} with a timeout of 30m0s",
            ),
            lastAttemptedRevision=REVISION,
        ),
        kustomization(
            condition(
                "Reconciling",
                "True",
                "Progressing",
                f"Running health checks for revision {OLD_REVISION} with a timeout of 30m0s",
            ),
            lastAttemptedRevision=OLD_REVISION,
        ),
    ],
    ids=["older", "under-way", "waits-for-an-older-one"],
)
def test_until_the_manifests_are_applied_ready_means_nothing(owner: Any) -> None:
    verdict = judge(EXPECTED, Sighting(release(), owner=owner), TOKEN, PUBLISHED)
    assert _said(verdict) == (State.PROGRESSING, "ManifestsNotApplied", False)


def test_why_manifests_are_not_applied_is_told() -> None:
    failed = condition("Ready", "False", "BuildFailed", "kustomize build failed: no such file")
    owner = kustomization(failed, lastAttemptedRevision=REVISION)
    verdict = judge(EXPECTED, Sighting(release(), owner=owner), TOKEN, PUBLISHED)
    assert "BuildFailed: kustomize build failed: no such file" in verdict.message


def test_a_kustomization_of_another_source_is_not_waited_for() -> None:
    owner = kustomization(lastAppliedRevision="main@sha1:0123")
    owner["spec"]["sourceRef"] = {"kind": "GitRepository", "name": "petra-platform"}
    verdict = judge(EXPECTED, Sighting(release(), owner=owner), TOKEN, PUBLISHED)
    assert verdict.state is State.SUCCEEDED


# The deadline, and where a chart comes from.


def test_progress_at_the_deadline_timed_out_and_keeps_its_reason() -> None:
    verdict = at_deadline(_judge(release(READY, RECONCILING)))
    assert _said(verdict) == (State.TIMEOUT, "Progressing", True)


def test_what_is_missing_at_the_deadline_stays_missing() -> None:
    assert at_deadline(_judge(None)).state is State.MISSING


def test_a_source_in_another_namespace_is_found_there() -> None:
    value = release()
    value["spec"]["chartRef"]["namespace"] = "charts"
    assert source_key(value) == ("OCIRepository", "charts", "web")


def test_a_template_without_a_chart_made_yet_has_no_source() -> None:
    value = with_template(release())
    del value["status"]["helmChart"]
    assert source_key(value) is None
