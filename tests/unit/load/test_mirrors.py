"""Mirror rules, against what k3s and containerd document of them."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import yaml

from petra.load.mirrors import (
    Mirror,
    hosts_toml,
    how_to_use,
    mirror_files,
    registries_yaml,
    write_mirror_config,
)

if TYPE_CHECKING:
    from pathlib import Path

CGR = Mirror("cgr.dev", "https://reg.internal:5000", "apps/mirror")
HUB = Mirror("docker.io", "https://reg.internal:5000", "apps/mirror")
BARE = Mirror("cgr.dev", "http://reg.internal")


def k3s_pulls(document: bytes, registry: str, repository: str) -> str:
    """Return where k3s pulls from, as its documentation has it.

    The expressions are Go's; ``$1`` is Python's ``\\1``. The first endpoint is tried first.
    """
    mirror = yaml.safe_load(document)["mirrors"][registry]
    for pattern, replacement in mirror.get("rewrite", {}).items():
        repository = re.sub(pattern, replacement.replace("$1", r"\1"), repository, count=1)
    return f"{mirror['endpoint'][0]}/v2/{repository}"


def containerd_pulls(document: bytes, repository: str) -> str:
    """Return where containerd pulls from: with `override_path` the path has its ``/v2`` already."""
    root = tomllib.loads(document.decode())
    ((url, host),) = root["host"].items()
    # The server comes last, and must not be the one outside.
    assert root["server"] == url
    for one in (root, host):
        assert one["override_path"] is True
        assert set(one["capabilities"]) == {"pull", "resolve"}
    return f"{url}/{repository}"


def test_k3s_finds_each_registrys_images_below_the_prefix() -> None:
    document = registries_yaml([CGR, HUB])

    assert k3s_pulls(document, "cgr.dev", "team/web") == (
        "https://reg.internal:5000/v2/apps/mirror/team/web"
    )
    assert k3s_pulls(document, "docker.io", "library/nginx") == (
        "https://reg.internal:5000/v2/apps/mirror/library/nginx"
    )


def test_without_a_prefix_nothing_is_rewritten() -> None:
    assert "rewrite" not in registries_yaml([BARE]).decode()
    assert k3s_pulls(registries_yaml([BARE]), "cgr.dev", "team/web") == (
        "http://reg.internal/v2/team/web"
    )


def test_containerd_finds_them_in_the_same_place() -> None:
    for mirror in (CGR, HUB, BARE):
        assert containerd_pulls(hosts_toml(mirror), "team/web") == k3s_pulls(
            registries_yaml([mirror]), mirror.source, "team/web"
        )


def test_the_folders_are_those_that_containerd_looks_in() -> None:
    local = Mirror("localhost:5000", "https://reg.internal")

    assert [*mirror_files([CGR, local])] == [
        "registries.yaml",
        "certs.d/cgr.dev/hosts.toml",
        "certs.d/localhost_5000_/hosts.toml",
    ]


def test_the_files_are_written_and_replaced(tmp_path: Path) -> None:
    write_mirror_config(tmp_path / "new", [BARE])

    written = write_mirror_config(tmp_path / "new", [CGR])

    assert [path.read_bytes() for path in written] == [registries_yaml([CGR]), hosts_toml(CGR)]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["certs.d", "registries.yaml"]
    assert all(str(tmp_path / "new") in line for line in how_to_use(tmp_path / "new"))
