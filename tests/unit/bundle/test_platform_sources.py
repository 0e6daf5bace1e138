"""Charts' sources become the local registry's, and nothing else may point outside."""

from __future__ import annotations

import pytest

from petra.bundle.platform import (
    PlatformFiles,
    localise_sources,
    releases,
    require_local,
    source_urls,
    substitute_charts,
)
from petra.errors import IncompleteError, UsageError

OCI = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: team}
spec:
  interval: 10m
  chartRef: {kind: OCIRepository, name: app}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app, namespace: team}
spec:
  interval: 10m
  url: oci://ghcr.io/owner/charts/app
  secretRef: {name: ghcr}
  verify: {provider: cosign}
  ref: {tag: 1.2.3, digest: "sha256:00"}
"""
HTTP = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: team}
spec:
  interval: 10m
  chart:
    spec:
      chart: web
      version: 4.5.6
      sourceRef: {kind: HelmRepository, name: repo}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: repo, namespace: team}
spec:
  interval: 10m
  url: https://charts.example.org/stable
  passCredentials: true
"""


def files(text: str) -> PlatformFiles:
    return PlatformFiles({"platform/base/all.yaml": text.encode()})


@pytest.mark.parametrize("text", [OCI, HTTP])
def test_public_sources_become_local_and_keep_their_origin(text: str) -> None:
    before = files(text)

    local = localise_sources(before)

    require_local(local)
    assert [(one.chart, one.version, one.source) for one in releases(local)] == [
        (one.chart, one.version, one.source) for one in releases(before)
    ]
    assert localise_sources(local).files == local.files


def test_an_oci_repository_keeps_its_tag_and_loses_what_is_of_the_public_place() -> None:
    source = localise_sources(files(OCI)).manifests[1]

    assert source.spec == {
        "interval": "10m",
        "url": "oci://${PETRA_CHARTS}/app",
        "ref": {"tag": "1.2.3"},
    }
    assert source.annotations["petra.sh/chart-source"] == "oci://ghcr.io/owner/charts"


def test_a_helm_repository_becomes_one_of_type_oci() -> None:
    source = localise_sources(files(HTTP)).manifests[1]

    assert source.spec == {"interval": "10m", "type": "oci", "url": "oci://${PETRA_CHARTS}"}


def test_after_load_filled_them_in_all_urls_are_local() -> None:
    local = substitute_charts(localise_sources(files(f"{OCI}---\n{HTTP}")), "reg.local:5000/c")

    assert [item.url for item in source_urls(local)] == [
        "oci://reg.local:5000/c/app",
        "oci://reg.local:5000/c",
    ]


GIT = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: config
  namespace: team
  annotations: {petra.sh/local-source: "WORD"}
spec: {interval: 10m, url: "https://git.example.org/x"}
"""
BUCKET = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: store, namespace: team}
spec: {interval: 10m, endpoint: s3.example.org, bucketName: b}
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [local.yaml, "ITEM"]
"""


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (OCI, "oci://ghcr.io/owner/charts/app"),
        (GIT.replace("WORD", "false"), "https://git.example.org/x"),
        (OCI.replace("ghcr.io/owner", "${PETRA_CHARTS}@evil.example"), "evil.example"),
        (OCI.replace("ghcr.io/owner", "${PETRA_CHARTS}.evil.example"), "evil.example"),
        (BUCKET, "s3.example.org"),
        (KUSTOMIZATION.replace("ITEM", "https://x.example/a.yaml"), "https://x.example/a.yaml"),
        (KUSTOMIZATION.replace("ITEM", "github.com/o/r"), "github.com/o/r"),
        (KUSTOMIZATION.replace("ITEM", "git@h:o/r"), "git@h:o/r"),
        (KUSTOMIZATION.replace("ITEM", "../o/r?ref=main"), "../o/r?ref=main"),
        (KUSTOMIZATION + "helmCharts: [{name: a, repo: 'https://c.example'}]\n", "c.example"),
    ],
)
def test_what_points_outside_is_refused_with_file_and_url(text: str, url: str) -> None:
    with pytest.raises(IncompleteError, match="point outside") as caught:
        require_local(files(text))

    assert url in str(caught.value)
    assert "platform/base/all.yaml" in str(caught.value)


def test_a_person_can_vouch_for_a_source_inside() -> None:
    inside = files(GIT.replace("WORD", "true"))

    require_local(inside)

    assert [item.local for item in source_urls(inside)] == [True]


def test_a_vouched_chart_source_is_not_rewritten() -> None:
    vouched = files(
        HTTP.replace(
            "{name: repo, namespace: team}",
            "{name: repo, namespace: team, annotations: {petra.sh/local-source: 'true'}}",
        )
    )

    assert localise_sources(vouched) is vouched


def test_a_chart_from_git_cannot_be_made_local() -> None:
    text = HTTP.replace("HelmRepository", "GitRepository").replace(
        "{name: web, namespace: team}",
        "{name: web, namespace: team, annotations: {petra.sh/chart-source: 'https://c.example'}}",
    )

    with pytest.raises(UsageError, match="OCIRepository or a HelmRepository"):
        localise_sources(files(text))
