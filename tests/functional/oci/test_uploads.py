"""Uploads against a server that misbehaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.content.descriptor import Descriptor
from petra.content.stream import BytesStream
from petra.errors import (
    DigestMismatchError,
    NoSpaceError,
    RateLimitedError,
    TransportError,
)
from petra.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tests.support.scripted_server import Received, Reply, ScriptedServer

if TYPE_CHECKING:
    from petra.oci.repository import Repository
    from tests.functional.oci.conftest import MakeClient

MIB = 1024 * 1024
DATA = bytes(range(256)) * (4 * 1024 * 3)
BLOB = Descriptor.of(OCI_LAYER, DATA)
SMALL = Descriptor.of(OCI_LAYER, b"small")


@pytest.fixture
def repository(make_client: MakeClient, server: ScriptedServer) -> Repository:
    server.otherwise = accept
    return make_client().repository(server.host, "some/repo")


def accept(received: Received) -> Reply:
    if received.method in {"POST", "PATCH"}:
        return Reply(202, headers={"Location": "/v2/some/repo/blobs/uploads/1"})
    return Reply(201 if received.method == "PUT" else 202)


def opener(opened: list[int]) -> BytesStream:
    opened.append(1)
    return BytesStream(DATA)


@pytest.mark.parametrize("fault", [Reply(503), Reply(500, b"oops"), Reply(lost=True)])
def test_a_blob_is_sent_anew_from_its_first_byte(
    repository: Repository, server: ScriptedServer, fault: Reply, waits: list[float]
) -> None:
    opened: list[int] = []
    server.script = [accept, fault]

    repository.send(BLOB, lambda: opener(opened))

    assert len(opened) == 2
    whole = [one.body for one in server.requests if one.method == "PUT"]
    assert whole == [DATA, DATA]
    assert len(waits) == 1


def test_a_rate_limit_in_the_middle_is_waited_for(
    repository: Repository, server: ScriptedServer, waits: list[float]
) -> None:
    server.script = [accept, Reply(429, headers={"Retry-After": "7"})]

    repository.send(BLOB, lambda: BytesStream(DATA))

    assert waits == [7.1]


def test_a_rate_limit_beyond_all_patience_is_told(
    repository: Repository, server: ScriptedServer
) -> None:
    server.script = [accept, Reply(429, headers={"Retry-After": "7000"})]

    with pytest.raises(RateLimitedError):
        repository.send(BLOB, lambda: BytesStream(DATA))


def test_it_is_not_sent_again_and_again(repository: Repository, server: ScriptedServer) -> None:
    server.otherwise = lambda one: Reply(503) if one.method == "PUT" else accept(one)

    with pytest.raises(TransportError, match="503"):
        repository.send(BLOB, lambda: BytesStream(DATA))
    assert len(server.asked("PUT")) == 4


def test_a_small_blob_is_no_more_often(repository: Repository, server: ScriptedServer) -> None:
    server.otherwise = lambda one: Reply(503) if one.method == "PUT" else accept(one)

    with pytest.raises(TransportError, match="503"):
        repository.send(SMALL, lambda: BytesStream(b"small"))
    assert len(server.asked("PUT")) == 4


@pytest.mark.parametrize("status", [400, 413, 416])
def test_a_refusal_is_final(repository: Repository, server: ScriptedServer, status: int) -> None:
    server.script = [accept, Reply(status)]

    with pytest.raises(TransportError) as caught:
        repository.send(BLOB, lambda: BytesStream(DATA))
    assert caught.value.status == status
    assert len(server.asked("PUT")) == 1


def test_a_full_registry_is_named_and_not_asked_again(
    repository: Repository, server: ScriptedServer
) -> None:
    server.script = [accept, Reply(507)]

    with pytest.raises(NoSpaceError, match=r"127\.0\.0\.1:\d+ has no room for blob"):
        repository.send(BLOB, lambda: BytesStream(DATA))
    assert len(server.asked("PUT")) == 1


def test_wrong_bytes_are_not_sent_again(repository: Repository, server: ScriptedServer) -> None:
    with pytest.raises(DigestMismatchError):
        repository.send(BLOB, lambda: BytesStream(bytes(len(DATA))))
    assert len(server.asked("POST")) == 1
    assert len(server.asked("DELETE")) == 1


def test_parts_are_of_the_size_that_was_asked_for(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    server.otherwise = accept
    repository = make_client(chunk_size=2 * MIB + 5).repository(server.host, "some/repo")

    repository.send(BLOB, lambda: BytesStream(DATA))

    parts = [one for one in server.requests if one.method == "PATCH"]
    assert [len(one.body) for one in parts] == [2 * MIB, MIB]
    assert [one.headers["content-range"] for one in parts] == [
        f"0-{2 * MIB - 1}",
        f"{2 * MIB}-{3 * MIB - 1}",
    ]
    assert b"".join(one.body for one in parts) == DATA


def test_a_registry_that_wants_larger_parts_gets_them(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    def wishful(received: Received) -> Reply:
        reply = accept(received)
        reply.headers["OCI-Chunk-Min-Length"] = str(2 * MIB)
        return reply

    server.otherwise = wishful
    repository = make_client(chunk_size=MIB).repository(server.host, "some/repo")

    repository.send(BLOB, lambda: BytesStream(DATA))

    assert [len(o.body) for o in server.requests if o.method == "PATCH"] == [2 * MIB, MIB]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_a_mount_that_is_refused_is_no_error(
    repository: Repository, server: ScriptedServer, status: int
) -> None:
    server.otherwise = Reply(status)

    assert repository.mount(SMALL, "other/repo") is False


class TestReferrers:
    """A referrer is there, and whoever brought it was killed before it was listed."""

    @pytest.fixture
    def listed(self) -> dict[str, bytes]:
        return {}

    @pytest.fixture
    def documents(self) -> tuple[Descriptor, Descriptor, bytes]:
        subject = Descriptor(OCI_MANIFEST, SMALL.digest, 100)
        config = Descriptor.of(OCI_CONFIG, b"{}").to_json()
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [],
            "subject": subject.to_json(),
        }
        raw = json.dumps(document).encode()
        return subject, Descriptor.of(OCI_MANIFEST, raw), raw

    def test_it_is_listed_on_the_next_push(
        self,
        repository: Repository,
        server: ScriptedServer,
        documents: tuple[Descriptor, Descriptor, bytes],
    ) -> None:
        subject, referrer, raw = documents
        tags: dict[str, bytes] = {}

        def registry(received: Received) -> Reply:
            name = received.path.rpartition("/")[2]
            if received.method == "PUT":
                tags[name] = received.body
                return Reply(201)
            if name == referrer.digest and received.method == "HEAD":
                headers = {"Content-Type": OCI_MANIFEST}
                return Reply(200, headers=headers, length=len(raw))
            found = tags.get(name)
            return Reply(200, found, {"Content-Type": OCI_INDEX}) if found else Reply(404)

        server.otherwise = registry

        for _ in range(2):
            repository.push(referrer, BytesStream(raw))

        index = json.loads(tags[f"sha256-{subject.digest.hex}"])
        assert [one["digest"] for one in index["manifests"]] == [referrer.digest]
        assert len(server.asked("PUT")) == 2  # the manifest and the index, once
