"""The pipeline's two sides, each test with empty buckets and tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.pipeline import Pipeline, running_pipeline
from tests.support.world import LEGACY, VENDOR, WEB, WORKER, Hosts, World, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine's, no tools, no home."""
    for name in os.environ:
        if name.startswith(("PETRA_", "AWS_", "DOCKER_", "POWERTOOLS_")):
            monkeypatch.delenv(name)
    for tool in ("HELM", "GRYPE", "SYFT"):
        monkeypatch.setenv(f"PETRA_{tool}", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    with running_hosts() as running:
        yield running


@pytest.fixture
def world(hosts: Hosts, tmp_path: Path) -> World:
    """Registries and charts; its folder is the configuration: a policy, and the keys it names."""
    world = hosts.fill(tmp_path)
    rules = [
        world.rule(name.partition(":")[0], key=f"{VENDOR}.pub") for name in (WEB, WORKER, LEGACY)
    ]
    world.policy(*rules, bundle={"signers": ["sender.pub"]})
    return world


@pytest.fixture
def pipeline(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    with running_pipeline(world, monkeypatch) as running:
        yield running
