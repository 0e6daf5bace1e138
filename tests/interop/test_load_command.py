"""The whole way with real peers: the real Cilium chart, signed images, a registry, a node, Flux.

Made with `petra bundle create`, loaded with `petra bundle load`, and looked at with everybody
else's tools. A program of its own plays Flux on a real API server.
"""

from __future__ import annotations

import json
import sys
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.content.digest import Digest
from petra.helm.chart import inspect_chart
from petra.helm.index import repository_index
from tests.support.chart_server import running_chart_server
from tests.support.processes import Server
from tests.support.real_charts import real_chart
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.containerd import Containerd
    from tests.support.docker_registry import DockerRegistry
    from tests.support.kubernetes import KubernetesApi
    from tests.support.site import Site

_PLAYER = REPOSITORY / "tests" / "support" / "flux_player.py"
_CHART = "cilium-1.16.5.tgz"
_NAMESPACE = "flux-system"
#: What only the sender's own tools could have done, and are not at hand everywhere.
_SKIPPED = "scan,sbom"


@dataclass(frozen=True)
class Loaded:
    """What a load of the real bundle gave.

    Attributes:
        site: where the bundle was made.
        registry: where it was loaded to.
        arguments: of the call, but for the cluster.
        report: what it printed.
    """

    site: Site
    registry: DockerRegistry
    arguments: tuple[str | Path, ...]
    report: dict[str, Any]

    def part(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.report["destinations"] if one["part"] == name]


def _release() -> dict[str, Any]:
    source = {"kind": "HelmRepository", "name": "cilium"}
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "cilium", "namespace": _NAMESPACE},
        "spec": {
            "interval": "1h",
            "chart": {"spec": {"chart": "cilium", "version": "1.16.5", "sourceRef": source}},
        },
    }


def _write_manifests(site: Site, url: str) -> None:
    repository = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "HelmRepository",
        "metadata": {"name": "cilium", "namespace": _NAMESPACE},
        "spec": {"interval": "1h", "url": url},
    }
    path = site.folder / "manifests" / "base" / "cilium.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump_all([repository, _release()]))


@pytest.fixture(scope="module")
def real_bundle(site: Site) -> Path:
    """A bundle with the real Cilium 1.16.5, another chart, and images that cosign signed."""
    data = real_chart(_CHART).read_bytes()
    info = inspect_chart(data, where=_CHART)
    indexed = SimpleNamespace(metadata=info.metadata, digest=Digest.of(data))
    index = repository_index([indexed], datetime(2026, 1, 1, tzinfo=UTC))
    with running_chart_server({"/index.yaml": index, f"/{_CHART}": data}) as charts:
        _write_manifests(site, charts.url)
        spec = site.write_spec(
            *site.images,
            file="cilium.yaml",
            charts=[
                {"name": "cilium", "repo": charts.url, "version": "1.16.5"},
                {"name": "shop", "repo": site.charts, "version": "1.4.0"},
            ],
            platform={"includeBase": True, "path": "manifests"},
            output={"dir": "cilium"},
        )
        # Cilium's own images are on the internet; the release names them all the same.
        arguments = ("--key", "cosign.key", "--allow-missing-images")
        site.petra.run("bundle", "create", "-f", spec, *arguments)
    return site.folder / "cilium" / "shop-1.4.0.tar.zst"


@pytest.fixture(scope="module")
def loaded(
    site: Site,
    real_bundle: Path,
    module_docker_registry: DockerRegistry,
    containerd: Containerd,
    tools: Callable[[str], Path],
) -> Loaded:
    """The bundle, in a real registry and a real containerd."""
    host = module_docker_registry.host
    arguments = (
        *("-f", real_bundle, "--key", "cosign.pub", "--sign-key", "cosign.key"),
        *("--images-to", f"registry://{host}/mirror"),
        *("--images-to", f"containerd:{containerd.folder / 'sock'}"),
        *("--charts-to", f"oci://{host}/charts", "--manifests-to", f"oci://{host}/platform"),
        *("--ledger", site.folder / "ledger", "--allow-skipped", _SKIPPED),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tools("ctr").parent), prepend=":")
        report = site.petra.json("bundle", "load", *arguments)
    return Loaded(site, module_docker_registry, arguments, report)


def test_everything_is_in_place(loaded: Loaded) -> None:
    assert loaded.report["verdict"] == "loaded"
    assert [one["state"] for one in loaded.report["destinations"]] == ["done"] * 4


def test_crane_finds_each_image_under_its_own_name_with_its_digest(loaded: Loaded) -> None:
    for image, root in loaded.site.images.items():
        there = f"{loaded.registry}/mirror/{image}"
        assert loaded.site.tool("crane", "digest", there).stdout.strip() == root.digest


def test_containerd_has_each_image_under_its_tag_and_its_digest(
    loaded: Loaded, containerd: Containerd
) -> None:
    listed = containerd.ctr("images", "ls", "-q").stdout.splitlines()
    for image in loaded.site.images:
        assert f"{loaded.site.host}/{image}" in listed
        assert loaded.site.reference(image) in listed


def test_helm_pulls_the_real_cilium_byte_for_byte(loaded: Loaded, tmp_path: Path) -> None:
    url = f"oci://{loaded.registry}/charts/cilium"
    arguments = ("--version", "1.16.5", "--plain-http", "--destination", tmp_path)
    loaded.site.tool("helm", "pull", url, *arguments)
    assert (tmp_path / _CHART).read_bytes() == real_chart(_CHART).read_bytes()


def test_oras_and_crane_pull_the_same_manifests_from_the_channel(
    loaded: Loaded, tmp_path: Path
) -> None:
    site, there = loaded.site, f"{loaded.registry}/platform:stable"
    raw = site.tool("crane", "manifest", there).stdout
    assert raw == site.tool("oras", "manifest", "fetch", "--plain-http", there).stdout
    (manifests,) = loaded.part("manifests")
    assert Digest.of(raw.encode()) == manifests["switched"]["digest"]
    (layer,) = json.loads(raw)["layers"]
    blob = tmp_path / "layer.tar.gz"
    arguments = (
        "--plain-http",
        "--output",
        blob,
        f"{there.partition(':stable')[0]}@{layer['digest']}",
    )
    site.tool("oras", "blob", "fetch", *arguments)
    assert Digest.of(blob.read_bytes()) == layer["digest"]
    with tarfile.open(blob) as archive:
        file = archive.extractfile("base/cilium.yaml")
        assert file is not None
        source, release = yaml.safe_load_all(file.read())
    assert source["spec"]["url"] == f"oci://{loaded.registry}/charts"
    assert release["metadata"] == _release()["metadata"]


def test_cosign_verifies_the_manifests_with_the_local_key(loaded: Loaded) -> None:
    arguments = ("--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry")
    (manifests,) = loaded.part("manifests")
    digest = manifests["switched"]["digest"]
    loaded.site.tool("cosign", "verify", *arguments, f"{loaded.registry}/platform@{digest}")


@contextmanager
def _playing(api: KubernetesApi, folder: Path, script: dict[str, Any]) -> Iterator[None]:
    """Let a program of its own play Flux's controllers."""
    file = folder / "script.json"
    file.write_text(json.dumps(script))
    pool = api.http.connection_pool_kw
    options = {
        "url": api.url,
        "ca": pool["ca_certs"],
        "cert": pool["cert_file"],
        "key": pool["key_file"],
        "namespace": _NAMESPACE,
        "script": str(file),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    command = [sys.executable, str(_PLAYER), *arguments]
    with Server("flux player", command, folder / "player.log") as player:
        player.wait_for_log("(playing)")
        yield


@pytest.mark.parametrize(
    ("role", "chart", "state", "status"),
    [
        ("succeeds", "ours", "SUCCEEDED", 0),
        ("succeeds", "another", "MISMATCH", 1),
        ("fails", "ours", "FAILED", 1),
    ],
)
def test_the_load_ends_with_what_became_of_the_release(
    loaded: Loaded,
    kubernetes_api: KubernetesApi,
    tmp_path: Path,
    role: str,
    chart: str,
    state: str,
    status: int,
) -> None:
    (charts,) = loaded.part("charts")
    placed = {one["name"]: one["digest"] for one in charts["placed"]}
    digest = placed["cilium 1.16.5"] if chart == "ours" else Digest.of(b"another chart")
    release = _release()
    release["spec"].pop("chart")
    release["spec"]["chartRef"] = {"kind": "OCIRepository", "name": "cilium"}
    repository = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "OCIRepository",
        "metadata": {"name": "cilium", "namespace": _NAMESPACE},
        "spec": {"interval": "1h", "url": f"oci://{loaded.registry}/charts/cilium"},
    }
    part = {"role": role, "ociDigest": digest, "chart": "cilium", "version": "1.16.5"}
    sources = {"cilium": {"revision": f"1.16.5@{digest}", "digest": Digest.of(b"archive")}}
    kubernetes_api.apply(repository, _NAMESPACE)
    kubernetes_api.apply(release, _NAMESPACE)
    try:
        with _playing(kubernetes_api, tmp_path, {"sources": sources, "releases": {"cilium": part}}):
            more = ("--kubeconfig", kubernetes_api.kubeconfig, "--timeout", "90s", "--again")
            found = loaded.site.petra.outcome(
                "bundle", "load", *loaded.arguments, *more, "--output", "json"
            )
    finally:
        for value in (release, repository):
            kubernetes_api.delete(value, _NAMESPACE)
    assert found.status == status, found.out + found.err
    (told,) = found.json["releases"]
    assert (told["namespace"], told["name"], told["state"]) == (_NAMESPACE, "cilium", state)
    assert found.json["verdict"] == ("loaded" if status == 0 else "not reconciled")
