"""Our server seen by other people's clients, beside the registry that they are used to."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import pytest

from petra.content.descriptor import Descriptor, Platform
from petra.content.digest import Digest
from petra.content.stream import fetch_document
from petra.oci import media_types
from petra.oci.copy import copy_graph
from petra.oci.layout import LayoutTarget
from petra.oci.memory import MemoryTarget
from petra.oci.referrers import attachments
from petra.serve.helm import MemoryHelm
from petra.serve.repositories import LayoutRepositories, MemoryRepositories
from petra.serve.server import BundleServer
from tests.support.graphs import PLATFORMS, push, push_document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.containerd import Containerd
    from tests.support.docker_registry import DockerRegistry

Run: TypeAlias = Callable[..., str]

NAME = "chainguard/nginx"
FULL_NAME = f"cgr.dev/{NAME}"


def layer(name: str, size: int) -> tuple[bytes, bytes]:
    """Return a real layer, plain and compressed."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(name[:1].encode() * size))
    return plain.getvalue(), gzip.compress(plain.getvalue(), mtime=0)


def push_real_image(target: MemoryTarget, platform: Platform) -> Descriptor:
    layers = [layer("shared", 300_000), layer(f"bin-{platform.architecture}", 1_500_000)]
    config = {
        "os": platform.os,
        "architecture": platform.architecture,
        **({"variant": platform.variant} if platform.variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest.of(plain) for plain, _ in layers]},
    }
    document = {
        "config": push(target, media_types.OCI_CONFIG, json.dumps(config).encode()).to_json(),
        "layers": [push(target, media_types.OCI_LAYER_GZIP, data).to_json() for _, data in layers],
    }
    return push_document(target, media_types.OCI_MANIFEST, document)


def push_real_index(target: MemoryTarget) -> Descriptor:
    children = []
    for platform in PLATFORMS:
        child = push_real_image(target, platform)
        described = Descriptor(child.media_type, child.digest, child.size, platform)
        children.append(described.to_json())
    return push_document(target, media_types.OCI_INDEX, {"manifests": children})


@pytest.fixture
def run(tools: Callable[[str], Path], tmp_path: Path) -> Run:
    """`run("crane", …)` runs a tool in a folder of its own and returns what it printed."""

    def call(tool: str, *arguments: str | Path) -> str:
        result = subprocess.run(
            [tools(tool), *arguments],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "COSIGN_PASSWORD": "made up"},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert result.returncode == 0, f"{tool} {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    return call


@pytest.fixture
def content() -> MemoryRepositories:
    repositories = MemoryRepositories()
    target = repositories.create(FULL_NAME)
    target.tag(push_real_index(target), "1.27")
    return repositories


@pytest.fixture
def index(content: MemoryRepositories) -> Descriptor:
    return content.create(FULL_NAME).resolve("1.27")


@pytest.fixture
def reader(content: MemoryRepositories) -> Iterator[BundleServer]:
    """A server that only reads, as a bundle's does."""
    with BundleServer("127.0.0.1", 0, content) as server:
        yield server


@pytest.fixture(params=["memory", "layout"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BundleServer]:
    """An empty server that takes what is pushed."""
    repositories = (
        MemoryRepositories()
        if request.param == "memory"
        else LayoutRepositories(tmp_path / "repositories")
    )
    with BundleServer("127.0.0.1", 0, repositories, writable=True) as server:
        yield server


@pytest.fixture
def theirs(reader: BundleServer, docker_registry: DockerRegistry, run: Run) -> str:
    """A reference to the same content in a docker-registry."""
    reference = f"{docker_registry}/{NAME}:1.27"
    run("crane", "cp", f"{reader.host}/{NAME}:1.27", reference)
    return reference


def test_crane_sees_no_difference(
    reader: BundleServer, theirs: str, run: Run, index: Descriptor
) -> None:
    ours = f"{reader.host}/{NAME}:1.27"

    for command in ("digest", "manifest", "config", "ls"):
        arguments = [
            reference.removesuffix(":1.27" if command == "ls" else "")
            for reference in (ours, theirs)
        ]
        assert run("crane", command, arguments[0]) == run("crane", command, arguments[1])
    assert run("crane", "digest", ours).strip() == index.digest
    assert "PASS" in run("crane", "validate", "--remote", ours)


def test_crane_pulls_the_same_files(
    reader: BundleServer, theirs: str, run: Run, tmp_path: Path, index: Descriptor
) -> None:
    run("crane", "pull", "--format=oci", f"{reader.host}/{NAME}:1.27", "ours")
    run("crane", "pull", "--format=oci", theirs, "theirs")

    files = {
        name: {
            p.relative_to(tmp_path / name): p.read_bytes()
            for p in (tmp_path / name).rglob("*")
            if p.is_file()
        }
        for name in ("ours", "theirs")
    }
    assert files["ours"] == files["theirs"]
    assert LayoutTarget(tmp_path / "ours").exists(index)


def test_oras_and_skopeo_see_no_difference(reader: BundleServer, theirs: str, run: Run) -> None:
    ours = f"{reader.host}/{NAME}:1.27"

    for arguments in (
        ("oras", "manifest", "fetch", "--plain-http"),
        ("oras", "manifest", "fetch", "--plain-http", "--descriptor"),
        ("oras", "manifest", "fetch", "--plain-http", "--platform", "linux/arm64"),
    ):
        assert run(*arguments, ours) == run(*arguments, theirs)
    for reference in (ours, theirs):
        run("oras", "copy", "--from-plain-http", reference, "--to-oci-layout", "oras:v1")
    raw = ("skopeo", "inspect", "--tls-verify=false", "--raw")
    assert run(*raw, f"docker://{ours}") == run(*raw, f"docker://{theirs}")
    inspected = [
        json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"))
        for reference in (ours, theirs)
    ]
    assert {key: inspected[0][key] for key in ("Digest", "RepoTags", "Layers")} == {
        key: inspected[1][key] for key in ("Digest", "RepoTags", "Layers")
    }


def test_the_headers_that_clients_read_are_the_same(
    reader: BundleServer, theirs: str, index: Descriptor
) -> None:
    hosts = (reader.host, theirs.split("/", maxsplit=1)[0])
    for path in ("manifests/1.27", f"manifests/{index.digest}", "tags/list"):
        answers = []
        for host in hosts:
            request = urllib.request.Request(  # loopback
                f"http://{host}/v2/{NAME}/{path}",
                headers={"Accept": ", ".join(media_types.ACCEPTED_MANIFESTS)},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # loopback
                names = ("Docker-Content-Digest", "Content-Length", "ETag", "Content-Type")
                headers = {name: (answer.headers[name] or "").replace("; ", ";") for name in names}
                answers.append((answer.status, headers, answer.read()))
        assert answers[0] == answers[1], path


def test_skopeo_copies_everything(
    reader: BundleServer, run: Run, tmp_path: Path, index: Descriptor
) -> None:
    source = f"docker://{reader.host}/{FULL_NAME}@{index.digest}"
    run(
        "skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
        source, "oci:copied:v1",
    )  # fmt: skip

    copied = LayoutTarget(tmp_path / "copied")
    again = MemoryTarget()
    copy_graph(copied, again, index)
    assert again.exists(index)


def test_what_the_tools_push_comes_back(
    reader: BundleServer, writer: BundleServer, run: Run, index: Descriptor
) -> None:
    source = f"{reader.host}/{NAME}:1.27"

    run("crane", "cp", source, f"{writer.host}/by/crane:v1")
    run("oras", "copy", "--from-plain-http", "--to-plain-http", source, f"{writer.host}/by/oras:v1")
    run(
        "skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
        "--dest-tls-verify=false", f"docker://{source}", f"docker://{writer.host}/by/skopeo:v1",
    )  # fmt: skip

    for name in ("crane", "oras", "skopeo"):
        reference = f"{writer.host}/by/{name}:v1"
        assert run("crane", "digest", reference).strip() == index.digest
        assert "PASS" in run("crane", "validate", "--remote", reference)
    assert run("crane", "catalog", writer.host).split() == ["by/crane", "by/oras", "by/skopeo"]


def test_crane_pushes_from_its_files(
    reader: BundleServer, writer: BundleServer, run: Run, index: Descriptor
) -> None:
    run("crane", "pull", "--format=oci", f"{reader.host}/{NAME}:1.27", "pulled")
    run("crane", "push", "--index", "pulled", f"{writer.host}/pushed:v1")

    child = json.loads(run("crane", "manifest", f"{writer.host}/pushed:v1"))["manifests"][0]
    assert child["digest"] == index.digest


def test_oras_attaches_and_discovers(
    reader: BundleServer, writer: BundleServer, run: Run, tmp_path: Path, index: Descriptor
) -> None:
    reference = f"{writer.host}/app:v1"
    run("crane", "cp", f"{reader.host}/{NAME}:1.27", reference)
    (tmp_path / "sbom.json").write_text('{"spdxVersion":"SPDX-2.3"}')

    run(
        "oras", "attach", "--plain-http", "--artifact-type", "application/spdx+json",
        reference, "sbom.json:application/spdx+json",
    )  # fmt: skip
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", reference))
    filtered = json.loads(
        run(
            "oras", "discover", "--plain-http", "--format", "json",
            "--artifact-type", "example/other", reference,
        )
    )  # fmt: skip
    run(
        "oras", "copy", "-r", "--from-plain-http", "--to-plain-http",
        reference, f"{writer.host}/copied:v1",
    )  # fmt: skip

    assert [item["artifactType"] for item in found["referrers"]] == ["application/spdx+json"]
    assert not filtered.get("referrers")
    copied = run(
        "oras",
        "discover",
        "--plain-http",
        "--format",
        "json",
        f"{writer.host}/copied@{index.digest}",
    )
    assert json.loads(copied)["referrers"][0]["digest"] == found["referrers"][0]["digest"]


def test_cosigns_signatures_are_found_in_both_forms(
    reader: BundleServer, run: Run, index: Descriptor
) -> None:
    repositories = MemoryRepositories()
    target = repositories.create("app")
    with BundleServer("127.0.0.1", 0, repositories, writable=True) as server:
        reference = f"{server.host}/app@{index.digest}"
        run("crane", "cp", f"{reader.host}/{NAME}:1.27", f"{server.host}/app:v1")
        run("cosign", "generate-key-pair")
        sign = (
            "cosign", "sign", "--yes", "--key", "cosign.key", "--tlog-upload=false",
            "--use-signing-config=false", "--allow-http-registry",
        )  # fmt: skip
        run(*sign, reference)
        run(*sign, "--new-bundle-format=false", reference)
        verify = (
            "cosign",
            "verify",
            "--key",
            "cosign.pub",
            "--insecure-ignore-tlog",
            "--allow-http-registry",
        )
        assert index.digest in run(*verify, reference)

    found = attachments(target, index)

    assert {(item.kind, item.scheme) for item in found} == {
        ("signature", "tag"),
        ("signature", "referrer"),
    }
    for item in found:
        assert fetch_document(target, item.manifest.descriptor) == item.manifest.raw


def test_helm_installs_from_the_chart_repository(
    run: Run, content: MemoryRepositories, tmp_path: Path
) -> None:
    run("helm", "create", "shop")
    run("helm", "package", "shop")
    (tmp_path / "charts").mkdir()
    (tmp_path / "shop-0.1.0.tgz").rename(tmp_path / "charts" / "shop-0.1.0.tgz")
    run("helm", "repo", "index", "charts")
    files = {path.name: path.read_bytes() for path in (tmp_path / "charts").iterdir()}

    with BundleServer("127.0.0.1", 0, content, MemoryHelm(files)) as server:
        run("helm", "pull", "shop", "--repo", f"{server.url}/charts", "--version", "0.1.0")
        rendered = run("helm", "template", "shop", "--repo", f"{server.url}/charts")

    assert (tmp_path / "shop-0.1.0.tgz").read_bytes() == files["shop-0.1.0.tgz"]
    assert "kind: Deployment" in rendered


def test_helm_pulls_a_chart_as_an_artifact(run: Run, writer: BundleServer, tmp_path: Path) -> None:
    run("helm", "create", "shop")
    run("helm", "package", "shop")
    run("helm", "push", "--plain-http", "shop-0.1.0.tgz", f"oci://{writer.host}/charts")
    pushed = (tmp_path / "shop-0.1.0.tgz").read_bytes()
    (tmp_path / "shop-0.1.0.tgz").unlink()

    run("helm", "pull", "--plain-http", f"oci://{writer.host}/charts/shop", "--version", "0.1.0")

    assert (tmp_path / "shop-0.1.0.tgz").read_bytes() == pushed


def test_containerd_pulls_through_the_mirror(
    reader: BundleServer, containerd: Containerd, tmp_path: Path, index: Descriptor
) -> None:
    folder = tmp_path / "hosts" / "cgr.dev"
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(
        'server = "https://unreachable.invalid"\n'
        f'[host."{reader.url}"]\n  capabilities = ["pull", "resolve"]\n'
    )

    for reference in (f"{FULL_NAME}@{index.digest}", f"{FULL_NAME}:1.27"):
        containerd.ctr(
            "images", "pull", "--hosts-dir", tmp_path / "hosts", "--all-platforms",
            "--snapshotter", "native", reference, namespace="serve",
        )  # fmt: skip
        listed = containerd.ctr("images", "ls", f"name=={reference}", namespace="serve").stdout
        assert re.search(rf"{re.escape(reference)}\s+\S+\s+{index.digest}", listed)
