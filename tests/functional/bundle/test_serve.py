"""`petra bundle serve`: one file is a registry and a chart repository, read by the real client."""

from __future__ import annotations

import json
import socket
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
import yaml

from petra.cli.main import main
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import VerifyReader, fetch_document
from petra.errors import NotFoundError
from petra.helm.repository import ChartSource
from petra.oci.copy import copy_graph
from petra.oci.memory import MemoryTarget
from petra.oci.referrers import attachments
from petra.oci.registry import RegistryClient
from tests.support.command import assert_refused
from tests.support.petra_process import Petra
from tests.support.world import (
    LEGACY,
    SIGNED,
    UNSIGNED,
    WEB,
    WORKER,
    World,
    connected_side,
    layers_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import Run


@dataclass(frozen=True)
class Served:
    """A bundle that is being served, after everything that it was made from has gone.

    Attributes:
        world: what it was made from; its servers are closed.
        host: where it is served.
        client: ours.
        chart: the chart's bytes.
    """

    world: World
    host: str
    client: RegistryClient
    chart: bytes

    def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        """Return status, headers and body."""
        request = urllib.request.Request(f"http://{self.host}{path}", headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.headers, error.read()


@pytest.fixture(scope="module", params=["tar.zst", "tar.gz"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder, form = tmp_path_factory.mktemp("served"), request.param
    with connected_side(folder) as world:
        spec = world.spec(*SIGNED, charts=[world.chart()])
        more = ("--key", f"{folder}/ours.key", "--output-dir", f"{folder}/dist", "--format", form)
        assert main(["bundle", "create", "-f", str(spec), "--quiet", *more]) == 0
        chart = world.charts.pages["/charts/app-1.2.3.tgz"].body
    bundle = folder / "dist" / f"shop-1.4.0.{form}"
    with Petra(folder).serving(bundle, folder / "ours.pub") as host, RegistryClient() as client:
        yield Served(world, host, client, chart)


@pytest.mark.parametrize("image", SIGNED)
def test_an_image_comes_back_whole_by_tag_and_by_digest(served: Served, image: str) -> None:
    name, _, tag = image.partition(":")
    repository = served.client.repository(served.host, name)
    expected = served.world.images[image]

    assert repository.resolve(tag) == expected
    assert repository.resolve(expected.digest) == expected
    copy = MemoryTarget()
    copy_graph(repository, copy, expected)

    origin = served.world.repository(image)
    assert fetch_document(copy, expected) == fetch_document(origin, expected)


def test_runtimes_ask_it_as_a_mirror(served: Served) -> None:
    """As containerd does: the path of the image's own registry, and that registry as `ns`."""
    image = served.world.images[WORKER]
    for reference in ("1.4", image.digest):
        path = f"/v2/team/worker/manifests/{reference}?ns="
        status, headers, body = served.get(path + served.world.host, Accept=image.media_type)
        assert (status, headers["Docker-Content-Digest"]) == (200, image.digest)
        assert Digest.of(body) == image.digest
        assert served.get(f"{path}other.example")[0] == 404


def test_any_range_of_a_layer(served: Served) -> None:
    layer = layers_of(served.world, WORKER)[-1]
    with served.world.repository(WORKER).fetch(layer) as stream:
        whole = stream.read()
    path = f"/v2/team/worker/blobs/{layer.digest}"

    for start, end in ((0, 0), (1000, 30_000), (layer.size - 1, layer.size - 1)):
        status, headers, body = served.get(path, Range=f"bytes={start}-{end}")
        assert (status, body) == (206, whole[start : end + 1])
        assert headers["Content-Range"] == f"bytes {start}-{end}/{layer.size}"
    assert served.get(path, Range=f"bytes={layer.size}-")[0] == 416
    repository = served.client.repository(served.host, "team/worker")
    with VerifyReader(repository.fetch(layer), layer) as checked:
        assert checked.read() == whole


def test_what_hangs_on_an_image_is_found(served: Served) -> None:
    for image, kinds in ((WEB, ["signature"]), (WORKER, ["sbom", "signature"])):
        repository = served.client.repository(served.host, image.partition(":")[0])
        found = attachments(repository, served.world.images[image])
        assert sorted(one.kind for one in found) == kinds
    digest = served.world.images[WORKER].digest
    status, _headers, body = served.get(f"/v2/team/worker/referrers/{digest}")
    assert (status, len(json.loads(body)["manifests"])) == (200, 2)
    filtered = f"/v2/team/worker/referrers/{digest}?artifactType=application/spdx%2Bjson"
    assert len(json.loads(served.get(filtered)[2])["manifests"]) == 1


def test_what_is_served_can_be_bundled_again(served: Served, petra: Run, tmp_path: Path) -> None:
    """From one air gap to the next: signatures verify there as they did here."""
    world = served.world
    again = World(tmp_path, served.host, world.registry, world.charts)
    charts = [{"name": "app", "repo": f"http://{served.host}/charts", "version": "1.2.3"}]
    again.spec(*SIGNED, charts=charts, verify={"key": str(world.folder / "vendor.pub")})

    outcome = petra(
        *("bundle", "create", "-f", "bundle.yaml", "--output", "json"),
        *("--key", world.folder / "ours.key"),
    )

    assert outcome.status == 0, outcome.err
    assert [image["digest"] for image in outcome.json["images"]] == [
        world.images[image].digest for image in SIGNED
    ]


def test_the_charts_are_a_helm_repository(served: Served) -> None:
    status, _, body = served.get("/charts/index.yaml")
    assert status == 200
    assert [*yaml.safe_load(body)["entries"]] == ["app"]
    assert served.get("/charts/app-1.2.3.tgz")[2] == served.chart
    assert served.get("/charts/app-9.9.9.tgz")[0] == 404
    assert served.get("/charts/../metadata.json")[0] in (400, 404)
    found = ChartSource.of(served.client).resolve("app", f"http://{served.host}/charts", "1.2.3")
    assert found.data == served.chart


def test_what_is_not_in_the_bundle_is_not_there(served: Served) -> None:
    repository = served.client.repository(served.host, "team/web")
    for reference in ("2.0", served.world.images[UNSIGNED].digest):
        with pytest.raises(NotFoundError):
            repository.resolve(reference)
    # A blob of another repository of the same bundle is not this repository's.
    alien = layers_of(served.world, LEGACY)[-1]
    assert not repository.exists(alien)
    assert served.get("/v2/team/absent/manifests/1.0")[0] == 404
    assert json.loads(served.get("/v2/_catalog")[2])["repositories"] == sorted(
        served.world.reference(image).rpartition(":")[0] for image in SIGNED
    )


def test_nothing_can_be_pushed(served: Served) -> None:
    from petra.content.stream import BytesStream
    from petra.errors import PetraError

    repository = served.client.repository(served.host, "team/web")
    blob = Descriptor.of("application/octet-stream", b"new")
    with pytest.raises(PetraError):
        repository.push(blob, BytesStream(b"new"))
    assert not repository.exists(blob)


def test_a_bundle_is_verified_before_the_port_is_taken(
    world: World, create: Run, petra: Run
) -> None:
    world.spec(WEB)
    create()

    outcome = petra(
        *("bundle", "serve", "-f", world.bundle, "--key", "stranger.pub"),
        *("--listen", "127.0.0.1:0"),
    )

    assert_refused(outcome, 3, world.bundle.name)


@pytest.mark.parametrize("address", ["5000", "127.0.0.1:", "127.0.0.1:99999", "host:x"])
def test_an_address_that_is_none(world: World, petra: Run, address: str) -> None:
    outcome = petra(*("bundle", "serve", "-f", "x", "--key", "ours.pub"), *("--listen", address))

    assert_refused(outcome, 2, "--listen", "HOST:PORT")


def test_an_address_that_is_taken(world: World, create: Run, petra: Run) -> None:
    world.spec(WEB)
    create()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        outcome = petra(
            *("bundle", "serve", "-f", world.bundle, "--key", "ours.pub", "--listen", address)
        )

    assert_refused(outcome, 2, address, "--listen")


def test_what_is_read_is_what_was_verified(tmp_path: Path, world: World, create: Run) -> None:
    """The file under the name may be replaced: the server stays with the one that it opened."""
    world.spec(WORKER)
    create()
    with Petra(tmp_path).serving(world.bundle, tmp_path / "ours.pub") as host:
        world.bundle.unlink()
        world.bundle.write_bytes(b"something else")
        layer = layers_of(world, WORKER)[-1]
        with RegistryClient() as client:
            repository = client.repository(host, "team/worker")
            with VerifyReader(repository.fetch(layer), layer) as stream:
                assert len(stream.read()) == layer.size
