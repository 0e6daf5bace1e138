"""One small signed bundle for all tests of loads, and registries to load it into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from demo import content as made
from petra.load.image_registry import RegistryDestination
from petra.load.places import Place
from petra.oci.registry import RegistryClient, RegistryOptions
from petra.oci.retry import RetryPolicy
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from tests.support.front import Front, front_of
from tests.support.loading import opened_bundle
from tests.support.petra_process import Petra
from tests.support.world import (
    AMD64,
    BASE,
    LEGACY,
    SIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    connected_side,
    signer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from petra.load.destination import OpenBundle

PREFIX = "mirror/apps"


@dataclass(frozen=True)
class Bundles:
    """Bundles on disk, and the connected side that they were made from.

    Attributes:
        world: as it was; its servers are gone.
        whole: three images: an index with a signature by tag; an image with a signature and an
            SBOM as referrers; an image in Docker's types.
        sparse: the index, for one of its three platforms.
        newer: the second and the third image, and one more that shares their base.
        tiny: as little as has all: an index, both kinds of signatures, a shared blob.
    """

    world: World
    whole: Path
    sparse: Path
    newer: Path
    tiny: Path

    def open(self, path: Path) -> Any:
        """Verify one and give it, held open."""
        return opened_bundle(path, self.world.folder / "ours.pub")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")
    with connected_side(folder) as world:
        petra = Petra(folder)

        def create(version: str, *images: str, **more: Any) -> Path:
            spec = world.spec(*images, version=version, **more)
            petra.run("bundle", "create", "-f", spec, "--key", "ours.key")
            return world.dist / f"shop-{version}.tar.zst"

        whole = create("1.4.0", *SIGNED)
        sparse = create("1.4.1", WEB, platforms=["linux/amd64"])
        newer = create("1.5.0", LEGACY, WORKER, "team/unsigned:1.0", output={"verify": False})
        _push_tiny(world)
        tiny = create("0.1.0", "tiny/one:1", "tiny/two:1")
    return Bundles(world, whole, sparse, newer, tiny)


def _push_tiny(world: World) -> None:
    one, two = world.repository("tiny/one"), world.repository("tiny/two")
    image = made.push_image(one, [BASE])
    index = made.push_index(one, {AMD64: image})
    one.tag(index, "1")
    made.sign_by_tag(one, index, world.reference("tiny/one"), signer(VENDOR))
    two.tag(made.push_image(two, [BASE]), "1")
    made.sign_by_referrer(two, image, signer(VENDOR))
    made.attach_sbom(two, image, "two")


@pytest.fixture
def bundle(bundles: Bundles) -> Iterator[OpenBundle]:
    with bundles.open(bundles.whole) as opened:
        yield opened


@pytest.fixture
def sparse(bundles: Bundles) -> Iterator[OpenBundle]:
    with bundles.open(bundles.sparse) as opened:
        yield opened


@pytest.fixture
def tiny(bundles: Bundles) -> Iterator[OpenBundle]:
    with bundles.open(bundles.tiny) as opened:
        yield opened


@dataclass
class Target:
    """A registry to load into.

    Attributes:
        content: what it holds.
        front: stands before it, and misbehaves where the test says so.
    """

    content: MemoryRepositories
    front: Front

    @property
    def uri(self) -> str:
        return f"registry://{self.front.host}/{PREFIX}"

    def destination(
        self, bundle: OpenBundle, *, retries: int = 2, chunk_size: int = 0, **options: Any
    ) -> RegistryDestination:
        """Return the destination; its client does not wait between tries."""
        reached = RegistryOptions(retries=retries, timeout=10, chunk_size=chunk_size)
        policy = RetryPolicy(sleep=lambda _: None)
        return RegistryDestination(
            self.uri,
            Place.parse(self.uri),
            bundle,
            lambda: RegistryClient(reached, retry=policy, environ={}),
            **options,
        )


@pytest.fixture
def target() -> Iterator[Target]:
    """An empty registry."""
    repositories = MemoryRepositories()
    with (
        BundleServer("127.0.0.1", 0, repositories, writable=True) as server,
        front_of(server.host) as front,
    ):
        yield Target(repositories, front)


@pytest.fixture
def content() -> MemoryRepositories:
    """What the registry holds."""
    return MemoryRepositories()


@pytest.fixture
def registry(content: MemoryRepositories) -> Iterator[str]:
    """HOST:PORT of an empty registry that takes what is pushed."""
    with BundleServer("127.0.0.1", 0, content, writable=True) as server:
        yield server.host


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    """A client of registries."""
    with RegistryClient(environ={}) as client:
        yield client
