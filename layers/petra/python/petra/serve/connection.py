"""One client's connection: HTTP/1.1 in and out, within bounds."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final, Protocol

from petra.content.stream import BytesStream
from petra.errors import PetraError, SizeMismatchError, TransportError
from petra.serve.api import internal_error
from petra.serve.body import ChunkedBody, SizedBody
from petra.serve.messages import ApiError, Request, Response, split_target

if TYPE_CHECKING:
    import socket

    from petra.content.protocols import ByteStream
    from petra.serve.api import Api

_BUFFER_SIZE: Final = 1024 * 1024
_HEADERS_LIMIT: Final = 32 * 1024
_TARGET_LIMIT: Final = 8 * 1024
# What a refused request may still send before its connection is dropped: without reading it the
# reset would overtake the answer.
_DRAIN_LIMIT: Final = 1024 * 1024
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Access:
    """One answered request.

    Attributes:
        client: its address.
        method: in capitals.
        path: with the query, unprintable characters escaped.
        status: the HTTP status.
        sent: bytes of the body.
        seconds: how long it took.
    """

    client: str
    method: str
    path: str
    status: int
    sent: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.client} {self.method} {self.path} {self.status} {self.sent} "
            f"{self.seconds * 1000:.0f}ms"
        )


class Owner(Protocol):
    """The server, as a connection sees it."""

    api: Api
    closing: bool

    def report(self, event: Access | BaseException, /) -> None:
        """Take note of an answered request, or of what went wrong on our side."""
        ...

    def mark_busy(self, connection: socket.socket, *, busy: bool) -> None:
        """Take note of whether a request is being answered on `connection`."""
        ...


class Connection(BaseHTTPRequestHandler):
    """Reads requests, answers them through the Api, one after another."""

    protocol_version = "HTTP/1.1"
    # Until a request says otherwise; with the usual 0.9, errors would have no headers.
    default_request_version = "HTTP/1.0"
    server_version = "petra"
    sys_version = ""
    timeout = 60
    disable_nagle_algorithm = True
    error_content_type = "text/plain"
    error_message_format = "%(code)d %(message)s\n"

    server: Owner  # type: ignore[assignment]  # socketserver's own, with what Owner adds

    def handle_one_request(self) -> None:
        """Read and answer one request. A failure here ends the connection, never the server."""
        try:
            self._handle()
        except (OSError, TransportError):  # the client went away, or is too slow
            self.close_connection = True

    def _handle(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(_TARGET_LIMIT + 1)
        if not self.raw_requestline:
            return
        self.server.mark_busy(self.connection, busy=True)
        try:
            began = time.monotonic()
            if len(self.raw_requestline) > _TARGET_LIMIT:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
                return
            if self.parse_request():
                self._answer(began)
        finally:
            self.server.mark_busy(self.connection, busy=False)

    def _answer(self, began: float) -> None:
        body: SizedBody | ChunkedBody | None = None
        try:
            request = self._request()
            body = request.body if isinstance(request.body, SizedBody | ChunkedBody) else None
            response = self.server.api.answer(request)
        except ApiError as error:
            self.close_connection = True
            response = error.response()
        except (OSError, TransportError):
            raise
        except Exception as error:  # noqa: BLE001  # nothing of it may reach the client
            self.server.report(error)
            response = internal_error()
        if (body is not None and not body.drain(_DRAIN_LIMIT)) or self.server.closing:
            self.close_connection = True
        sent = self._send(response)
        path = self.path[:500].encode("ascii", "backslashreplace").decode()
        path = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)
        self.server.report(
            Access(
                str(self.client_address[0]),
                self.command,
                path,
                response.status,
                sent,
                time.monotonic() - began,
            )
        )

    def _request(self) -> Request:
        """Return the request whose line and headers have just been read.

        Raises:
            ApiError: it is malformed; the connection cannot go on.
        """
        headers = {name.lower(): value.strip() for name, value in self.headers.items()}
        size = sum(len(name) + len(value) for name, value in self.headers.items())
        if size > _HEADERS_LIMIT:
            raise ApiError(431, "UNSUPPORTED", "the request's headers are too large")
        if self.command not in _METHODS:
            raise ApiError(405, "UNSUPPORTED", "no such method here")
        if not self.requestline.endswith((" HTTP/1.0", " HTTP/1.1")):
            raise ApiError(505, "UNSUPPORTED", "this server speaks HTTP/1.1")
        if self.request_version == "HTTP/1.1" and len(self.headers.get_all("Host", [])) != 1:
            raise ApiError(400, "UNSUPPORTED", "a request has one Host")
        path, query = split_target(self.path)
        length, body = self._body(headers)
        return Request(self.command, path, query, headers, body, length)

    def _body(self, headers: dict[str, str]) -> tuple[int | None, ByteStream]:
        """Return the body and its length. One that could be read in two ways is refused.

        Source: RFC 9112, section 6.3.
        """
        codings = self.headers.get_all("Transfer-Encoding", [])
        lengths = self.headers.get_all("Content-Length", [])
        assert isinstance(self.rfile, io.BufferedReader)  # noqa: S101  # socketserver's makefile
        if codings:
            if lengths or [coding.lower() for coding in codings] != ["chunked"]:
                raise ApiError(400, "UNSUPPORTED", "the body's framing is unknown")
            return None, ChunkedBody(self.rfile)
        if not lengths:
            return 0, BytesStream()
        text = headers["content-length"]
        if len(lengths) > 1 or not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004
            raise ApiError(400, "UNSUPPORTED", "Content-Length is malformed")
        return int(text), SizedBody(self.rfile, int(text))

    def _send(self, response: Response) -> int:
        """Send `response`; returns the bytes of its body that went out."""
        stream = None
        if response.stream is not None and self.command != "HEAD":
            try:
                stream = response.stream()
            except Exception as error:  # noqa: BLE001  # nothing of it may reach the client
                self.server.report(error)
                response = internal_error()
        head = self._head(response)
        if stream is not None:
            self.connection.sendall(head)
            with stream:
                return self._send_stream(stream, response.length)
        body = b"" if self.command == "HEAD" else response.body
        self.connection.sendall(head + body)
        return len(body)

    def _head(self, response: Response) -> bytes:
        headers = dict(response.headers)
        headers["Date"] = self.date_time_string()
        if response.status not in (204, 304):
            headers["Content-Length"] = str(response.content_length)
        if self.close_connection:
            headers["Connection"] = "close"
        phrase = HTTPStatus(response.status).phrase
        lines = [f"HTTP/1.1 {response.status} {phrase}"]
        lines += [f"{name}: {_one_line(value)}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _send_stream(self, stream: ByteStream, length: int) -> int:
        """Send a long body, one piece behind.

        The last piece leaves only after the stream has reported its end, so after its digest was
        found right: damaged content never arrives whole.
        """
        pieces = [memoryview(bytearray(min(_BUFFER_SIZE, length + 1))) for _ in range(2)]
        sent = 0
        waiting = pieces[0][:0]
        try:
            while count := stream.readinto(pieces[0]):
                self.connection.sendall(waiting)
                sent += len(waiting)
                waiting = pieces[0][:count]
                pieces.reverse()
            if sent + len(waiting) != length:
                raise SizeMismatchError(
                    "content ended early, or went on",
                    where=self.path[:500],
                    expected=length,
                    found=sent + len(waiting),
                )
        except PetraError as error:
            self.server.report(error)
            self.close_connection = True
            return sent
        self.connection.sendall(waiting)
        return length

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing: accesses go through ``report``."""

    def finish(self) -> None:
        """Close the files of the connection; what the client thinks of it no longer matters."""
        with suppress(OSError):
            super().finish()


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
