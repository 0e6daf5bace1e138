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
from petra.errors import ToolError
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


def bootstrap(
    helm: Path, tmp_path: Path, flux: bytes, *, bundled: bytes | None = None
) -> tuple[K3sBootstrap, Path, set[str]]:
    """Return what puts the real Cilium there, the folder of manifests, and the images needed.

    Args:
        helm: the program.
        tmp_path: takes everything.
        flux: the chart of Flux that images are looked for in.
        bundled: the one in the bundle, where it is another one.
    """
    cilium = real_chart("cilium-1.16.5.tgz").read_bytes()
    charts = {("cilium", "1.16.5"): cilium, ("flux2", "2.18.3"): flux}
    files, images = pinned(helm, charts)
    bundle = open_bundle(tmp_path, charts=[cilium, bundled or flux], platform=files.files)
    source = FirstSource(
        RegistryPlace.repository("oci://registry.local:5000/platform"),
        "stable",
        LocalRegistry("registry.local:5000/charts", insecure=True, secret="login"),
        signing.public(signing.key(OURS)),
    )
    folders = K3sFolders(tmp_path / "var", tmp_path / "etc")
    return K3sBootstrap(bundle, folders, source, helm=helm), folders.manifests, images


@pytest.fixture
def written(tools: Callable[[str], Path], tmp_path: Path) -> tuple[Path, set[str]]:
    """The folder of manifests of a bundle with the real Cilium, and the images that it needs."""
    first, folder, images = bootstrap(tools("helm"), tmp_path, chart("flux2", "2.18.3"))
    first.load(NoProgress())
    return folder, images


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


def test_helm_shows_that_every_image_has_its_digest(
    tools: Callable[[str], Path], tmp_path: Path
) -> None:
    first, _, _ = bootstrap(tools("helm"), tmp_path, chart("flux2", "2.18.3"))

    assert first.survey().notes == ()


def test_an_image_that_no_value_reaches_is_named(
    tools: Callable[[str], Path], tmp_path: Path
) -> None:
    pod = b"""apiVersion: v1
kind: Pod
metadata: {name: fixed}
spec: {containers: [{name: main, image: "registry.example/team/fixed:1.0"}]}
"""
    flux = chart("flux2", "2.18.3", {"templates/pod.yaml": pod})

    (note,) = bootstrap(tools("helm"), tmp_path, flux)[0].survey().notes

    assert note.startswith("registry.example/team/fixed:1.0 of flux is asked for by tag")


def test_a_chart_that_does_not_take_the_values_is_refused_before_anything_is_written(
    tools: Callable[[str], Path], tmp_path: Path
) -> None:
    fails = b'{{ fail "these values do not fit" }}\n'
    broken = chart("flux2", "2.18.3", {"templates/x.yaml": fails})
    good = chart("flux2", "2.18.3")
    first, folder, _ = bootstrap(tools("helm"), tmp_path, good, bundled=broken)

    with pytest.raises(ToolError, match="do not fit"):
        first.survey()

    assert not folder.exists()
