"""The server on a real socket: framing, keep-alive, bounds, damage, and its end."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import pytest
import urllib3

from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.errors import DigestMismatchError, SizeMismatchError, UsageError
from petra.oci.media_types import OCI_LAYER
from petra.oci.memory import MemoryTarget
from petra.serve.connection import Access
from petra.serve.helm import MemoryHelm
from petra.serve.repositories import LayoutRepositories, MemoryRepositories
from petra.serve.server import CONNECTION_LIMIT, BundleServer
from tests.support.graphs import push, push_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import ByteStream

DATA = bytes(range(256)) * 16 * 1024  # 4 MiB, four pieces
DIGEST = Digest.of(DATA)
POST = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def events() -> list[Access | BaseException]:
    return []


@pytest.fixture
def repositories() -> MemoryRepositories:
    repositories = MemoryRepositories()
    target = repositories.create("app")
    push(target, OCI_LAYER, DATA)
    target.tag(push_image(target), "v1")
    return repositories


@pytest.fixture
def server(
    repositories: MemoryRepositories, events: list[Access | BaseException]
) -> Iterator[BundleServer]:
    helm = MemoryHelm({"index.yaml": b"apiVersion: v1\n"})
    with BundleServer(
        "127.0.0.1", 0, repositories, helm, writable=True, report=events.append
    ) as running:
        yield running


class Raw:
    """A client that sends what it is told to."""

    def __init__(self, server: BundleServer) -> None:
        self.socket = socket.create_connection(server.server_address, timeout=10)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.send(data)
        return self.receive()

    def receive(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0")) if body else 0
        return status, headers, self._file.read(length)

    def at_end(self) -> bool:
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def raw(server: BundleServer) -> Iterator[Raw]:
    with Raw(server) as client:
        yield client


def test_requests_share_a_connection(raw: Raw, events: list[Access | BaseException]) -> None:
    first = raw.ask(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    second = raw.ask(b"GET /v2/app/tags/list HTTP/1.1\r\nHost: x\r\n\r\n")
    third = raw.ask(b"GET /charts/index.yaml HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (first[0], first[2]) == (200, b"{}")
    assert first[1]["content-length"] == "2"
    assert "connection" not in first[1]
    assert second[2] == b'{"name":"app","tags":["v1"]}\n'
    assert third[2] == b"apiVersion: v1\n"
    while len(events) < 3:
        time.sleep(0.01)
    assert isinstance(events[1], Access)
    assert str(events[1]).startswith("127.0.0.1 GET /v2/app/tags/list 200 29 ")


def test_requests_in_one_packet_are_answered_in_order(raw: Raw) -> None:
    raw.send(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /absent HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
    )

    assert [raw.receive()[0] for _ in range(3)] == [200, 404, 200]


def test_a_head_has_no_body(raw: Raw) -> None:
    raw.send(f"HEAD /v2/app/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    status, headers, _ = raw.receive(body=False)
    after, _, _ = raw.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert status == 200
    assert headers["content-length"] == str(len(DATA))
    assert headers["docker-content-digest"] == DIGEST
    assert after == 200


def test_a_large_blob_and_a_range_of_it(raw: Raw) -> None:
    request = f"GET /v2/app/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n"

    whole = raw.ask(f"{request}\r\n".encode())
    part = raw.ask(f"{request}Range: bytes=1000000-3000000\r\n\r\n".encode())
    outside = raw.ask(f"{request}Range: bytes=9999999-\r\n\r\n".encode())

    assert whole[2] == DATA
    assert part[0] == 206
    assert part[2] == DATA[1000000:3000001]
    assert outside[0] == 416


def test_what_the_client_knows_has_no_body(raw: Raw) -> None:
    request = f"GET /v2/app/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {DIGEST}\r\n\r\n"

    status, headers, _ = raw.ask(request.encode())

    assert status == 304
    assert "content-length" not in headers
    assert raw.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_an_old_client_gets_one_answer(raw: Raw) -> None:
    status, headers, _ = raw.ask(b"GET /healthz HTTP/1.0\r\n\r\n")

    assert status == 200
    assert headers["connection"] == "close"
    assert raw.at_end()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v2/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /v2/%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2/\r\n\r\n", 505),
        (b"GET /v2/ HTTP/1.7\r\nHost: x\r\n\r\n", 505),
        (b"GET /v2/ HTTP/3.9\r\nHost: x\r\n\r\n", 505),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 40000 + b"\r\n\r\n", 431),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: +1\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_ends_the_connection(
    raw: Raw, request_bytes: bytes, status: int
) -> None:
    found, _, body = raw.ask(request_bytes)

    assert found == status
    assert b"Traceback" not in body
    assert raw.at_end()


def start(raw: Raw) -> str:
    _, headers, _ = raw.ask(
        b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    )
    return headers["location"]


def test_an_upload_in_chunks(raw: Raw) -> None:
    location = start(raw)

    raw.send(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for first in range(0, 3000, 1000):
        raw.send(b"3E8;note=x\r\n" + b"x" * 1000 + b"\r\n")
        assert first < 3000
    status, headers, _ = raw.ask(b"0\r\nTrailer: y\r\n\r\n")
    done, _, _ = raw.ask(
        f"PUT {location}?digest={Digest.of(b'x' * 3000)} HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )

    assert (status, headers["range"]) == (202, "0-2999")
    assert done == 201


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"5\r\nabc", b"3\r\nabcXX", b"0\r\n" + b"a: b\r\n" * 40, b"1" * 2000]
)
def test_chunks_that_are_none_end_the_connection(
    raw: Raw, server: BundleServer, body: bytes
) -> None:
    location = start(raw)

    raw.send(
        f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + body
    )
    raw.socket.shutdown(socket.SHUT_WR)
    while not raw.at_end():
        pass
    with Raw(server) as other:
        assert other.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_an_upload_that_breaks_off_can_go_on(raw: Raw, server: BundleServer) -> None:
    location = start(raw)
    raw.send(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc".encode())
    raw.socket.shutdown(socket.SHUT_WR)
    while not raw.at_end():
        pass

    with Raw(server) as other:
        _, headers, _ = other.ask(f"GET {location} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert headers["range"] == "0-2"
        status, _, _ = other.ask(
            f"PUT {location}?digest={Digest.of(b'abcdef')} HTTP/1.1\r\nHost: x\r\n"
            "Content-Range: 3-5\r\nContent-Length: 3\r\n\r\ndef".encode()
        )
    assert status == 201


def test_a_body_that_nobody_wanted_is_passed_over(raw: Raw) -> None:
    status, _, _ = raw.ask(
        b"PUT /v2/app/blobs/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /"
    )

    assert status == 405
    assert raw.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_a_client_that_waits_for_leave_gets_it(raw: Raw) -> None:
    raw.send(
        f"POST /v2/app/blobs/uploads/?digest={Digest.of(b'abc')} HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
    )

    assert raw.receive()[0] == 100
    assert raw.ask(b"abc")[0] == 201


class Bad(MemoryTarget):
    """Gives other bytes, or fewer, than it was given."""

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        return BytesStream(DATA[:-1] + b"!")

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        return BytesStream(DATA[offset : offset + length - 1])


class Failing(MemoryTarget):
    def describe(self, digest: Digest) -> Descriptor:
        raise RuntimeError("a secret of ours")


class Fixed(MemoryRepositories):
    def __init__(self, target: MemoryTarget) -> None:
        super().__init__()
        self._target = target
        push(target, OCI_LAYER, DATA)

    def get(self, name: str) -> MemoryTarget:
        return self._target


@pytest.mark.parametrize(
    ("headers", "error"),
    [("", DigestMismatchError), ("Range: bytes=0-2000000\r\n", SizeMismatchError)],
)
def test_damaged_content_never_arrives_whole(
    events: list[Access | BaseException], headers: str, error: type[BaseException]
) -> None:
    with (
        BundleServer("127.0.0.1", 0, Fixed(Bad()), report=events.append) as server,
        Raw(server) as raw,
    ):
        status, answer, body = raw.ask(
            f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()
        )

        assert status in (200, 206)
        assert len(body) < int(answer["content-length"])
    assert any(isinstance(event, error) for event in events)


def test_what_nobody_foresaw_is_reported_here_and_not_there(
    events: list[Access | BaseException],
) -> None:
    with (
        BundleServer("127.0.0.1", 0, Fixed(Failing()), report=events.append) as server,
        Raw(server) as raw,
    ):
        request = f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        status, _, body = raw.ask(request)

        assert status == 500
        assert b"secret" not in body
        assert raw.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    assert any(isinstance(event, RuntimeError) for event in events)


def test_unprintable_paths_do_not_reach_the_log(
    raw: Raw, events: list[Access | BaseException]
) -> None:
    raw.ask(b"GET /\x1b[31m\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n")

    while not events:
        time.sleep(0.01)
    assert isinstance(events[0], Access)
    assert events[0].path == "/\\x1b[31m\\xc3\\xa9"


def test_running_requests_end_before_the_server_does(repositories: MemoryRepositories) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(MemoryTarget):
        def describe(self, digest: Digest) -> Descriptor:
            begun.set()
            go_on.wait(10)
            return super().describe(digest)

    server = BundleServer("127.0.0.1", 0, Fixed(Slow()))
    server.start()
    with Raw(server) as idle, Raw(server) as busy, ThreadPoolExecutor() as pool:
        assert idle.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        busy.send(f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        begun.wait(10)
        closing = pool.submit(server.close)
        assert idle.at_end()
        assert not closing.done()
        go_on.set()
        _, headers, body = busy.receive()
        closing.result(10)

        assert body == DATA
        assert headers["connection"] == "close"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.server_address, timeout=1)
    server.close()


def test_a_request_that_never_ends_does_not_hold_the_server_up(server: BundleServer) -> None:
    with Raw(server) as raw:
        raw.send(b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        time.sleep(0.1)
        began = time.monotonic()
        server.close(grace=0.2)

        assert time.monotonic() - began < 5
        assert raw.at_end()


def test_serve_forever_ends_when_another_thread_closes() -> None:
    server = BundleServer("127.0.0.1", 0, MemoryRepositories())
    with ThreadPoolExecutor() as pool:
        running = pool.submit(server.serve_forever)
        answer = urllib3.request("GET", f"{server.url}/healthz", retries=False, timeout=10)
        server.close()
        running.result(10)

    assert answer.data == b"ok\n"


def test_an_address_in_use_is_named(server: BundleServer) -> None:
    host, port = server.server_address

    with pytest.raises(UsageError, match="--listen") as caught:
        BundleServer(host, port, MemoryRepositories())
    assert f"{host}:{port}" in str(caught.value)
    with pytest.raises(UsageError):
        BundleServer("127.0.0.1", 99999, MemoryRepositories())


def test_ipv6() -> None:
    try:
        server = BundleServer("::1", 0, MemoryRepositories())
    except UsageError:
        pytest.skip("no IPv6 here")
    with server:
        answer = urllib3.request("GET", f"{server.url}/healthz", retries=False, timeout=10)

    assert server.host.startswith("[::1]:")
    assert answer.status == 200


def test_many_clients_at_once(server: BundleServer) -> None:
    with urllib3.PoolManager(maxsize=16, block=True, retries=False) as pool:

        def get(_: int) -> Digest:
            return Digest.of(pool.request("GET", f"{server.url}/v2/app/blobs/{DIGEST}").data)

        with ThreadPoolExecutor(16) as threads:
            assert set(threads.map(get, range(48))) == {DIGEST}


def test_one_connection_too_many_is_turned_away(server: BundleServer) -> None:
    clients: list[Raw] = []
    try:
        clients += (Raw(server) for _ in range(CONNECTION_LIMIT))
        for client in clients:
            client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert {client.receive()[0] for client in clients} == {200}
        with Raw(server) as one_more:
            assert one_more.receive()[0] == 503
    finally:
        for client in clients:
            client.__exit__()


def test_uploads_to_a_disk_are_streamed(tmp_path: Path) -> None:
    repositories = LayoutRepositories(tmp_path)
    with BundleServer("127.0.0.1", 0, repositories, writable=True) as server, Raw(server) as raw:
        raw.send(b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        _, headers, _ = raw.receive()
        location = headers["location"]
        raw.send(
            f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n".encode()
        )
        raw.send(DATA[: 3 << 20])
        deadline = time.monotonic() + 10
        while not (written := sum(p.stat().st_size for p in tmp_path.rglob("sha256/.new-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        status, _, _ = raw.ask(DATA[3 << 20 :])

        assert written >= 1 << 20
        assert status == 202
