"""The platform's manifests as the cluster reads them: everything at the local registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from petra.bundle.platform import PlatformFiles, load_platform
from petra.errors import IncompleteError, UsageError
from petra.load.rendering import LocalRegistry, local_manifests
from tests.support.load_bundles import open_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from petra.load.destination import OpenBundle

LOCAL = LocalRegistry("registry.local:5000/charts")
SHIPPED = load_platform(base=True, observability=True).files


@pytest.fixture
def bundle(tmp_path: Path) -> OpenBundle:
    return open_bundle(tmp_path, platform=SHIPPED)


def sources(files: PlatformFiles) -> list[dict[str, Any]]:
    return [item.spec for item in files.of_kind("source.toolkit.fluxcd.io")]


def urls(value: Any) -> list[str]:
    """Return every text under a key that leads somewhere, however deep."""
    if isinstance(value, list):
        return [url for item in value for url in urls(item)]
    found = []
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in ("url", "endpoint", "repo") and isinstance(item, str):
            found.append(item)
        else:
            found += urls(item)
    return found


def test_no_published_url_leaves_the_local_registry(bundle: OpenBundle) -> None:
    files = local_manifests(bundle, LOCAL)

    published = [item.spec["url"] for item in files.manifests if "url" in item.spec]
    assert len(published) == len(sources(files)) == 11
    assert all(url.startswith("oci://registry.local:5000/charts/") for url in published)
    # What values of charts name beside is a Service in the cluster.
    others = {url for item in files.manifests for url in urls(item.value)} - set(published)
    assert {urlsplit(url).hostname for url in others} == {"loki.logging.svc.cluster.local"}
    assert not any(b"${PETRA" in data for data in files.files.values())


def test_a_file_without_the_substitution_keeps_every_byte(bundle: OpenBundle) -> None:
    files = local_manifests(bundle, LOCAL).files

    assert files.keys() == SHIPPED.keys()
    changed = {name for name in files if files[name] != SHIPPED[name]}
    assert changed == {name for name in SHIPPED if name.endswith("/source.yaml")}


def test_with_tls_and_no_secrets_only_the_url_changes(bundle: OpenBundle) -> None:
    files = local_manifests(bundle, LOCAL).files

    name = "platform/base/cilium/source.yaml"
    assert files[name] == SHIPPED[name].replace(b"${PETRA_CHARTS}", b"registry.local:5000/charts")


def test_plain_http_and_secrets_stand_on_every_source(bundle: OpenBundle) -> None:
    local = LocalRegistry("r.local/charts", insecure=True, secret="login", ca_secret="ca")

    for spec in sources(local_manifests(bundle, local)):
        assert spec["url"].startswith("oci://r.local/charts/")
        assert spec["insecure"] is True
        assert spec["secretRef"] == {"name": "login"}
        assert spec["certSecretRef"] == {"name": "ca"}


def test_a_source_that_a_site_vouches_for_is_left_alone(tmp_path: Path) -> None:
    source = b"""apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: site, annotations: {petra.sh/local-source: "true"}}
spec: {url: "https://git.site.example/x"}
"""
    bundle = open_bundle(tmp_path, platform={"platform/base/site.yaml": source})

    files = local_manifests(bundle, LocalRegistry("r.local", insecure=True))

    assert files.files == {"platform/base/site.yaml": source}


@pytest.mark.parametrize(
    "text",
    [
        (
            "{apiVersion: source.toolkit.fluxcd.io/v1, kind: OCIRepository, metadata: {name: x}, "
            'spec: {url: "oci://ghcr.io/x"}}'
        ),
        (
            "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization, "
            'resources: ["https://github.com/x/y?ref=main"]}'
        ),
    ],
)
def test_what_points_outside_is_refused(tmp_path: Path, text: str) -> None:
    bundle = open_bundle(tmp_path, platform={"platform/base/x.yaml": text.encode()})

    with pytest.raises(IncompleteError, match="point outside"):
        local_manifests(bundle, LOCAL)


def test_without_a_place_for_charts_manifests_that_need_one_are_refused(
    bundle: OpenBundle,
) -> None:
    with pytest.raises(UsageError, match="charts from a registry"):
        local_manifests(bundle, LocalRegistry())


def test_a_bundle_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no platform manifests"):
        local_manifests(open_bundle(tmp_path), LOCAL)


@pytest.mark.parametrize("charts", ["127.0.0.1:5000/charts", "localhost/charts", "127.0.0.1"])
def test_a_registry_that_is_each_pod_s_own_loopback_is_warned_of(charts: str) -> None:
    (note,) = LocalRegistry(charts).notes()

    assert "--cluster-registry" in note


@pytest.mark.parametrize("charts", [None, "registry.local:5000/charts", "10.0.0.5:5000"])
def test_any_other_registry_needs_no_warning(charts: str | None) -> None:
    assert LocalRegistry(charts).notes() == ()
