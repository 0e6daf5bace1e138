"""The harness itself: the peers start, answer and know each other's images."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.tools import ALL_TOOLS, Toolbox, ToolMissingError, version_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.containerd import Containerd
    from tests.support.docker_registry import DockerRegistry


@pytest.mark.parametrize("name", ALL_TOOLS)
def test_every_tool_is_there_and_tells_its_version(tools: Callable[[str], Path], name: str) -> None:
    assert version_of(tools(name)) != "unknown version"


def test_cosign_is_version_3(tools: Callable[[str], Path]) -> None:
    assert version_of(tools("cosign")).startswith("v3.")


def test_a_tool_that_is_nowhere_is_named(tmp_path: Path) -> None:
    toolbox = Toolbox({"PATH": str(tmp_path), "HOME": str(tmp_path)}, tmp_path / "no.tar.zst")
    with pytest.raises(ToolMissingError, match=r"^crane: not in PETRA_TOOLS_DIR"):
        toolbox.find("crane")


def test_the_named_folder_comes_before_path(tmp_path: Path) -> None:
    own = tmp_path / "tar"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    environment = {"PETRA_TOOLS_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    assert Toolbox(environment, tmp_path / "no.tar.zst").find("tar") == own


@pytest.mark.parametrize(("value", "strict"), [("true", True), ("", False), ("false", False)])
def test_only_ci_makes_a_missing_tool_a_failure(tmp_path: Path, value: str, strict: object) -> None:
    assert Toolbox({"CI": value}, tmp_path / "no.tar.zst").strict is strict


def test_the_registry_takes_and_gives_an_image(
    tools: Callable[[str], Path], docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    layer = tmp_path / "layer.tar"
    (tmp_path / "hello").write_text("hello\n")
    subprocess.run(["tar", "-C", tmp_path, "-cf", layer, "hello"], check=True)
    name = f"{docker_registry}/app/hello:1"
    crane = tools("crane")
    subprocess.run([crane, "append", "-f", layer, "-t", name], check=True, capture_output=True)
    listed = subprocess.run(
        [crane, "ls", f"{docker_registry.host}/app/hello"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == ["1"]


def test_containerd_pulls_from_the_registry(
    tools: Callable[[str], Path],
    docker_registry: DockerRegistry,
    containerd: Containerd,
    tmp_path: Path,
) -> None:
    layer = tmp_path / "layer.tar"
    (tmp_path / "hello").write_text("hello\n")
    subprocess.run(["tar", "-C", tmp_path, "-cf", layer, "hello"], check=True)
    name = f"{docker_registry}/app/hello:1"
    subprocess.run(
        [tools("crane"), "append", "-f", layer, "-t", name], check=True, capture_output=True
    )
    containerd.ctr(
        "images", "pull", "--plain-http", "--snapshotter", "native", name, namespace="harness"
    )
    assert containerd.ctr("images", "ls", "-q", namespace="harness").stdout.split() == [name]
