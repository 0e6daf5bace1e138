"""HelmReleases on a real API server with Flux's definitions; a process of its own plays Flux."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.load.kubeconfig import connect
from petra.load.notify import REQUESTED_AT, load_token
from petra.load.releases import State
from petra.load.watch import Report, Standing, await_releases
from tests.support.flux_stage import (
    ARCHIVE,
    MANIFEST,
    PATIENCE,
    Stage,
    expected_release,
    helm_release,
    oci_source,
)
from tests.support.kubernetes import KubernetesApi, flux_definitions, running_kubernetes
from tests.support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_OTHER = Digest.of(b"of another chart")


@pytest.fixture
def token() -> str:
    return load_token(Digest.of(b"bundle"), datetime.now(UTC))


@pytest.fixture
def stage(kubernetes_api: KubernetesApi, kubernetes_namespace: str, tmp_path: Path) -> Stage:
    return Stage(kubernetes_api, kubernetes_namespace, tmp_path)


def _states(report: Report) -> dict[str, State]:
    return {one.expected.name: one.verdict.state for one in report.standings}


def test_each_release_comes_to_its_own_end(stage: Stage, token: str) -> None:
    stage.cast("good", "succeeds")
    stage.cast("bad", "fails")
    stage.cast("back", "remediated")
    stage.cast("stuck", "stalls")
    stage.cast("paused", "suspended", suspend=True)
    stage.cast("foreign", "succeeds", held=_OTHER)

    report = stage.watch([*stage.script["releases"]], token)

    assert _states(report) == {
        "good": State.SUCCEEDED,
        "bad": State.FAILED,
        "back": State.REMEDIATED,
        "stuck": State.STALLED,
        "paused": State.SUSPENDED,
        "foreign": State.MISMATCH,
    }
    assert report.seconds < PATIENCE  # nothing was left to wait for
    said = {one.expected.name: one.line() for one in report.standings}
    assert "InstallFailed: Helm install failed for release apps/bad" in said["bad"]
    assert "RollbackSucceeded: Helm rollback to previous release apps/back.v1" in said["back"]
    assert "AccessDenied: can't access 'OCIRepository/charts/stuck'" in said["stuck"]
    assert f"expected chart digest {MANIFEST}, found {_OTHER}" in said["foreign"]
    assert not report.succeeded


def test_what_never_ends_and_what_is_of_an_older_generation_time_out(
    stage: Stage, token: str
) -> None:
    stage.cast("endless", "never")
    stage.cast("behind", "older")
    stage.api.apply(helm_release("behind", timeout="6m"), stage.namespace)

    report = stage.watch(["endless", "behind"], token, timeout=5.0)

    assert _states(report) == {"endless": State.TIMEOUT, "behind": State.TIMEOUT}
    endless, behind = (one.verdict for one in report.standings)
    assert "Running 'install' action" in endless.message
    assert behind.reason == "NotObserved"


def test_an_end_from_before_the_load_is_not_its_end(stage: Stage, token: str) -> None:
    stage.cast("mended", "succeeds")
    before = {
        "type": "Stalled",
        "status": "True",
        "reason": "RetriesExceeded",
        "message": "Failed to install after 1 attempt(s)",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    failed = before | {"type": "Ready", "status": "False", "reason": "InstallFailed"}
    status = {"observedGeneration": 1, "conditions": [before, failed]}
    stage.api.set_status(helm_release("mended"), stage.namespace, status)

    report = stage.watch(["mended"], token)

    assert _states(report) == {"mended": State.SUCCEEDED}


def test_sources_and_releases_are_asked_with_one_token(stage: Stage, token: str) -> None:
    stage.cast("good", "succeeds")
    stage.watch(["good"], token)
    for value in (oci_source("good"), helm_release("good")):
        found = stage.get(value)
        assert found["metadata"]["annotations"][REQUESTED_AT] == token
        assert found["status"]["lastHandledReconcileAt"] == token
    reset = stage.get(helm_release("good"))["metadata"]["annotations"][
        "reconcile.fluxcd.io/resetAt"
    ]
    assert reset == token


def test_a_chart_from_a_helm_repository_is_known_by_its_archive(stage: Stage, token: str) -> None:
    source = {"kind": "HelmRepository", "name": "charts"}
    names = {"plain": ARCHIVE, "changed": _OTHER}
    for name, held in names.items():
        release = helm_release(name)
        template = {"chart": name, "version": "1.2.3", "sourceRef": source}
        release["spec"] = {"interval": "10m", "chart": {"spec": template}}
        stage.api.apply(release, stage.namespace)
        chart = f"{stage.namespace}-{name}"
        made = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": chart},
            "spec": {**template, "interval": "10m"},
        }
        stage.api.apply(made, stage.namespace)
        status = {"helmChart": f"{stage.namespace}/{chart}"}
        stage.api.set_status(release, stage.namespace, status)
        stage.script["sources"][chart] = {"revision": "1.2.3", "digest": held}
        stage.script["releases"][name] = {"role": "succeeds"}

    report = stage.watch([*names], token)

    assert _states(report) == {"plain": State.SUCCEEDED, "changed": State.MISMATCH}
    assert report.standings[0].verdict.digest == ARCHIVE


def test_a_release_that_appears_only_later_is_asked_and_waited_for(
    stage: Stage, token: str
) -> None:
    stage.cast("first", "succeeds")
    stage.part("second", "succeeds")
    seen: list[State] = []

    def listen(standings: Sequence[Standing]) -> None:
        seen.append(standings[1].verdict.state)
        if standings[0].verdict.state is State.SUCCEEDED and State.SUCCEEDED not in seen:
            for value in (oci_source("second"), helm_release("second")):
                stage.api.apply(value, stage.namespace)

    report = stage.watch(["first", "second"], token, listen=listen)

    assert seen[0] is State.MISSING
    assert _states(report) == {"first": State.SUCCEEDED, "second": State.SUCCEEDED}


def test_what_does_not_appear_is_missing(stage: Stage, token: str) -> None:
    report = stage.watch(["nowhere"], token, timeout=1.0)
    assert _states(report) == {"nowhere": State.MISSING}
    assert report.standings[0].verdict.reason == "NotFound"


def test_definitions_that_come_during_the_wait_are_waited_for(
    tools: Callable[[str], Path], tmp_path: Path, token: str
) -> None:
    programs = tools("etcd"), tools("apiextensions-apiserver")
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    with running_kubernetes(*programs, folder) as api:
        stage = Stage(api, "flux-system", tmp_path)
        stage.part("good", "succeeds")
        seen: list[str] = []

        def listen(standings: Sequence[Standing]) -> None:
            if not seen:
                api.define(flux_definitions()[1])
                _apply_when_served(api, stage, "good")
            seen.append(standings[0].verdict.reason)

        report = stage.watch(["good"], token, listen=listen)

    assert seen[0] == "NotServed"
    assert _states(report) == {"good": State.SUCCEEDED}


def _apply_when_served(api: KubernetesApi, stage: Stage, name: str) -> None:
    apiserver = next(one for one in Server.running if one.name == "apiextensions-apiserver")
    for value in (oci_source(name), helm_release(name)):
        resource = api.resource(value)
        assert resource is not None
        apiserver.wait_for(lambda resource=resource: api.served(resource))  # type: ignore[misc]
        api.apply(value, stage.namespace)


def test_without_notify_nothing_is_written(stage: Stage) -> None:
    stage.cast("good", "succeeds")
    expected = [expected_release(stage.namespace, "good")]
    with connect(str(stage.api.kubeconfig)) as cluster:
        report = await_releases(cluster, expected)
    assert _states(report) == {"good": State.PROGRESSING}
    assert "annotations" not in stage.get(helm_release("good"))["metadata"]
