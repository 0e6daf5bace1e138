"""The manifests that ship with Petra keep their promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from petra.bundle.platform import (
    SUBSTITUTION,
    Manifest,
    PlatformFiles,
    Release,
    load_platform,
    needed_images,
    releases,
    require_local,
    required_charts,
    source_urls,
    substitute_charts,
)

ROOT = Path(__file__).resolve().parents[3]
FILES = load_platform(base=True, observability=True)
RELEASES = releases(FILES)
BASE = {
    "cilium",
    "flux",
    "gatekeeper",
    "tetragon",
    "cert-manager",
    "velero",
    "external-dns",
    "external-secrets",
}
OBSERVABILITY = {"kube-prometheus-stack", "loki", "alloy"}


def ids(item: Release | Manifest) -> str:
    return item.name


def part_of(release: Release) -> str:
    return release.file.split("/")[1]


def test_the_components_are_there() -> None:
    assert {item.name for item in RELEASES if part_of(item) == "base"} == BASE
    assert {item.name for item in RELEASES if part_of(item) == "observability"} == OBSERVABILITY
    assert [item.name for item in FILES.of_kind("batch", "CronJob")] == ["kube-bench"]


def test_the_folder_can_never_be_a_python_package() -> None:
    assert not list((ROOT / "platform").rglob("*.py"))


def test_no_url_leaves_the_machine() -> None:
    urls = source_urls(FILES)

    require_local(FILES)
    assert len(urls) == len(RELEASES)
    for item in urls:
        assert re.fullmatch(rf"oci://{re.escape(SUBSTITUTION)}/[a-z0-9-]+", item.url), item


def test_after_substitution_all_urls_are_at_the_local_registry() -> None:
    local = substitute_charts(FILES, "registry.local:5000/charts")

    assert {item.url.rpartition("/")[0] for item in source_urls(local)} == {
        "oci://registry.local:5000/charts"
    }
    assert not [name for name, data in local.files.items() if b"${" in data]


def test_the_substitution_is_the_only_one() -> None:
    found = {
        text
        for data in FILES.files.values()
        for text in re.findall(r"\$\{[^}]*\}?|\$\(", data.decode())
    }

    assert found == {SUBSTITUTION}


def test_no_digest_is_typed_by_hand() -> None:
    assert not [
        name for name, data in FILES.files.items() if re.search(rb"sha256:|[0-9a-f]{40}", data)
    ]


@pytest.mark.parametrize("release", RELEASES, ids=ids)
def test_each_chart_names_its_version_and_public_source(release: Release) -> None:
    (source,) = (
        item
        for item in FILES.of_kind("source.toolkit.fluxcd.io")
        if item.name == release.name and item.namespace == release.namespace
    )

    assert source.file.rpartition("/")[0] == release.file.rpartition("/")[0]
    assert source.spec["ref"] == {"tag": release.version}
    assert source.spec["url"] == f"oci://{SUBSTITUTION}/{release.chart}"
    assert source.spec["layerSelector"] == {
        "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "operation": "copy",
    }
    assert release.source.startswith("https://")
    documented = (ROOT / "docs" / "platform.md").read_text()
    assert f"| {release.chart} | {release.version} | {release.source} |" in documented


@pytest.mark.parametrize("release", RELEASES, ids=ids)
def test_each_release_is_remediated_and_bounded(release: Release) -> None:
    spec = release.manifest.spec

    assert release.namespace == "flux-system"
    assert spec["chartRef"] == {"kind": "OCIRepository", "name": release.name}
    assert spec["storageNamespace"] == spec["targetNamespace"] == release.target_namespace
    assert spec["releaseName"] == release.name
    assert spec["install"]["remediation"]["retries"] >= 1
    assert spec["upgrade"]["remediation"]["strategy"] == "rollback"
    assert spec["upgrade"]["remediation"]["remediateLastFailure"] is True
    assert spec["upgrade"]["crds"] == "CreateReplace"
    assert spec["interval"]
    assert spec["timeout"]


def test_dependencies_are_there_and_have_no_cycle() -> None:
    needs = {
        item.name: [entry["name"] for entry in item.manifest.spec.get("dependsOn", [])]
        for item in RELEASES
    }

    def reach(name: str, above: tuple[str, ...] = ()) -> set[str]:
        assert name not in above, f"cycle: {above}"
        return {name}.union(*(reach(below, (*above, name)) for below in needs[name]))

    assert needs["cilium"] == []
    assert all("cilium" in reach(name) for name in needs)
    for name in ("external-secrets", "kube-prometheus-stack"):
        assert "cert-manager" in needs[name], "it takes its certificates from there"
    for release in RELEASES:
        if part_of(release) == "base":
            assert reach(release.name) <= BASE, "the base stands without observability"


def test_every_target_namespace_is_made_before_with_a_pod_security_level() -> None:
    levels = {
        item.name: item.metadata["labels"]["pod-security.kubernetes.io/enforce"]
        for item in FILES.manifests
        if item.kind == "Namespace"
    }

    assert {item.target_namespace for item in RELEASES} - set(levels) == {"kube-system"}
    assert {name for name, level in levels.items() if level == "privileged"} == {
        "tetragon",
        "kube-bench",
        "monitoring",
    }
    assert set(levels.values()) == {"privileged", "restricted"}


def test_every_file_is_in_a_kustomization() -> None:
    listed = set()
    for name, item in ((one.file, one) for one in FILES.of_kind("kustomize.config.k8s.io")):
        folder = name.rpartition("/")[0]
        listed |= {f"{folder}/{entry}" for entry in item.value["resources"]}
        listed |= {f"{folder}/{entry}/kustomization.yaml" for entry in item.value["resources"]}
        listed.add(name)

    assert set(FILES.files) <= listed


@pytest.mark.parametrize("part", ["base", "observability"])
def test_each_part_has_its_flux_kustomization(part: str) -> None:
    (item,) = (
        one
        for one in FILES.of_kind("kustomize.toolkit.fluxcd.io", "Kustomization")
        if one.file == f"platform/{part}/flux-kustomization.yaml"
    )

    assert item.spec["path"] == f"./{part}"
    assert item.spec["prune"] is True
    assert item.spec["sourceRef"] == {"kind": "OCIRepository", "name": "petra-platform"}


def test_nothing_reports_home() -> None:
    values = {item.name: item.values for item in RELEASES}

    assert values["loki"]["loki"]["analytics"]["reporting_enabled"] is False
    assert values["alloy"]["alloy"]["enableReporting"] is False
    grafana = values["kube-prometheus-stack"]["grafana"]["grafana.ini"]
    assert grafana["analytics"]["reporting_enabled"] is False
    assert grafana["analytics"]["check_for_updates"] is False
    assert grafana["plugins"]["preinstall_disabled"] is True
    assert grafana["news"]["news_feed_enabled"] is False
    assert values["gatekeeper"]["enableExternalData"] is False


def test_no_secret_is_in_the_manifests() -> None:
    assert not [item for item in FILES.manifests if item.kind == "Secret"]
    assert not [name for name, data in FILES.files.items() if b"assword:" in data]


def test_kube_bench_is_plain_read_only_and_pinned_to_a_version() -> None:
    plain = PlatformFiles(
        {name: data for name, data in FILES.files.items() if "/kube-bench/" in name}
    )
    (needed,) = needed_images(plain, {}, use_helm=False)
    (job,) = plain.of_kind("batch", "CronJob")
    pod = job.spec["jobTemplate"]["spec"]["template"]["spec"]

    assert needed.images == ("docker.io/aquasec/kube-bench:v0.15.6",)
    assert all(mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"])
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["automountServiceAccountToken"] is False


def test_the_charts_that_a_bundle_needs_are_told() -> None:
    charts = required_charts(RELEASES)

    assert len(charts) == len(BASE | OBSERVABILITY)
    assert ("cilium", "1.16.5", "https://helm.cilium.io") in charts
    assert ("tetragon", "1.3.0", "https://helm.cilium.io") in charts
