"""HelmReleases tell their chart, its version, its public source and their values."""

from __future__ import annotations

import pytest

from petra.bundle.platform import PlatformFiles, Release, releases, required_charts
from petra.errors import UsageError

CHART_REF = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: app
  namespace: team
spec:
  interval: 10m
  chartRef:
    kind: OCIRepository
    name: app
  values:
    replicas: 2
"""
OCI = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: app
  namespace: team
  annotations: {}
spec:
  interval: 10m
  url: oci://ghcr.io/owner/charts/app
  ref:
    tag: 1.2.3_build
"""
CLASSIC = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: classic
  namespace: team
spec:
  interval: 10m
  targetNamespace: other
  chart:
    spec:
      chart: web
      version: 4.5.6
      sourceRef:
        kind: HelmRepository
        name: repo
        namespace: flux-system
"""
REPOSITORY = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: repo
  namespace: flux-system
spec:
  interval: 10m
  url: https://charts.example.org/stable/
"""


def files(*texts: str) -> PlatformFiles:
    return PlatformFiles({"platform/base/all.yaml": "---\n".join(texts).encode()})


def one(*texts: str) -> Release:
    (release,) = releases(files(*texts))
    return release


def test_a_chart_ref_leads_to_an_oci_repository() -> None:
    release = one(CHART_REF, OCI)

    assert (release.chart, release.version) == ("app", "1.2.3+build")
    assert release.source == "oci://ghcr.io/owner/charts"
    assert release.values == {"replicas": 2}
    assert (release.key, release.release_name, release.target_namespace) == (
        "team/app",
        "app",
        "team",
    )


def test_a_source_ref_leads_to_a_helm_repository() -> None:
    release = one(CLASSIC, REPOSITORY)

    assert (release.chart, release.version) == ("web", "4.5.6")
    assert release.source == "https://charts.example.org/stable"
    assert (release.release_name, release.target_namespace) == ("other-classic", "other")


def test_a_helm_chart_stands_between() -> None:
    chart = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmChart
metadata: {name: app, namespace: team}
spec:
  chart: web
  version: 4.5.6
  sourceRef: {kind: HelmRepository, name: repo}
"""
    release = one(
        CHART_REF.replace("OCIRepository", "HelmChart"),
        chart,
        REPOSITORY.replace("flux-system", "team"),
    )

    assert (release.chart, release.version) == ("web", "4.5.6")
    assert release.source == "https://charts.example.org/stable"


def test_annotations_say_what_a_substituted_url_cannot() -> None:
    source = OCI.replace("oci://ghcr.io/owner/charts/app", "oci://${PETRA_CHARTS}/app").replace(
        "annotations: {}",
        "annotations: {petra.sh/chart: app, petra.sh/chart-source: 'https://c.example/x'}",
    )

    assert one(CHART_REF, source).source == "https://c.example/x"


def test_the_releases_own_annotations_win_and_need_no_source() -> None:
    release = one(
        CHART_REF.replace(
            "  namespace: team\n",
            "  namespace: team\n  annotations:\n    petra.sh/chart: x\n"
            "    petra.sh/chart-version: 1.0.0\n    petra.sh/chart-source: oci://r.example/c\n",
            1,
        )
    )

    assert (release.chart, release.version, release.source) == ("x", "1.0.0", "oci://r.example/c")


@pytest.mark.parametrize("tag", ["1.x", "latest", '">=1.2.0"', '""'])
def test_a_version_that_is_not_exact_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="pins no exact chart version") as caught:
        one(CHART_REF, OCI.replace("1.2.3_build", tag))

    assert "platform/base/all.yaml:6" in str(caught.value)
    assert "HelmRelease team/app" in str(caught.value)


def test_a_source_that_is_not_here_is_an_error_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="cannot be told") as caught:
        one(CHART_REF)

    assert "petra.sh/chart" in str(caught.value)


def test_a_patch_is_told_from_a_release() -> None:
    patch = CHART_REF.partition("  chartRef")[0]

    with pytest.raises(UsageError, match="has no chart") as caught:
        one(patch, OCI)

    assert "kustomize build" in str(caught.value)


def test_values_come_in_fluxs_order_and_what_is_not_here_is_told() -> None:
    config = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: defaults, namespace: team}
data:
  values.yaml: |
    replicas: 1
    image: {tag: a, name: x}
"""
    sourced = CHART_REF.replace(
        "  values:\n    replicas: 2\n",
        "  valuesFrom:\n    - kind: ConfigMap\n      name: defaults\n"
        "    - kind: Secret\n      name: site\n      optional: true\n"
        "  values:\n    replicas: 2\n    image:\n      tag: b\n",
    )

    release = one(sourced, OCI, config)

    assert release.values == {"replicas": 2, "image": {"tag": "b", "name": "x"}}
    assert release.unseen == ("Secret site[values.yaml]",)


def test_charts_are_listed_once_and_sorted() -> None:
    second = CHART_REF.replace("name: app\n  namespace", "name: again\n  namespace")

    found = required_charts(releases(files(CLASSIC, REPOSITORY, CHART_REF, second, OCI)))

    assert found == [
        ("app", "1.2.3+build", "oci://ghcr.io/owner/charts"),
        ("web", "4.5.6", "https://charts.example.org/stable"),
    ]


def test_one_chart_from_two_places_is_refused() -> None:
    other = OCI.replace("name: app\n", "name: b\n").replace("ghcr.io", "elsewhere.example")
    second = CHART_REF.replace("name: app\n  namespace", "name: b\n  namespace").replace(
        "    name: app", "    name: b"
    )

    with pytest.raises(UsageError, match="two places"):
        required_charts(releases(files(CHART_REF, OCI, second, other)))
