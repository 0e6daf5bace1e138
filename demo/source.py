"""The connected side: a registry with signed images, and a chart repository, on loopback."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

from demo import content
from petra.content.digest import Digest
from petra.helm.chart import inspect_chart
from petra.helm.index import repository_index
from petra.serve.helm import MemoryHelm
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from petra.content.descriptor import Descriptor, Platform
    from petra.trust.signer import Signer

CHART_FILE = "shop-1.4.0.tgz"


@dataclass(frozen=True)
class Source:
    """What the connected side has.

    Attributes:
        host: the registry, HOST:PORT.
        charts: the chart repository's URL.
        images: descriptors by repository and tag, ``shop/web:1.4``.
        chart: the chart's bytes.
    """

    host: str
    charts: str
    images: Mapping[str, Descriptor]
    chart: bytes


@dataclass(frozen=True)
class _Indexed:
    metadata: Mapping[str, Any]
    digest: Digest


@contextmanager
def connected_side(vendor: Signer) -> Iterator[Source]:
    """Run the registry and the chart repository; `vendor` signs the images."""
    repositories = MemoryRepositories()
    with BundleServer("127.0.0.1", 0, repositories, writable=True) as registry:
        images = _fill(repositories, registry.host, vendor)
        chart = content.chart("shop", "1.4.0", f"{registry.host}/shop/web:1.4")
        with BundleServer("127.0.0.1", 0, MemoryRepositories(), _charts(chart)) as charts:
            yield Source(registry.host, f"{charts.url}/charts", images, chart)


@contextmanager
def disconnected_side() -> Iterator[str]:
    """Run an empty registry; yields its HOST:PORT."""
    with BundleServer("127.0.0.1", 0, MemoryRepositories(), writable=True) as registry:
        yield registry.host


def _charts(chart: bytes) -> MemoryHelm:
    indexed = _Indexed(inspect_chart(chart, where=CHART_FILE).metadata, Digest.of(chart))
    index = repository_index([indexed], datetime(2026, 1, 1, tzinfo=UTC))
    return MemoryHelm({CHART_FILE: chart, "index.yaml": index})


def _fill(repositories: MemoryRepositories, host: str, vendor: Signer) -> dict[str, Descriptor]:
    """Push three images that share a base, two of them signed, in both of cosign's forms."""
    base = content.Layer.of(_base_files())
    web, worker = repositories.create("shop/web"), repositories.create("shop/worker")
    by_platform = {
        platform: content.push_image(web, [base, _application("web", platform)], platform)
        for platform in (content.AMD64, content.ARM64)
    }
    index = content.push_index(web, by_platform)
    web.tag(index, "1.4")
    content.sign_by_tag(web, index, f"{host}/shop/web", vendor)

    image = content.push_image(worker, [base, _application("worker", content.AMD64)])
    worker.tag(image, "1.4")
    content.sign_by_referrer(worker, image, vendor)
    content.attach_sbom(worker, image, "worker")

    unsigned = repositories.create("shop/unsigned")
    unsigned.tag(content.push_image(unsigned, [base]), "1.4")
    return {"shop/web:1.4": index, "shop/worker:1.4": image}


def _application(name: str, platform: Platform) -> content.Layer:
    return content.Layer.of({"srv/app": f"{name} for {platform}\n".encode() * 20_000})


def _base_files() -> dict[str, bytes]:
    """Return a small root file system: Petra's own library stands in for a distribution's."""
    files = {
        "etc/os-release": b'ID=demo\nNAME="Demo Linux"\n',
        "etc/passwd": b"app:x:1000:1000::/:/sbin/nologin\n",
    }
    for package in ("content", "oci", "trust", "archive"):
        for entry in resources.files("petra").joinpath(package).iterdir():
            if entry.name.endswith(".py"):
                files[f"usr/lib/{package}/{entry.name}"] = entry.read_bytes()
    return files
