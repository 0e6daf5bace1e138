"""The server: a listening socket, a thread for each connection, and an end without breakage."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from petra.errors import UsageError
from petra.serve.api import Api
from petra.serve.connection import Access, Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from petra.serve.helm import HelmProvider
    from petra.serve.repositories import Repositories
    from petra.serve.uploads import UploadLimits

#: Connections at once; one more is turned away.
CONNECTION_LIMIT: Final = 256
_POLL_SECONDS: Final = 0.05
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BundleServer:
    """Serves repositories, and a Helm repository, over HTTP.

    The socket listens from the start, so ``server_address`` is known; requests are answered after
    :meth:`start` or within :meth:`serve_forever`. As a context manager it starts and closes.

    Args:
        host: the address to listen on.
        port: 0 for one that is free.
        repositories: what is served under ``/v2/``.
        helm: what is served under ``/charts/``.
        writable: whether clients may push; then `repositories` are WritableRepositories.
        limits: how much they may send.
        report: called after each request with its Access, and with what went wrong on our side;
            from the request's thread.

    Raises:
        UsageError: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        repositories: Repositories,
        helm: HelmProvider | None = None,
        *,
        writable: bool = False,
        limits: UploadLimits | None = None,
        report: Callable[[Access | BaseException], None] | None = None,
    ) -> None:
        api = Api(repositories, helm=helm, writable=writable, limits=limits, report=report)
        try:
            self._listener = _Listener((host, port), api, report)
        except (OSError, OverflowError) as error:
            raise UsageError(
                "cannot listen there",
                where=f"{host}:{port}",
                found=getattr(error, "strerror", None) or error,
                hint="choose another address with --listen HOST:PORT; port 0 takes a free one",
            ) from error
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def server_address(self) -> tuple[str, int]:
        """The host and the port that are listened on."""
        host, port = self._listener.server_address[:2]
        return str(host), int(port)

    @property
    def host(self) -> str:
        """``HOST:PORT``, what references to the repositories begin with."""
        host, port = self.server_address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self.host}"

    def start(self) -> None:
        """Answer requests in the background."""
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(_POLL_SECONDS,), name="serve", daemon=True
        )
        self._thread.start()

    def serve_forever(self) -> None:
        """Answer requests until Ctrl-C, or until another thread calls :meth:`close`."""
        self.start()
        thread = self._thread
        try:
            # A join without a time limit would keep signals waiting on some systems.
            while thread is not None and thread.is_alive():
                thread.join(0.5)
        finally:
            self.close()

    def close(self, grace: float = 10.0) -> None:
        """Stop listening, let running requests end, and close all connections. Safe to call twice.

        Args:
            grace: seconds that running requests have.
        """
        if self._closed:
            return
        self._closed = True
        self._listener.closing = True
        if self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.end_connections(grace)
        self._listener.api.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Listener(ThreadingHTTPServer):
    """The listening socket, and what is known of each connection."""

    daemon_threads = True
    block_on_close = False  # end_connections waits, with a limit
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        api: Api,
        report: Callable[[Access | BaseException], None] | None,
    ) -> None:
        self.api = api
        self.closing = False
        self.report = report or (lambda _: None)
        self._changed = threading.Condition()
        self._connections: dict[socket.socket, bool] = {}  # and whether a request is running
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Connection)

    def server_bind(self) -> None:
        """Bind, without the look-up of our own name that HTTPServer would wait for."""
        socketserver.TCPServer.server_bind(self)

    def mark_busy(self, connection: socket.socket, *, busy: bool) -> None:
        with self._changed:
            if connection in self._connections:
                self._connections[connection] = busy
            self._changed.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            full = len(self._connections) >= CONNECTION_LIMIT
            if not full:
                self._connections[request] = False
        if full:
            with suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changed:
            self._connections.pop(request, None)
            self._changed.notify_all()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Report what a connection's thread died of, instead of printing it."""
        if (error := sys.exception()) is not None:
            self.report(error)

    def end_connections(self, grace: float) -> None:
        """Close idle connections now, the others when their requests have ended or time is up."""
        deadline = time.monotonic() + grace
        with self._changed:
            while self._connections:
                left = deadline - time.monotonic()
                for connection, busy in self._connections.items():
                    if not busy or left <= 0:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)
                if left <= 0:
                    return
                self._changed.wait(min(left, 0.5))
