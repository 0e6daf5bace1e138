"""The first deployment with its real peers: helm on the real Cilium, and Flux's own schemas."""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.bundle.platform import (
    PlatformFiles,
    apply_overrides,
    load_platform,
    needed_images,
    releases,
)
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.helm.images import images_in_manifests
from petra.helm.template import KUBE_VERSION
from petra.load.bootstrap import FirstSource, K3sBootstrap, K3sFolders
from petra.load.oci_places import RegistryPlace
from petra.load.rendering import LocalRegistry
from petra.oci.reference import Reference
from tests.support import signing
from tests.support.charts import chart
from tests.support.kubernetes import KubernetesApi, check_manifests
from tests.support.load_bundles import open_bundle
from tests.support.real_charts import real_chart
from tests.support.world import OURS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = load_platform(base=True, observability=True)


def pinned(helm: Path, charts: dict[tuple[str, str], bytes]) -> tuple[PlatformFiles, set[str]]:
    """Return the manifests as create writes them, and the images of these charts with digests."""
    names = {name for name, _ in charts}
    mine = {release.file.split("/")[2] for release in releases(FILES) if release.chart in names}
    only = PlatformFiles({n: d for n, d in FILES.files.items() if n.split("/")[2] in mine})
    needed = needed_images(only, charts, helm=helm)
    lock: dict[str, str] = {}
    for text in (image for item in needed for image in item.images):
        lock[text] = Reference.parse(text).digest or Digest.of(text.encode())
    expected = {str(Reference.parse(text).pinned(Digest(digest))) for text, digest in lock.items()}
    return apply_overrides(FILES, needed, lock), expected


@pytest.fixture
def written(tools: Callable[[str], Path], tmp_path: Path) -> tuple[Path, set[str]]:
    """The folder of manifests of a bundle with the real Cilium, and the images that it needs."""
    cilium = real_chart("cilium-1.16.5.tgz").read_bytes()
    flux = chart("flux2", "2.18.3")
    charts = {("cilium", "1.16.5"): cilium, ("flux2", "2.18.3"): flux}
    files, images = pinned(tools("helm"), charts)
    bundle = open_bundle(tmp_path, charts=list(charts.values()), platform=files.files)
    source = FirstSource(
        RegistryPlace.repository("oci://registry.local:5000/platform"),
        "stable",
        LocalRegistry("registry.local:5000/charts", insecure=True, secret="login"),
        signing.public(signing.key(OURS)),
    )
    folders = K3sFolders(tmp_path / "var", tmp_path / "etc")
    K3sBootstrap(bundle, folders, source).load(NoProgress())
    return folders.manifests, images


def documents(folder: Path) -> list[dict[str, Any]]:
    return [
        item for path in sorted(folder.iterdir()) for item in yaml.safe_load_all(path.read_text())
    ]


def rendered(helm: Path, item: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return what k3s's job makes of a HelmChart: ``helm`` with the chart and values in it."""
    spec = item["spec"]
    (folder / "chart.tgz").write_bytes(b64decode(spec["chartContent"]))
    (folder / "values.yaml").write_text(spec["valuesContent"])
    command = [str(helm), "template", item["metadata"]["name"], "chart.tgz"]
    command += ["--values", "values.yaml", "--namespace", spec["targetNamespace"]]
    done = subprocess.run(
        [*command, "--kube-version", KUBE_VERSION],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_helm_renders_the_embedded_charts_and_every_image_has_the_bundle_s_digest(
    tools: Callable[[str], Path], tmp_path: Path, written: tuple[Path, set[str]]
) -> None:
    folder, images = written
    first = [item for item in documents(folder) if item["kind"] == "HelmChart"]

    made = {item["metadata"]["name"]: rendered(tools("helm"), item, tmp_path) for item in first}

    assert list(made) == ["cilium", "flux"]
    objects = [one for each in made.values() for one in each]
    assert {image.reference for image in images_in_manifests(objects).images} == images
    assert all("@sha256:" in image for image in images)
    config = next(one for one in made["cilium"] if one["metadata"]["name"] == "cilium-config")
    assert config["data"]["kube-proxy-replacement"] == "true"


def test_flux_s_schemas_accept_the_first_source_and_kustomizations(
    written: tuple[Path, set[str]], kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    checked = check_manifests(kubernetes_api, documents(written[0]), kubernetes_namespace)

    assert checked.refused == {}
    assert checked.accepted == [
        "OCIRepository/petra-platform",
        "Kustomization/platform-base",
        "Kustomization/platform-observability",
    ]
    assert checked.unchecked == [
        *("Namespace/flux-system", "HelmChart/cilium", "HelmChart/flux"),
        "Secret/petra-platform-key",
    ]
