"""A disconnected side for tests: a registry that is empty, and a bundle to load into it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from tests.support.charts import chart
from tests.support.world import WEB, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.content.digest import Digest
    from tests.support.command import Outcome, Run

#: What the sender of these bundles skipped: nothing scans images here.
SKIPPED = "scan"


@dataclass
class There:
    """A disconnected side: an empty registry, and a ledger.

    Attributes:
        host: what to load to; the registry, unless a test puts something before it.
        content: what the registry holds.
        folder: takes the ledger and whatever else is written.
        petra: runs the command line.
        requests: what the registry was asked, ``METHOD PATH`` each.
    """

    host: str
    content: MemoryRepositories
    folder: Path
    petra: Run
    requests: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """The ledger's folder."""
        return self.folder / "ledger"

    def places(self) -> tuple[str | Path, ...]:
        """Return the options that name every destination, all in the registry."""
        return (
            *("--images-to", f"registry://{self.host}/mirror"),
            *("--charts-to", f"oci://{self.host}/charts"),
            *("--manifests-to", f"oci://{self.host}/platform"),
        )

    def options(self) -> tuple[str | Path, ...]:
        """Return the options of every load here, but for the destinations."""
        return (
            *("--key", "ours.pub", "--sign-key", "ours.key", "--ledger", self.ledger),
            *("--allow-skipped", SKIPPED),
        )

    def load(self, file: Path, *more: str | Path) -> Outcome:
        """Load a bundle into the registry."""
        return self.petra("bundle", "load", "-f", file, *self.options(), *self.places(), *more)

    def tags(self) -> dict[str, dict[str, Digest]]:
        """Return what each tag of each repository stands for."""
        found = {name: self.content.create(name) for name in self.content.names()}
        return {
            name: {tag: target.resolve(tag).digest for tag in target.tags()}
            for name, target in found.items()
        }


@contextmanager
def disconnected_side(folder: Path, petra: Run) -> Iterator[There]:
    """Run an empty registry until the block ends."""
    content = MemoryRepositories()
    requests: list[str] = []
    with BundleServer(
        "127.0.0.1",
        0,
        content,
        writable=True,
        report=lambda access: requests.append(" ".join(str(access).split()[1:3])),
    ) as server:
        yield There(server.host, content, folder, petra, requests)


@dataclass
class Bundles:
    """Makes bundles on the connected side, each with an image, a chart and manifests.

    Attributes:
        world: the connected side.
        petra: runs the command line.
    """

    world: World
    petra: Run

    def make(self, serial: int = 4, *, images: tuple[str, ...] = (WEB,)) -> Path:
        """Make a bundle of version 1.SERIAL.0 and return its file."""
        version = f"1.{serial}.0"
        name = self.world.reference(images[0])
        values = f"image: {name}\n".encode()
        notes = {"artifacthub.io/images": yaml.safe_dump([{"name": "app", "image": name}])}
        data = chart("app", version, {"values.yaml": values}, annotations=notes)
        self.world.add_chart("app", version, data)
        folder = self.world.folder / f"manifests-{version}" / "base"
        folder.mkdir(parents=True, exist_ok=True)
        documents = (_source(self.world), _release(version))
        (folder / "app.yaml").write_text(yaml.safe_dump_all(documents))
        spec = self.world.spec(
            *images,
            version=version,
            file=f"{version}.yaml",
            platform={"includeBase": True, "path": folder.parent.name},
        )
        document = yaml.safe_load(spec.read_text())
        document["spec"]["serial"] = serial
        spec.write_text(yaml.safe_dump(document))
        made = self.petra("bundle", "create", "-f", spec, "--key", "ours.key")
        assert made.status == 0, made.err
        return self.world.dist / f"shop-{version}.tar.zst"


def _source(world: World) -> dict[str, Any]:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "HelmRepository",
        "metadata": {"name": "charts", "namespace": "flux-system"},
        "spec": {"interval": "1h", "url": f"{world.charts.url}/charts"},
    }


def _release(version: str) -> dict[str, Any]:
    source = {"kind": "HelmRepository", "name": "charts"}
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "app", "namespace": "flux-system"},
        "spec": {
            "interval": "1h",
            "chart": {"spec": {"chart": "app", "version": version, "sourceRef": source}},
        },
    }
