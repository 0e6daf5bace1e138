"""The real Kubernetes API server: it refuses and keeps what a cluster would."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.kubernetes import ApiError, KubernetesApi, check_manifests
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _release(**spec: Any) -> dict[str, Any]:
    chart = {"kind": "OCIRepository", "name": "app"}
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "app"},
        "spec": {"interval": "10m", "chartRef": chart, **spec},
    }


def test_all_of_flux_is_served(kubernetes_api: KubernetesApi) -> None:
    kinds = {kind for _, kind in kubernetes_api.resources}
    assert kinds >= {
        *("HelmRelease", "Kustomization", "OCIRepository", "HelmRepository", "GitRepository"),
        *("Bucket", "HelmChart", "Receiver", "Provider", "Alert"),
    }


def test_a_release_is_kept_with_a_generation(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    first = kubernetes_api.apply(_release(), kubernetes_namespace)
    second = kubernetes_api.apply(_release(suspend=True), kubernetes_namespace)
    assert (first["metadata"]["generation"], second["metadata"]["generation"]) == (1, 2)


def test_status_is_written_apart_and_moves_no_generation(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    release = _release()
    kubernetes_api.apply(release, kubernetes_namespace)
    kubernetes_api.set_status(release, kubernetes_namespace, {"observedGeneration": 1})
    kept = kubernetes_api.get(release, kubernetes_namespace)
    assert kept["status"]["observedGeneration"] == 1
    assert kept["metadata"]["generation"] == 1


def test_a_schema_violation_is_refused(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    with pytest.raises(ApiError, match="interval") as caught:
        kubernetes_api.apply(_release(interval=10), kubernetes_namespace)
    assert caught.value.status in (400, 422, 500)


def test_namespaces_keep_tests_apart(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    kubernetes_api.apply(_release(), kubernetes_namespace + "-other")
    with pytest.raises(ApiError, match="not found"):
        kubernetes_api.get(_release(), kubernetes_namespace)


def test_a_client_without_a_certificate_is_turned_away(kubernetes_api: KubernetesApi) -> None:
    connection = {"ca_certs": kubernetes_api.http.connection_pool_kw["ca_certs"]}
    anonymous = type(kubernetes_api.http)(retries=False, **connection)
    url = kubernetes_api.url + "/apis/helm.toolkit.fluxcd.io/v2/helmreleases"
    # No core types, so nobody to ask what an anonymous client may do: it fails closed.
    assert anonymous.request("GET", url).status in (401, 403, 500)


def test_manifests_are_sorted_by_what_the_server_says(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    wrong = _release(interval=10) | {"metadata": {"name": "wrong"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bench"}}
    checked = check_manifests(kubernetes_api, [_release(), wrong, job], kubernetes_namespace)
    assert checked.accepted == ["HelmRelease/app"]
    assert list(checked.refused) == ["HelmRelease/wrong"]
    assert checked.unchecked == ["Job/bench"]


@pytest.mark.parametrize("part", ["base", "observability"])
def test_every_custom_resource_of_the_platform_is_accepted(
    kubernetes_api: KubernetesApi,
    kubernetes_namespace: str,
    tools: Callable[[str], Path],
    part: str,
    record_property: Callable[[str, object], None],
) -> None:
    folder = REPOSITORY / "platform" / part
    built = subprocess.run(
        [tools("kustomize"), "build", folder], check=True, capture_output=True, text=True
    )
    checked = check_manifests(
        kubernetes_api, yaml.safe_load_all(built.stdout), kubernetes_namespace
    )
    record_property("peer-note", f"platform/{part}: {checked.summary()}")
    assert checked.accepted
    assert checked.refused == {}
