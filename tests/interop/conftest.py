"""The real peers: tools, registries and a container runtime, and a count of what ran on them."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.containerd import Containerd, running_containerd
from tests.support.docker_registry import DockerRegistry, running_registry
from tests.support.kubernetes import KubernetesApi, flux_definitions, running_kubernetes
from tests.support.processes import Server
from tests.support.site import Site, running_site
from tests.support.tools import Toolbox, ToolMissingError, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_HERE = Path(__file__).parent
#: The tools behind fixtures that live longer than one test.
_BEHIND = {
    "docker_registry": ("docker-registry",),
    "module_docker_registry": ("docker-registry",),
    "containerd": ("containerd", "ctr"),
    "site": ("docker-registry", "cosign"),
    "referrers_registry": ("referrers-registry",),
    "kubernetes_api": ("etcd", "apiextensions-apiserver"),
}


class _Ledger:
    """Which tests used which tools, and how the tests ended."""

    def __init__(self) -> None:
        self.toolbox = Toolbox()
        self.current = ""
        self.uses: dict[str, set[str]] = {}
        self.ran: set[str] = set()
        self.skipped: set[str] = set()
        self.notes: list[str] = []

    def find(self, name: str) -> Path:
        try:
            path = self.toolbox.find(name)
        except ToolMissingError as error:
            if self.toolbox.strict:
                pytest.fail(f"CI must have every tool. {error}", pytrace=False)
            pytest.skip(str(error))
        self.uses.setdefault(name, set()).add(self.current)
        return path


_LEDGER = _Ledger()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _LEDGER.current = item.nodeid
    result = yield
    for fixture in getattr(item, "fixturenames", ()):
        for name in _BEHIND.get(fixture, ()):
            _LEDGER.uses.setdefault(name, set()).add(item.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _HERE not in item.path.parents:
        return report
    if report.skipped:
        _LEDGER.skipped.add(item.nodeid)
    elif report.when == "call":
        _LEDGER.ran.add(item.nodeid)
        _LEDGER.notes += [str(value) for key, value in item.user_properties if key == "peer-note"]
    if report.failed:
        report.sections += [(f"log of {server.name}", server.tail()) for server in Server.running]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _LEDGER.ran and not _LEDGER.skipped:
        return
    terminalreporter.section("real peers")
    for name in sorted(_LEDGER.uses):
        count = len(_LEDGER.uses[name] & _LEDGER.ran)
        path = _LEDGER.toolbox.found.get(name)
        if path and count:
            terminalreporter.write_line(f"{count:4} tests  {name} {version_of(path)}")
    for note in _LEDGER.notes:
        terminalreporter.write_line(note)
    terminalreporter.write_line(
        f"{len(_LEDGER.ran):4} interop tests ran, {len(_LEDGER.skipped)} skipped"
    )


@pytest.fixture(scope="session")
def tools() -> Callable[[str], Path]:
    """`tools("crane")` is crane's path; a missing tool skips the test, and fails it in CI."""
    return _LEDGER.find


@pytest.fixture
def docker_registry(tools: Callable[[str], Path], tmp_path: Path) -> Iterator[DockerRegistry]:
    """A real registry on loopback, empty, for one test."""
    with running_registry(tools("docker-registry"), tmp_path / "docker-registry") as registry:
        yield registry


@pytest.fixture(scope="module")
def module_docker_registry(
    tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerRegistry]:
    """A real registry on loopback that the tests of one file share."""
    folder = tmp_path_factory.mktemp("docker-registry")
    with running_registry(tools("docker-registry"), folder) as registry:
        yield registry


@pytest.fixture(scope="session")
def containerd(tools: Callable[[str], Path]) -> Iterator[Containerd]:
    """A real containerd with a root, state and socket of its own."""
    programs = tools("containerd"), tools("ctr")
    if os.geteuid() != 0:
        pytest.skip("containerd needs root")
    # Not pytest's own folder: a socket's path must be shorter than 108 bytes.
    folder = Path(tempfile.mkdtemp(prefix="petra-ctrd-"))
    try:
        with running_containerd(*programs, folder) as daemon:
            yield daemon
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kubernetes_api(
    tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubernetesApi]:
    """A real Kubernetes API server with Flux's definitions, one for the whole run."""
    programs = tools("etcd"), tools("apiextensions-apiserver")
    with running_kubernetes(*programs, tmp_path_factory.mktemp("kubernetes")) as api:
        api.define(flux_definitions()[1])
        for server in Server.running:
            if server.name == "apiextensions-apiserver":
                for resource in api.resources.values():
                    server.wait_for(functools.partial(api.served, resource))
        yield api


@pytest.fixture
def kubernetes_namespace(request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    return f"test-{digest[:16]}"


@pytest.fixture(scope="session")
def site(tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A connected side of real peers, one for the whole run."""
    folder = tmp_path_factory.mktemp("site")
    with (
        running_registry(tools("docker-registry"), folder / "docker-registry") as registry,
        running_site(registry.host, tools, folder) as site,
    ):
        yield site


@pytest.fixture(scope="session")
def bundle(site: Site) -> Path:
    """The bundle of that site, signed."""
    return site.create()


@pytest.fixture
def served(site: Site, bundle: Path) -> Iterator[str]:
    """HOST:PORT of the bundle, served by the command."""
    with site.petra.serving(bundle, site.folder / "cosign.pub") as host:
        yield host
