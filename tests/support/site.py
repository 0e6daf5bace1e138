"""A connected side made of real peers: a registry with images that cosign signed, and a chart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeAlias

import yaml

from demo import content
from petra.content.digest import Digest
from petra.helm.chart import inspect_chart
from petra.helm.index import repository_index
from petra.oci.copy import copy_graph
from petra.oci.memory import MemoryTarget
from petra.oci.registry import RegistryClient
from tests.support.chart_server import running_chart_server
from tests.support.petra_process import Petra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.content.descriptor import Descriptor

Tool: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

PASSWORD = "made up"
#: What keeps cosign to itself: no transparency log, no services.
UNLOGGED = ("--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes")
#: Both of cosign's forms of image signatures, and the flags for each.
FORMS = {"tag": ("--new-bundle-format=false",), "referrer": ()}


@dataclass(frozen=True)
class Site:
    """A connected side: a registry, a chart repository and keys, all real.

    Attributes:
        host: the registry.
        charts: the chart repository.
        images: by repository and tag, pushed and signed with cosign: one in each form.
        petra: runs the command in a folder with ``cosign.key`` and ``cosign.pub``.
        tool: runs any other.
    """

    host: str
    charts: str
    images: dict[str, Descriptor]
    petra: Petra
    tool: Tool

    @property
    def folder(self) -> Path:
        return self.petra.folder

    def reference(self, image: str) -> str:
        return f"{self.host}/{image.partition(':')[0]}@{self.images[image].digest}"

    def write_spec(self, *images: str, file: str = "bundle.yaml", **more: object) -> str:
        spec: dict[str, object] = {
            "images": [
                {"name": image.split("/")[1].split(":")[0], "image": f"{self.host}/{image}"}
                for image in images
            ],
            "verify": {"key": "cosign.pub"},
            **more,
        }
        document = {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "shop", "version": "1.4.0"},
            "spec": spec,
        }
        (self.folder / file).write_text(yaml.safe_dump(document, sort_keys=False))
        return file

    def create(self) -> Path:
        charts = [{"name": "shop", "repo": self.charts, "version": "1.4.0"}]
        spec = self.write_spec(*self.images, charts=charts)
        made = self.petra.json("bundle", "create", "-f", spec, "--key", "cosign.key")
        assert made
        return self.folder / "dist" / "shop-1.4.0.tar.zst"


@contextmanager
def running_site(host: str, tools: Callable[[str], Path], folder: Path) -> Iterator[Site]:
    """Fill the registry at `host`, sign with cosign, and run a chart repository."""
    tool = _tool(tools, folder)
    images = _push_images(host)
    del images["shop/unsigned:1.4"]
    tool("cosign", "generate-key-pair")
    for form, (name, image) in zip(FORMS, images.items(), strict=True):
        reference = f"{host}/{name.split(':')[0]}@{image.digest}"
        tool("cosign", "sign", "--key", "cosign.key", *UNLOGGED, *FORMS[form], reference)
    chart = content.chart("shop", "1.4.0", f"{host}/shop/web:1.4")
    metadata = inspect_chart(chart, where="chart").metadata
    indexed = SimpleNamespace(metadata=metadata, digest=Digest.of(chart))
    index = repository_index([indexed], datetime(2026, 1, 1, tzinfo=UTC))
    with running_chart_server({"/index.yaml": index, "/shop-1.4.0.tgz": chart}) as charts:
        yield Site(host, charts.url, images, Petra(folder, PASSWORD), tool)


def _tool(tools: Callable[[str], Path], folder: Path) -> Tool:
    environment = {**os.environ, "HOME": str(folder), "COSIGN_PASSWORD": PASSWORD}

    def run(
        name: str, *arguments: str | Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [tools(name), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert not check or result.returncode == 0, f"{name}: {result.stdout}{result.stderr}"
        return result

    return run


def _push_images(host: str) -> dict[str, Descriptor]:
    """Push an image for two platforms and one for one, with a shared base, by our own client."""
    memory = MemoryTarget()
    base = content.Layer.of({"etc/os-release": b"ID=test\n" * 1000})
    platforms = {
        platform: content.push_image(
            memory, [base, content.Layer.of({"srv/web": str(platform).encode()})], platform
        )
        for platform in (content.AMD64, content.ARM64)
    }
    images = {
        "shop/web:1.4": content.push_index(memory, platforms),
        "shop/worker:1.4": content.push_image(
            memory, [base, content.Layer.of({"srv/worker": os.urandom(300_000)})]
        ),
        "shop/unsigned:1.4": content.push_image(memory, [base]),
    }
    with RegistryClient() as client:
        for name, image in images.items():
            repository = client.repository(host, name.split(":")[0])
            copy_graph(memory, repository, image)
            repository.tag(image, name.split(":")[1])
    return images
