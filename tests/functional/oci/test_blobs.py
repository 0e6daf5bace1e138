"""Blobs: exactly the bytes that were asked for, whatever the server and the network do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from petra.content.descriptor import Descriptor
from petra.content.stream import VerifyReader
from petra.errors import (
    DigestMismatchError,
    NotFoundError,
    RateLimitedError,
    SizeMismatchError,
    TransportError,
)
from petra.oci.media_types import OCI_LAYER
from tests.support.scripted_server import Received, Reply, ScriptedServer, Step

if TYPE_CHECKING:
    from petra.content.protocols import ByteStream
    from petra.oci.registry import RegistryClient, Repository
    from tests.functional.oci.conftest import MakeClient

DATA = bytes(index * 7 % 251 for index in range(300_000))
BLOB = Descriptor.of(OCI_LAYER, DATA)


def ranged(received: Received) -> Reply:
    """Answer as a good server does."""
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", received.headers.get("range", ""))
    if not match:
        return Reply(200, DATA)
    start, end = int(match[1]), int(match[2]) + 1
    return Reply(206, DATA[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}"})


def cut_at(count: int, *, reset: bool = False) -> Step:
    """Answer well, but for a connection that ends after `count` bytes."""

    def step(received: Received) -> Reply:
        reply = ranged(received)
        reply.length, reply.cut, reply.reset = len(reply.body), count, reset
        return reply

    return step


def content_of(stream: ByteStream, size: int = 100_000) -> bytes:
    whole, buffer = bytearray(), memoryview(bytearray(size))
    with stream:
        while count := stream.readinto(buffer):
            whole += buffer[:count]
    return bytes(whole)


@pytest.fixture
def repository(client: RegistryClient, server: ScriptedServer) -> Repository:
    server.otherwise = ranged
    return client.repository(server.host, "some/repo")


def test_a_blob_is_asked_for_once_and_whole(repository: Repository, server: ScriptedServer) -> None:
    assert content_of(repository.fetch(BLOB)) == DATA

    (request,) = server.requests
    assert request.target == f"/v2/some/repo/blobs/{BLOB.digest}"
    assert "range" not in request.headers
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (1, 299_999), (299_999, 1), (1000, 65536)])
def test_a_range_is_exactly_what_was_asked_for(
    repository: Repository, server: ScriptedServer, offset: int, length: int
) -> None:
    assert (
        content_of(repository.fetch_range(BLOB, offset, length), 999)
        == (DATA[offset : offset + length])
    )
    assert server.requests[0].headers["range"] == f"bytes={offset}-{offset + length - 1}"


def test_an_empty_range_asks_nothing(repository: Repository, server: ScriptedServer) -> None:
    assert repository.fetch_range(BLOB, 5, 0).read() == b""
    assert server.requests == []


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -1), (299_999, 2)])
def test_a_range_outside_the_blob_is_the_callers_mistake(
    repository: Repository, offset: int, length: int
) -> None:
    with pytest.raises(ValueError, match="outside"):
        repository.fetch_range(BLOB, offset, length)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_broken_connection_goes_on_where_it_ended(
    repository: Repository, server: ScriptedServer, waits: list[float], *, reset: bool
) -> None:
    server.script = [cut_at(120_000, reset=reset), cut_at(70_000, reset=reset)]

    assert content_of(VerifyReader(repository.fetch(BLOB), BLOB)) == DATA

    starts = [request.headers.get("range") for request in server.requests]
    assert starts[0] is None
    assert all(start and start.endswith("-299999") for start in starts[1:])
    if not reset:  # how much of it is seen before a reset is the kernel's to say
        assert starts == [None, "bytes=120000-299999", "bytes=190000-299999"]
    assert len(waits) == 2


def test_a_broken_range_goes_on_within_the_range(
    repository: Repository, server: ScriptedServer
) -> None:
    server.script = [cut_at(500)]

    assert content_of(repository.fetch_range(BLOB, 1000, 2000)) == DATA[1000:3000]
    assert server.requests[1].headers["range"] == "bytes=1500-2999"


def test_a_server_that_ignores_ranges_is_read_from_its_start(
    repository: Repository, server: ScriptedServer
) -> None:
    server.otherwise = Reply(200, DATA)

    assert content_of(repository.fetch_range(BLOB, 200_000, 50)) == DATA[200_000:200_050]


def test_a_cut_blob_of_a_server_that_ignores_ranges_starts_again_and_discards(
    repository: Repository, server: ScriptedServer
) -> None:
    server.script = [cut_at(150_000)]
    server.otherwise = Reply(200, DATA)

    assert content_of(repository.fetch(BLOB)) == DATA


def test_a_connection_cut_while_skipping_is_tried_again(
    repository: Repository, server: ScriptedServer
) -> None:
    server.script = [Reply(200, DATA, cut=10_000)]

    assert content_of(repository.fetch_range(BLOB, 200_000, 50)) == DATA[200_000:200_050]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "content_range",
    ["bytes 1001-3000/300000", "bytes 1000-2998/300000", "bytes 0-1999/300000", "1000-2999", ""],
)
def test_another_range_is_an_error(
    repository: Repository, server: ScriptedServer, content_range: str
) -> None:
    headers = {"Content-Range": content_range} if content_range else {}
    server.otherwise = Reply(206, DATA[1000:3000], headers)

    with pytest.raises(TransportError, match="another range") as caught:
        repository.fetch_range(BLOB, 1000, 2000)

    assert caught.value.expected == "bytes 1000-2999/300000"


def test_a_range_of_a_wrong_length_is_an_error(
    repository: Repository, server: ScriptedServer
) -> None:
    headers = {"Content-Range": "bytes 1000-2999/300000"}
    server.otherwise = Reply(206, DATA[1000:3001], headers)

    with pytest.raises(TransportError, match="another range"):
        repository.fetch_range(BLOB, 1000, 2000)


def test_a_range_of_unannounced_length_gives_no_byte_more(
    repository: Repository, server: ScriptedServer
) -> None:
    headers = {"Content-Range": "bytes 1000-2999/300000"}
    server.otherwise = Reply(206, DATA[1000:9000], headers, chunked=True)

    assert content_of(repository.fetch_range(BLOB, 1000, 2000)) == DATA[1000:3000]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(206, DATA[:10], {"Content-Range": "bytes 0-9/77"}),
        Reply(416, b"", {"Content-Range": "bytes */77"}),
        Reply(200, DATA[:-1]),
    ],
    ids=["total", "unsatisfiable", "whole"],
)
def test_a_blob_of_another_size_is_an_error_at_once(
    repository: Repository, server: ScriptedServer, reply: Reply
) -> None:
    server.otherwise = reply

    with pytest.raises(SizeMismatchError) as caught:
        repository.fetch_range(BLOB, 0, 10)

    assert BLOB.digest in str(caught.value)


def test_a_whole_blob_of_another_size_is_an_error_before_it_is_read(
    repository: Repository, server: ScriptedServer
) -> None:
    server.otherwise = Reply(200, DATA + b"more")

    with pytest.raises(SizeMismatchError) as caught:
        repository.fetch(BLOB)

    assert caught.value.found == "300004 bytes"


def test_a_chunked_blob_is_read_and_its_connection_kept(
    repository: Repository, server: ScriptedServer
) -> None:
    server.otherwise = Reply(200, DATA, chunked=True)

    for _ in range(2):
        assert content_of(VerifyReader(repository.fetch(BLOB), BLOB)) == DATA

    assert server.connections == 1


@pytest.mark.parametrize("way", [{"chunked": True}, {"endless": True}, {"length": -1}])
def test_a_blob_that_goes_on_after_its_end_is_seen_to(
    repository: Repository, server: ScriptedServer, way: dict[str, bool]
) -> None:
    server.otherwise = Reply(200, DATA + b"more", **way)  # type: ignore[arg-type]

    with pytest.raises(SizeMismatchError), VerifyReader(repository.fetch(BLOB), BLOB) as stream:
        stream.read()


def test_wrong_bytes_do_not_pass_the_check(repository: Repository, server: ScriptedServer) -> None:
    server.otherwise = Reply(200, bytes(len(DATA)))

    with pytest.raises(DigestMismatchError), VerifyReader(repository.fetch(BLOB), BLOB) as stream:
        stream.read()


def test_a_connection_that_never_gets_anywhere_is_given_up(
    repository: Repository, server: ScriptedServer, waits: list[float]
) -> None:
    server.script = [cut_at(1000)]
    server.otherwise = cut_at(0)

    with pytest.raises(TransportError, match="again and again") as caught:
        content_of(repository.fetch(BLOB))

    assert (caught.value.expected, caught.value.found) == ("300000 bytes", "1000 bytes")
    assert waits == [0.1, 0.2, 0.4]


def test_progress_renews_the_patience(repository: Repository, server: ScriptedServer) -> None:
    server.script = [cut_at(10_000)] * 20

    assert content_of(repository.fetch(BLOB)) == DATA
    assert len(server.requests) == 21


def test_a_silent_server_counts_as_a_broken_connection(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    server.script = [Reply(200, DATA, delay=0.5)]
    server.otherwise = ranged

    repository = make_client(timeout=0.2).repository(server.host, "some/repo")

    assert content_of(repository.fetch(BLOB)) == DATA
    assert len(server.requests) == 2


def test_one_connection_serves_many_ranges(repository: Repository, server: ScriptedServer) -> None:
    for offset in range(0, 3000, 100):
        assert content_of(repository.fetch_range(BLOB, offset, 100)) == DATA[offset : offset + 100]

    assert server.connections == 1


def test_a_stream_closed_early_drops_its_connection_and_reads_no_further(
    repository: Repository, server: ScriptedServer
) -> None:
    big = Descriptor(OCI_LAYER, BLOB.digest, 1 << 33)
    server.script = [Reply(200, DATA, length=big.size, headers={"X": "y"})]

    stream = repository.fetch(big)
    assert stream.read(10) == DATA[:10]
    stream.close()
    stream.close()

    assert stream.readinto(memoryview(bytearray(5))) == 0
    assert content_of(repository.fetch(BLOB)) == DATA
    assert server.connections == 2


def test_an_absent_blob_is_named_with_what_to_do(
    repository: Repository, server: ScriptedServer
) -> None:
    error = b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown"}]}'
    server.otherwise = Reply(404, error)

    with pytest.raises(NotFoundError) as caught:
        repository.fetch(BLOB)

    assert caught.value.message == (
        f"blob {BLOB.digest} of {server.host}/some/repo is not there (BLOB_UNKNOWN: blob unknown)"
    )
    assert caught.value.hint


def test_a_rate_limit_within_a_blob_is_waited_for(
    repository: Repository, server: ScriptedServer, waits: list[float]
) -> None:
    server.script = [cut_at(100), Reply(429, headers={"Retry-After": "7"})]

    assert content_of(repository.fetch(BLOB)) == DATA
    assert waits == [0.1, 7.1]


def test_a_rate_limit_that_stays_is_told(repository: Repository, server: ScriptedServer) -> None:
    server.otherwise = Reply(429, headers={"Retry-After": "7"})

    with pytest.raises(RateLimitedError) as caught:
        repository.fetch(BLOB)

    assert caught.value.retry_after == 7
    assert len(server.requests) == 4


class TestStorageElsewhere:
    """Registries that send readers to an object store."""

    def test_its_url_serves_the_next_ranges_too(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.otherwise = ranged
        server.otherwise = Reply(307, headers={"Location": f"{other.url}/store?signature=s3cret"})

        for offset in (0, 100, 200):
            stream = repository.fetch_range(BLOB, offset, 100)
            assert content_of(stream) == DATA[offset : offset + 100]

        assert len(server.requests) == 1
        assert [request.headers["range"] for request in other.requests] == [
            "bytes=0-99",
            "bytes=100-199",
            "bytes=200-299",
        ]

    def test_a_url_that_has_run_out_is_asked_for_anew(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.script = [ranged, Reply(403, b"expired"), ranged]
        server.otherwise = Reply(307, headers={"Location": f"{other.url}/store"})

        for offset in (0, 100):
            stream = repository.fetch_range(BLOB, offset, 100)
            assert content_of(stream) == DATA[offset : offset + 100]

        assert len(server.requests) == 2

    def test_its_refusal_shows_no_signature(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.otherwise = Reply(500)
        server.otherwise = Reply(307, headers={"Location": f"{other.url}/store?signature=s3cret"})

        with pytest.raises(TransportError) as caught:
            repository.fetch(BLOB)

        assert f"{other.url}/store" in str(caught.value)
        assert "s3cret" not in str(caught.value)
