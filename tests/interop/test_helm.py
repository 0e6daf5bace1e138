import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from petra.content.digest import Digest
from petra.errors import NotFoundError
from petra.helm.documents import load_documents
from petra.helm.index import repository_index
from petra.helm.repository import ChartSource, ResolvedChart
from petra.helm.template import KUBE_VERSION, render_chart, rendered_images
from petra.oci.registry import RegistryClient
from tests.support.chart_server import Page, running_chart_server
from tests.support.charts import chart, chart_files
from tests.support.docker_registry import DockerRegistry
from tests.support.real_charts import real_chart

Helm = Callable[..., str]

WHEN = datetime(2026, 11, 1, tzinfo=UTC)
REAL = ["cilium-1.16.5.tgz", "cilium-1.16.6.tgz", "tetragon-1.3.0.tgz"]


@pytest.fixture
def program(tools: Callable[[str], Path]) -> Path:
    return tools("helm")


@pytest.fixture
def helm(program: Path, tmp_path: Path) -> Helm:
    """Run the real helm with a home of its own, in the test's folder."""
    environment = {"HOME": str(tmp_path / "home"), "PATH": os.defpath}

    def run(*arguments: str | Path) -> str:
        command = [str(program), *map(str, arguments)]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return run


def _resolve(name: str, repo: str, version: str) -> ResolvedChart:
    with RegistryClient(environ={}) as client:
        return ChartSource.of(client).resolve(name, repo, version)


@pytest.mark.parametrize("name", REAL)
def test_helm_pulls_and_renders_published_charts_by_our_index(
    name: str, helm: Helm, tmp_path: Path
) -> None:
    path = real_chart(name)
    chart_name, version = path.stem.rsplit("-", 1)
    found = _resolve(chart_name, str(path.parent), version)
    pages: dict[str, bytes | Page] = {
        "/charts/index.yaml": repository_index([found], WHEN),
        f"/charts/{found.file_name}": found.data,
    }
    with running_chart_server(pages) as server:
        helm("repo", "add", "bundle", f"{server.url}/charts")
        listed = helm("search", "repo", "bundle/", "--versions")
        helm("pull", f"bundle/{chart_name}", "--version", version)
        wanted = ("--version", version, "--kube-version", KUBE_VERSION)
        rendered = helm("template", "rel", f"bundle/{chart_name}", *wanted)

    assert re.search(rf"bundle/{chart_name}\s+{re.escape(version)}", listed)
    assert (tmp_path / name).read_bytes() == path.read_bytes()
    assert "kind: DaemonSet" in rendered


def test_helm_sees_all_versions_and_what_charts_say_of_themselves(
    helm: Helm, tmp_path: Path
) -> None:
    folder = tmp_path / "charts"
    folder.mkdir()
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1+build.5"):
        data = chart("app", version, appVersion="1.10", description='yes: it\'s "odd"\nand long')
        (folder / f"app-{version}.tgz").write_bytes(data)
    found = [
        _resolve("app", str(folder), version)
        for version in ("1.9.0", "1.10.0", "2.0.0-rc.1+build.5")
    ]
    pages: dict[str, bytes | Page] = {f"/{item.file_name}": item.data for item in found}
    pages["/index.yaml"] = repository_index(found, WHEN)
    with running_chart_server(pages) as server:
        helm("repo", "add", "bundle", server.url)
        listed = helm("search", "repo", "bundle/app", "--versions", "--devel", "--output", "yaml")
        helm("pull", "bundle/app", "--version", "2.0.0-rc.1+build.5")

    versions = [item["version"] for item in load_documents(listed.encode(), where="search")[0]]
    assert versions == ["2.0.0-rc.1+build.5", "1.10.0", "1.9.0"]
    assert (tmp_path / "app-2.0.0-rc.1+build.5.tgz").read_bytes() == found[2].data


def test_we_read_the_index_that_helm_writes(helm: Helm, tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    folder.mkdir()
    for name in REAL:
        (folder / name).write_bytes(real_chart(name).read_bytes())
    helm("repo", "index", folder, "--url", "https://charts.example/stable")
    index = (folder / "index.yaml").read_bytes().replace(b"https://charts.example/stable/", b"")
    pages: dict[str, bytes | Page] = {f"/{name}": (folder / name).read_bytes() for name in REAL}
    with running_chart_server(pages | {"/index.yaml": index}) as server:
        for name in REAL:
            chart_name, version = name.removesuffix(".tgz").rsplit("-", 1)
            found = _resolve(chart_name, server.url, version)
            assert (found.file_name, found.digest_source) == (name, "index")


def test_a_chart_that_helm_packages_and_pushes_is_found_in_the_registry(
    helm: Helm, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    for path, content in chart_files("app", "1.2.3+build.5").items():
        file = tmp_path / "source" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    helm("package", tmp_path / "source" / "app")
    packaged = tmp_path / "app-1.2.3+build.5.tgz"
    repo = f"oci://{docker_registry.host}/team/charts"
    said = helm("push", packaged, repo, "--plain-http")

    found = _resolve("app", repo, "1.2.3+build.5")

    assert found.data == packaged.read_bytes()
    assert found.digest == Digest.of(packaged.read_bytes())
    assert f"Digest: {found.manifest_digest}" in said
    assert found.provenance is None
    with pytest.raises(NotFoundError):
        _resolve("app", repo, "1.2.4")


def test_dependencies_that_helm_packs_are_seen_inside(helm: Helm, tmp_path: Path) -> None:
    dependency = {"name": "sub", "version": "0.1.0", "repository": "file://../sub"}
    sources = chart_files("app", "1.2.3", dependencies=[dependency]) | chart_files("sub", "0.1.0")
    for path, content in sources.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    helm("dependency", "build", "app")
    helm("package", "app")

    found = _resolve("app", str(tmp_path), "1.2.3")

    assert [item.name for item in found.info.walk()] == ["app", "sub"]


@pytest.mark.parametrize(
    ("name", "images"),
    [
        (
            "cilium-1.16.5.tgz",
            ["quay.io/cilium/cilium:v1.16.5", "quay.io/cilium/operator-generic:v1.16.5"],
        ),
        (
            "tetragon-1.3.0.tgz",
            ["quay.io/cilium/tetragon-operator:v1.3.0", "quay.io/cilium/tetragon:v1.3.0"],
        ),
    ],
)
def test_the_images_of_published_charts_are_found_by_rendering(
    name: str, images: list[str], program: Path
) -> None:
    found = rendered_images(real_chart(name), helm=program, namespace="kube-system")

    names = {image.reference.partition("@")[0] for image in found.images}
    assert set(images) <= names
    assert found.unreadable == ()
    assert {image.source for image in found.images} == {"rendered"}


def test_values_change_what_is_rendered(program: Path) -> None:
    data = real_chart("cilium-1.16.5.tgz").read_bytes()
    values = {"hubble": {"relay": {"enabled": True}}, "envoy": {"enabled": False}}

    plain = {image.reference for image in rendered_images(data, helm=program).images}
    other = {image.reference for image in rendered_images(data, helm=program, values=values).images}

    assert any("hubble-relay" in text for text in other - plain)
    assert any("cilium-envoy" in text for text in plain - other)


def test_tests_of_a_chart_are_not_rendered(program: Path) -> None:
    test = b"kind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n"
    data = chart(more={"templates/tests/t.yaml": test})

    assert b"name: t" not in render_chart(data, helm=program)
