"""A loopback HTTP server that answers as a script says, and misbehaves on request."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Received:
    """A request as it came.

    Attributes:
        method: GET …
        target: as it stood in the request line.
        headers: by name in lower case.
        body: whole.
        connection: a number for each connection, from 0.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass
class Reply:
    """An answer to give.

    Attributes:
        status: its status.
        body: its body.
        headers: beside Content-Length.
        length: the Content-Length to announce; None for the body's own, -1 for none at all.
        cut: after how many bytes of the body the connection ends.
        reset: whether it ends by a reset rather than by a close.
        chunked: send the body as one chunk, without Content-Length.
        endless: repeat the body until the client goes away.
        delay: seconds to wait before answering.
        pace: seconds to wait after each kilobyte of the body.
        lost: hang up and answer nothing.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    reset: bool = False
    chunked: bool = False
    endless: bool = False
    delay: float = 0.0
    pace: float = 0.0
    lost: bool = False


Step: TypeAlias = Reply | Callable[[Received], Reply]


class ScriptedServer:
    """Answers the first request with the first step of the script, and so on.

    Attributes:
        script: the steps that are left.
        otherwise: the step for every request after them.
        requests: what came.
        sent: bytes of bodies that went out.
        upstream: where CONNECT leads, whatever host it names.
    """

    def __init__(self) -> None:
        self.script: list[Step] = []
        self.otherwise: Step = Reply(404)
        self.requests: list[Received] = []
        self.sent = 0
        self.connections = 0
        self.upstream: int | None = None
        self.lock = threading.Lock()
        self.port = 0
        self.scheme = "http"

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme and host."""
        return f"{self.scheme}://{self.host}"

    def asked(self, method: str) -> list[str]:
        """Return the targets of all requests with `method`."""
        return [request.target for request in self.requests if request.method == method]

    def answer(self, received: Received) -> Reply:
        """Return the next reply."""
        with self.lock:
            self.requests.append(received)
            step = self.script.pop(0) if self.script else self.otherwise
        return step(received) if callable(step) else step


@contextmanager
def scripted_server(context: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server until the block ends.

    Args:
        context: for TLS.
    """
    scripted = ScriptedServer()

    class Handler(_Handler):
        server_script = scripted

    server = _Server(("127.0.0.1", 0), Handler)
    server.context = context
    scripted.port = server.server_address[1]
    scripted.scheme = "https" if context else "http"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: clients that go away are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_script: ScriptedServer
    timeout = 20
    disable_nagle_algorithm = True  # head and body are two writes

    def setup(self) -> None:
        context = self.server.context  # type: ignore[attr-defined]
        if context:
            self.request.settimeout(self.timeout)
            self.request = context.wrap_socket(self.request, server_side=True)
        with self.server_script.lock:
            self.number = self.server_script.connections
            self.server_script.connections += 1
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            # The server closes the socket it accepted; the one that TLS made of it is another.
            self.request.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Print nothing."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        received = Received(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
            self.number,
        )
        reply = self.server_script.answer(received)
        time.sleep(reply.delay)
        self._send(reply)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _send(self, reply: Reply) -> None:
        if reply.lost:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        length = len(reply.body) if reply.length is None else reply.length
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length >= 0 and not reply.endless:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        if reply.chunked and reply.body:
            self.wfile.write(b"%x\r\n" % len(reply.body))
        step = 1024 if reply.pace else max(len(body), 1)
        for at in range(0, len(body), step):
            self._write(body[at : at + step])
            time.sleep(reply.pace)
        while reply.endless:
            self._write(body)
        if reply.cut is not None:
            self._hang_up(reset=reply.reset)
        elif reply.chunked:
            self.wfile.write(b"\r\n0\r\n\r\n" if reply.body else b"0\r\n\r\n")

    def _write(self, body: bytes) -> None:
        self.wfile.write(body)
        self.server_script.sent += len(body)

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        self.wfile.flush()
        if reset:
            # Let the bytes arrive first: a reset throws away what is still on its way.
            time.sleep(0.05)
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()

    def do_CONNECT(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_script.answer(Received("CONNECT", self.path, headers, b"", self.number))
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", self.server_script.upstream or 0)) as far:
            self.send_response(200)
            self.end_headers()
            _relay(self.request, far)


def _relay(one: socket.socket, other: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([one, other], [], [], 20)
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)
