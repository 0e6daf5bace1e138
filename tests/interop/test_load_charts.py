"""Loaded charts, as the real helm finds them: in a registry and in a folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from petra.content.progress import NoProgress
from petra.helm.template import KUBE_VERSION
from petra.load.chart_folder import ChartRepositoryFolder
from petra.load.chart_registry import ChartRegistry
from petra.oci.registry import RegistryClient
from tests.support.chart_server import Page, running_chart_server
from tests.support.charts import chart, chart_files
from tests.support.load_bundles import open_bundle
from tests.support.real_charts import real_chart

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_registry import DockerRegistry

Helm: TypeAlias = Callable[..., str]

PLUS = "0.1.0+build.5"


@pytest.fixture
def helm(tools: Callable[[str], Path], tmp_path: Path) -> Helm:
    """Run the real helm with a home of its own, in a folder of its own."""
    program, folder = tools("helm"), tmp_path / "helm"
    folder.mkdir()

    def run(*arguments: str | Path) -> str:
        result = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env={"HOME": str(folder), "PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return run


def test_helm_pulls_and_renders_the_real_cilium_from_the_registry(
    tmp_path: Path, helm: Helm, docker_registry: DockerRegistry
) -> None:
    data = real_chart("cilium-1.16.5.tgz").read_bytes()
    bundle = open_bundle(tmp_path, charts=[data, chart("app", PLUS)])
    with RegistryClient(environ={}) as client:
        url = f"oci://{docker_registry}/charts"
        placed = ChartRegistry(bundle, client, url).load(NoProgress()).placed

    pulled = helm("pull", f"{url}/cilium", "--version", "1.16.5", "--plain-http")
    helm("pull", f"{url}/app", "--version", PLUS, "--plain-http")
    rendered = helm(
        *("template", "cilium", f"{url}/cilium", "--version", "1.16.5", "--plain-http"),
        *("--kube-version", KUBE_VERSION),
    )

    assert f"Digest: {placed[0].digest}" in pulled
    assert (tmp_path / "helm" / "cilium-1.16.5.tgz").read_bytes() == data
    assert (tmp_path / "helm" / f"app-{PLUS}.tgz").read_bytes() == chart("app", PLUS)
    assert "kind: DaemonSet" in rendered


def test_what_helm_pushed_is_present_to_us(
    tmp_path: Path, helm: Helm, docker_registry: DockerRegistry
) -> None:
    for path, content in chart_files("app", "1.2.3").items():
        file = tmp_path / "source" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    helm("package", tmp_path / "source" / "app")
    data = (tmp_path / "helm" / "app-1.2.3.tgz").read_bytes()
    url = f"oci://{docker_registry}/charts"
    pushed = helm("push", "app-1.2.3.tgz", url, "--plain-http")

    with RegistryClient(environ={}) as client:
        charts = ChartRegistry(open_bundle(tmp_path, charts=[data]), client, url)
        (placed,) = charts.load(NoProgress()).placed

    assert not placed.sent
    assert f"Digest: {placed.digest}" in pushed


def test_helm_finds_old_and_new_versions_in_the_folder(tmp_path: Path, helm: Helm) -> None:
    folder = tmp_path / "charts"
    folder.mkdir()
    (folder / "cilium-1.16.6.tgz").write_bytes(real_chart("cilium-1.16.6.tgz").read_bytes())
    helm("repo", "index", folder)  # what was there before is helm's own
    data = real_chart("cilium-1.16.5.tgz").read_bytes()

    ChartRepositoryFolder(open_bundle(tmp_path, charts=[data]), folder).load(NoProgress())

    pages: dict[str, bytes | Page] = {
        f"/{path.name}": path.read_bytes() for path in folder.iterdir()
    }
    with running_chart_server(pages) as server:
        helm("repo", "add", "local", server.url)
        listed = helm("search", "repo", "local/cilium", "--versions")
        for version in ("1.16.5", "1.16.6"):
            helm("pull", "local/cilium", "--version", version)
            pulled = tmp_path / "helm" / f"cilium-{version}.tgz"
            assert pulled.read_bytes() == real_chart(f"cilium-{version}.tgz").read_bytes()
        wanted = ("--version", "1.16.5", "--kube-version", KUBE_VERSION)
        rendered = helm("template", "cilium", "local/cilium", *wanted)

    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["1.16.6", "1.16.5"]
    assert "kind: DaemonSet" in rendered
