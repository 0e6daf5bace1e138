"""Releases on Flux's own controllers, in the cluster that PETRA_CLUSTER_KUBECONFIG names.

The same cases as on the played ones, but for the release of an older generation: real controllers
observe each generation. podinfo must be in ``PETRA_CLUSTER_CHARTS``, reachable from here and there.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.content.stream import fetch_document
from petra.helm.registry import chart_layer
from petra.load.kubeconfig import connect
from petra.load.kubernetes import HELM_RELEASE, OCI_REPOSITORY, KubernetesCluster
from petra.load.notify import load_token
from petra.load.releases import ExpectedRelease, State
from petra.load.watch import Report, Standing, await_releases
from petra.oci.manifest import parse_manifest
from petra.oci.reference import Reference
from petra.oci.registry import RegistryClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KUBECONFIG = os.environ.get("PETRA_CLUSTER_KUBECONFIG", "")
_CHARTS = os.environ.get("PETRA_CLUSTER_CHARTS", "oci://ghcr.io/stefanprodan/charts")
_NAMESPACE, _VERSION = "petra-test", "6.9.1"
#: Seconds; images are pulled meanwhile.
_PATIENCE = 600.0
_BROKEN = {"image": {"repository": "registry.invalid/none"}}

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not _KUBECONFIG, reason="PETRA_CLUSTER_KUBECONFIG names no cluster"),
]


@pytest.fixture(scope="module")
def chart() -> tuple[Digest, Digest]:
    """The digests of podinfo's manifest and archive."""
    reference = Reference.parse(f"{_CHARTS.removeprefix('oci://')}/podinfo:{_VERSION}")
    with RegistryClient() as client:
        repository = client.repository(reference.registry, reference.repository)
        descriptor = repository.resolve(_VERSION)
        raw = fetch_document(repository, descriptor)
        manifest = parse_manifest(raw, descriptor.media_type, where=str(reference))
        return descriptor.digest, chart_layer(manifest, str(reference)).digest


class Cluster:
    """The cluster, and what the test put into it."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self.cluster = cluster
        self._put: list[str] = []

    def call(self, method: str, path: str, **options: Any) -> None:
        answer = self.cluster._http.request(method, path, **options)
        assert answer.status_code < 300, answer.text

    def apply(self, kind: Any, name: str, spec: dict[str, Any]) -> None:
        value = {
            "apiVersion": f"{kind.group}/{kind.version}",
            "kind": kind.name,
            "metadata": {"name": name, "namespace": _NAMESPACE},
            "spec": {"interval": "10m", **spec},
        }
        path = kind.path(_NAMESPACE, name)
        query = {"fieldManager": "petra-tests", "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        self.call("PATCH", path, params=query, headers=headers, json=value)
        self._put.append(path)

    def source(self, name: str) -> None:
        layer = {
            "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "operation": "copy",
        }
        spec = {"url": f"{_CHARTS}/podinfo", "ref": {"tag": _VERSION}, "layerSelector": layer}
        self.apply(OCI_REPOSITORY, name, spec)

    def release(self, name: str, **spec: Any) -> None:
        self.source(name)
        reference = {"kind": "OCIRepository", "name": name}
        self.apply(HELM_RELEASE, name, {"chartRef": reference, "timeout": "1m", **spec})

    def clean(self) -> None:
        for path in reversed(self._put):
            self.cluster._http.request("DELETE", path)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with connect(_KUBECONFIG) as connected:
        cluster = Cluster(connected)
        try:
            yield cluster
        finally:
            cluster.clean()


def _follow(
    cluster: Cluster, names: Sequence[str], chart: tuple[Digest, Digest], **options: Any
) -> Report:
    manifest, archive = chart
    expected = [
        ExpectedRelease(_NAMESPACE, name, "podinfo", _VERSION, archive, frozenset({manifest}))
        for name in names
    ]
    token = load_token(Digest.of(repr(names).encode()), datetime.now(UTC))
    given = {"timeout": _PATIENCE, **options}
    return await_releases(cluster.cluster, expected, token=token, notify=True, **given)


def _states(report: Report) -> dict[str, State]:
    return {one.expected.name: one.verdict.state for one in report.standings}


def test_real_controllers_bring_each_release_to_its_end(
    cluster: Cluster, chart: tuple[Digest, Digest]
) -> None:
    cluster.release("good")
    cluster.release("back", upgrade={"remediation": {"retries": 0, "remediateLastFailure": True}})
    _follow(cluster, ["good", "back"], chart)  # one to roll back to
    cluster.release("bad", values=_BROKEN)
    cluster.release("stuck", healthCheckExprs=[_expression("no such function(")])
    cluster.release("paused", suspend=True)
    broken = {"remediation": {"retries": 0, "remediateLastFailure": True}}
    cluster.release("back", upgrade=broken, values=_BROKEN)
    report = _follow(cluster, ["good", "bad", "back", "stuck", "paused"], chart)
    assert _states(report) == {
        "good": State.SUCCEEDED,
        "bad": State.FAILED,
        "back": State.REMEDIATED,
        "stuck": State.STALLED,
        "paused": State.SUSPENDED,
    }


def _expression(current: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "current": current}


def test_real_controllers_with_another_digest_are_a_mismatch(
    cluster: Cluster, chart: tuple[Digest, Digest]
) -> None:
    cluster.release("foreign")
    report = _follow(cluster, ["foreign"], (Digest.of(b"placed"), chart[1]))
    assert _states(report) == {"foreign": State.MISMATCH}


def test_what_never_ends_on_real_controllers_times_out(
    cluster: Cluster, chart: tuple[Digest, Digest]
) -> None:
    cluster.release("endless", values=_BROKEN, timeout="30m")
    report = _follow(cluster, ["endless"], chart, timeout=45.0)
    assert _states(report) == {"endless": State.TIMEOUT}


def test_a_late_release_on_real_controllers_is_waited_for(
    cluster: Cluster, chart: tuple[Digest, Digest]
) -> None:
    seen: list[State] = []

    def listen(standings: Sequence[Standing]) -> None:
        if not seen:
            cluster.release("late")
        seen.append(standings[0].verdict.state)

    report = _follow(cluster, ["late"], chart, listen=listen)
    assert seen[0] is State.MISSING
    assert _states(report) == {"late": State.SUCCEEDED}
