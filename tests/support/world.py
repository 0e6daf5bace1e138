"""A connected side for tests: a registry with signed images, charts over HTTP, keys and a spec."""

from __future__ import annotations

import json
import random
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from demo import content
from petra.content.descriptor import Descriptor, Platform
from petra.content.digest import Digest
from petra.encoding.yaml import dump_yaml
from petra.oci import media_types
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from petra.trust.signer import LocalSigner
from tests.support import signing
from tests.support.chart_server import ChartServer, Page, running_chart_server
from tests.support.charts import chart
from tests.support.graphs import push_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from petra.oci.memory import MemoryTarget

#: Whose key signs what: images, bundles; and one that nobody trusts.
VENDOR, OURS, STRANGER = "vendor", "ours", "stranger"

WEB, WORKER, LEGACY = "team/web:1.4", "team/worker:1.4", "team/legacy:1.0"
SIGNED = (WEB, WORKER, LEGACY)
UNSIGNED, FOREIGN = "team/unsigned:1.0", "team/foreign:1.0"
NAME = "shop-1.4.0"

AMD64, ARM64 = content.AMD64, content.ARM64
ARM7 = Platform("linux", "arm", "v7")


@dataclass
class World:
    """The connected side, and a folder for what petra makes of it.

    Attributes:
        folder: the working directory; ``vendor.pub``, ``ours.key`` and ``ours.pub`` lie there.
        host: the registry, HOST:PORT.
        registry: its content, to add to and take from.
        charts: the chart repository; chart ``app`` 1.2.3 is at its ``url``.
        images: by repository and tag.
    """

    folder: Path
    host: str
    registry: MemoryRepositories
    charts: ChartServer
    images: dict[str, Descriptor] = field(default_factory=dict)

    @property
    def dist(self) -> Path:
        """Where bundles are written, unless something else is said."""
        return self.folder / "dist"

    @property
    def bundle(self) -> Path:
        """The bundle that `spec` describes."""
        return self.dist / f"{NAME}.tar.zst"

    def reference(self, image: str, host: str | None = None) -> str:
        """Return the full reference of an image, at another registry if given."""
        return f"{host or self.host}/{image}"

    def entries(self, images: Sequence[str], host: str | None = None) -> list[dict[str, Any]]:
        """Return `images` as ``spec.images`` has them, each with a name of its own."""
        names = [image.partition("@")[0].partition(":")[0].rpartition("/")[2] for image in images]
        return [
            {
                "name": name if names.count(name) == 1 else f"{name}-{number}",
                "image": self.reference(image, host),
            }
            for number, (name, image) in enumerate(zip(names, images, strict=True))
        ]

    def chart(self, name: str = "app", version: str = "1.2.3", **more: Any) -> dict[str, Any]:
        """Return a chart as ``spec.charts`` has it."""
        return {"name": name, "repo": f"{self.charts.url}/charts", "version": version, **more}

    def spec(
        self,
        *images: str,
        host: str | None = None,
        file: str = "bundle.yaml",
        version: str = "1.4.0",
        **more: Any,
    ) -> Path:
        """Write a spec with these images; `more` are further fields of ``spec``."""
        spec = {"images": self.entries(images, host), "verify": {"key": "vendor.pub"}, **more}
        document = {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "shop", "version": version},
            "spec": {name: value for name, value in spec.items() if value is not None},
        }
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump_yaml(document))
        return path

    def policy(self, *rules: Mapping[str, Any], file: str = "policy.yaml", **more: Any) -> Path:
        """Write a policy with these rules for images; `more` are further fields of ``spec``.

        It asks for no scan, unless `more` says so; a field that is None is left out.
        """
        spec = {"images": list(rules), "scan": {"skip": "not asked for here"}, **more}
        document = {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Policy",
            "metadata": {"name": "platform"},
            "spec": {name: value for name, value in spec.items() if value is not None},
        }
        path = self.folder / file
        path.write_bytes(dump_yaml(document))
        return path

    def rule(self, pattern: str, **verify: Any) -> dict[str, Any]:
        """Return a rule for the images of the registry whose repository matches."""
        return {"pattern": self.reference(pattern), "verify": verify}

    def repository(self, name: str) -> MemoryTarget:
        """Return a repository's content, to change it."""
        return self.registry.create(name.partition(":")[0])

    def add_chart(self, name: str, version: str, data: bytes, *, digest: str | None = None) -> None:
        """Publish a chart, under another digest than its own if given."""
        self._charts[name, version] = digest or Digest.of(data).hex
        self.charts.pages[f"/charts/{name}-{version}.tgz"] = Page(data)
        entries: dict[str, list[dict[str, Any]]] = {}
        for (each, number), hex_digest in self._charts.items():
            entry = {"version": number, "urls": [f"{each}-{number}.tgz"], "digest": hex_digest}
            entries.setdefault(each, []).append({"name": each, **entry})
        index = {"apiVersion": "v1", "entries": entries}
        self.charts.pages["/charts/index.yaml"] = Page(json.dumps(index).encode())

    _charts: dict[tuple[str, str], str] = field(default_factory=dict)


class Hosts:
    """The servers of a connected side, which one test after the other may fill.

    Args:
        server: the registry.
        content: what it serves.
        charts: the chart repository.
    """

    def __init__(self, server: BundleServer, content: _Switch, charts: ChartServer) -> None:
        self._server = server
        self._content = content
        self._charts = charts

    def fill(self, folder: Path) -> World:
        """Forget what there was, and return a new connected side; its keys lie in `folder`."""
        self._content.current = registry = MemoryRepositories()
        self._charts.pages.clear()
        self._charts.requests.clear()
        world = World(folder, self._server.host, registry, self._charts)
        _write_keys(folder)
        _fill(world)
        world.add_chart("app", "1.2.3", chart(appVersion="2.0"))
        return world


class _Switch:
    """Repositories of which others can take the place while they are served."""

    def __init__(self) -> None:
        self.current = MemoryRepositories()

    def names(self) -> list[str]:
        return self.current.names()

    def get(self, name: str) -> MemoryTarget | None:
        return self.current.get(name)

    def create(self, name: str) -> MemoryTarget:
        return self.current.create(name)

    def tags(self, name: str) -> list[str]:
        return self.current.tags(name)


@contextmanager
def running_hosts() -> Iterator[Hosts]:
    """Run a registry and a chart repository until the block ends."""
    content = _Switch()
    with (
        BundleServer("127.0.0.1", 0, content, writable=True) as server,
        running_chart_server() as charts,
    ):
        yield Hosts(server, content, charts)


@contextmanager
def connected_side(folder: Path) -> Iterator[World]:
    """Run a registry and a chart repository that are filled; keys lie in `folder`."""
    with running_hosts() as hosts:
        yield hosts.fill(folder)


def _write_keys(folder: Path) -> None:
    for name in (VENDOR, OURS, STRANGER):
        private = signing.key(name)
        (folder / f"{name}.key").write_bytes(signing.pem(private))
        (folder / f"{name}.pub").write_bytes(signing.public(private).pem)


def signer(name: str) -> LocalSigner:
    """Return who signs with the key of that name."""
    return LocalSigner(signing.petra_key(name))


def layer(text: str, size: int = 3000) -> content.Layer:
    """Return a layer of one file, whose bytes follow from `text` and do not compress."""
    return content.Layer.of({f"srv/{text}": random.Random(text).randbytes(size)})  # noqa: S311


BASE = layer("base", 20_000)


def _fill(world: World) -> None:
    """Push five images: three signed, in three ways and three shapes; one not; one by another."""
    web, worker = world.repository(WEB), world.repository(WORKER)
    children = [
        replace(content.push_image(web, [BASE, layer(f"web {one}")], one), platform=one)
        for one in (AMD64, ARM64, ARM7)
    ]
    index = push_document(
        web, media_types.OCI_INDEX, {"manifests": [child.to_json() for child in children]}
    )
    content.sign_by_tag(web, index, world.reference("team/web"), signer(VENDOR))
    image = content.push_image(worker, [BASE, layer("worker", 40_000)])
    content.sign_by_referrer(worker, image, signer(VENDOR))
    content.attach_sbom(worker, image, "worker")
    legacy = push_docker_image(world.repository(LEGACY))
    content.sign_by_tag(
        world.repository(LEGACY), legacy, world.reference("team/legacy"), signer(VENDOR)
    )
    unsigned = content.push_image(world.repository(UNSIGNED), [BASE, layer("unsigned")])
    foreign = content.push_image(world.repository(FOREIGN), [BASE, layer("foreign")])
    content.sign_by_referrer(world.repository(FOREIGN), foreign, signer(STRANGER))
    for name, found in zip(
        (*SIGNED, UNSIGNED, FOREIGN), (index, image, legacy, unsigned, foreign), strict=True
    ):
        world.repository(name).tag(found, name.partition(":")[2])
        world.images[name] = found


def push_docker_image(target: MemoryTarget) -> Descriptor:
    """Push an image in Docker's own media types, for linux/amd64."""
    layers = [BASE, layer("legacy")]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
    }
    return content.push_document(
        target,
        media_types.DOCKER_MANIFEST,
        config=content.push(
            target, media_types.DOCKER_CONFIG, json.dumps(config).encode()
        ).to_json(),
        layers=[
            content.push(target, media_types.DOCKER_LAYER_GZIP, one.data).to_json()
            for one in layers
        ],
    )


def layers_of(world: World, image: str) -> list[Descriptor]:
    """Return the layers of an image for one platform."""
    target = world.repository(image)
    with target.fetch(world.images[image]) as stream:
        manifest: Mapping[str, Any] = json.loads(stream.read())
    return [
        Descriptor(one["mediaType"], Digest(one["digest"]), one["size"])
        for one in manifest["layers"]
    ]
