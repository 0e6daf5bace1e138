from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.command import Outcome, Run, runner
from tests.support.front import Front, front_of
from tests.support.sites import Bundles, There, disconnected_side
from tests.support.world import Hosts, World, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty home, no settings, a working directory of its own, and signals as they were."""
    for name in os.environ:
        if name.startswith(("PETRA_", "COSIGN_", "DOCKER_")) or name == "SOURCE_DATE_EPOCH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    for tool in ("HELM", "GRYPE", "SYFT"):  # the same with and without them on the machine
        monkeypatch.setenv(f"PETRA_{tool}", "")
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def petra(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""
    return runner(capsys)


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    """Servers that one test after the other fills: to end them takes a moment."""
    with running_hosts() as running:
        yield running


@pytest.fixture
def world(hosts: Hosts, tmp_path: Path) -> World:
    """A connected side for each test, which may change it."""
    return hosts.fill(tmp_path)


@pytest.fixture
def create(petra: Run) -> Run:
    """Run ``petra bundle create`` with the spec and the key that lie in the folder."""

    def run(*more: str | Path) -> Outcome:
        return petra("bundle", "create", "-f", "bundle.yaml", "--key", "ours.key", *more)

    return run


@pytest.fixture
def front(world: World) -> Iterator[Front]:
    """A registry with the same content, which misbehaves where the test says so."""
    with front_of(world.host) as running:
        yield running


@pytest.fixture
def bundles(world: World, petra: Run) -> Bundles:
    """Makes bundles on the connected side."""
    return Bundles(world, petra)


@pytest.fixture
def there(petra: Run, tmp_path: Path) -> Iterator[There]:
    """A disconnected side, empty."""
    with disconnected_side(tmp_path, petra) as site:
        yield site
