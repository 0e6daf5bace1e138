"""Published manifests, as oras, crane, cosign and the API server's schemas see them."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest
import yaml

from petra.bundle.platform import load_platform
from petra.content.progress import NoProgress
from petra.load.manifest_registry import ManifestRegistry, move_channel
from petra.load.rendering import LocalRegistry, local_manifests
from petra.oci.registry import RegistryClient
from tests.support import signing
from tests.support.kubernetes import KubernetesApi, check_manifests
from tests.support.load_bundles import open_bundle
from tests.support.world import OURS, STRANGER, signer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_registry import DockerRegistry

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[bytes]]

LOCAL = LocalRegistry("registry.local:5000/charts", insecure=True)
SHIPPED = load_platform(base=True, observability=True).files
OFFLINE = ("--insecure-ignore-tlog", "--allow-http-registry")


@pytest.fixture
def run(tools: Callable[[str], Path], tmp_path: Path) -> Run:
    """Run a tool in a folder of its own; `check=False` lets it fail."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in (OURS, STRANGER):
        (folder / f"{name}.pub").write_bytes(signing.public(signing.key(name)).pem)

    def call(tool: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [tools(tool), *arguments],
            cwd=folder,
            env={"HOME": str(folder), "PATH": os.defpath},
            capture_output=True,
            check=False,
            timeout=100,
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done

    return call


@pytest.fixture
def published(tmp_path: Path, docker_registry: DockerRegistry) -> ManifestRegistry:
    bundle = open_bundle(tmp_path, platform=SHIPPED)
    with RegistryClient(environ={}) as client:
        manifests = ManifestRegistry(
            bundle, client, f"oci://{docker_registry}/platform", signer=signer(OURS), local=LOCAL
        )
        manifests.load(NoProgress())
        return manifests


@pytest.fixture
def reference(published: ManifestRegistry, docker_registry: DockerRegistry) -> str:
    return f"{docker_registry}/platform"


def test_oras_pulls_the_artifact_back_byte_for_byte(
    run: Run, published: ManifestRegistry, reference: str
) -> None:
    manifest = run("oras", "manifest", "fetch", "--plain-http", f"{reference}:stable").stdout
    layer = json.loads(manifest)["layers"][0]["digest"]
    blob = run(
        *("oras", "blob", "fetch", "--plain-http", "--output", "-", f"{reference}@{layer}")
    ).stdout

    assert manifest == published.artifact.raw
    assert blob == published.artifact.parts[1].data


def test_crane_pulls_the_artifact_back_byte_for_byte_and_exports_its_files(
    run: Run, published: ManifestRegistry, reference: str
) -> None:
    digest = run("crane", "digest", f"{reference}:1.4.0").stdout.decode().strip()
    manifest = run("crane", "manifest", f"{reference}@{digest}").stdout
    layer = json.loads(manifest)["layers"][0]["digest"]
    blob = run("crane", "blob", f"{reference}@{layer}").stdout
    exported = run("crane", "export", f"{reference}:stable", "-").stdout

    assert digest == published.artifact.digest
    assert manifest == published.artifact.raw
    assert blob == published.artifact.parts[1].data
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        found = {member.name for member in archive.getmembers() if member.isfile()}
    assert found == {name.removeprefix("platform/") for name in SHIPPED}


@pytest.mark.parametrize("form", ["--new-bundle-format=true", "--new-bundle-format=false"])
def test_cosign_verifies_the_signature_offline_in_both_forms(
    run: Run, published: ManifestRegistry, reference: str, form: str
) -> None:
    signed = f"{reference}@{published.artifact.digest}"

    said = run("cosign", "verify", "--key", f"{OURS}.pub", *OFFLINE, form, signed)

    (payload,) = json.loads(said.stdout)
    assert payload["critical"]["image"]["docker-manifest-digest"] == published.artifact.digest


def test_cosign_refuses_another_key(run: Run, published: ManifestRegistry, reference: str) -> None:
    signed = f"{reference}@{published.artifact.digest}"

    said = run("cosign", "verify", "--key", f"{STRANGER}.pub", *OFFLINE, signed, check=False)

    assert said.returncode != 0


def test_a_signature_that_cosign_added_stays_and_both_verify(
    run: Run,
    tmp_path: Path,
    tools: Callable[[str], Path],
    docker_registry: DockerRegistry,
    published: ManifestRegistry,
    reference: str,
) -> None:
    """The other direction: cosign's own signature counts for us too."""
    key = tmp_path / "tools" / "their.key"
    key.write_bytes(signing.pem(signing.key(STRANGER)))
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "COSIGN_PASSWORD": ""}
    imported = [
        str(tools("cosign")),
        "import-key-pair",
        "--key",
        str(key),
        "--output-key-prefix",
        "cosign",
    ]
    subprocess.run(imported, cwd=key.parent, env=environment, check=True, capture_output=True)
    signed = f"{reference}@{published.artifact.digest}"
    flags = ("--use-signing-config=false", "--tlog-upload=false")
    command = [str(tools("cosign")), "sign", "--key", "cosign.key", *flags, "--yes"]
    command += ["--allow-http-registry", signed]
    subprocess.run(command, cwd=key.parent, env=environment, check=True, capture_output=True)

    for name in (OURS, STRANGER):
        run("cosign", "verify", "--key", f"{name}.pub", *OFFLINE, signed)
    with RegistryClient(environ={}) as client:
        repository = client.repository(docker_registry.host, "platform")
        theirs = [signing.public(signing.key(STRANGER))]
        assert move_channel(repository, "edge", "1.4.0", theirs).before is None


def test_flux_s_schemas_accept_what_is_in_the_artifact(
    published: ManifestRegistry, kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    plain = gzip.decompress(published.artifact.parts[1].data)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        texts = [(archive.extractfile(member) or io.BytesIO()).read() for member in archive]
    documents = [item for text in texts for item in yaml.safe_load_all(text)]

    checked = check_manifests(kubernetes_api, documents, kubernetes_namespace)

    assert checked.refused == {}
    sources = [item["spec"] for item in documents if item["kind"] == "OCIRepository"]
    assert len(sources) == 11
    assert all(spec["insecure"] for spec in sources)
    urls = [item["spec"]["url"] for item in documents if "url" in item.get("spec", {})]
    assert len(urls) == len(sources)
    assert all(url.startswith("oci://registry.local:5000/charts/") for url in urls)
    assert len(checked.accepted) >= 2 * len(sources)


def test_a_helm_repository_with_plain_http_is_accepted_as_well(
    tmp_path: Path, kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    source = b"""apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts}
spec: {type: oci, url: "oci://${PETRA_CHARTS}", interval: 10m}
"""
    bundle = open_bundle(tmp_path, platform={"platform/base/source.yaml": source})
    local = LocalRegistry("r.local/charts", insecure=True, secret="login", ca_secret="ca")
    documents = [item.value for item in local_manifests(bundle, local).manifests]

    checked = check_manifests(kubernetes_api, documents, kubernetes_namespace)

    assert checked.accepted == ["HelmRepository/charts"]
