"""A chart repository on loopback that also misbehaves on request."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Page:
    """What the server answers with.

    Attributes:
        body: the content.
        status: the HTTP status.
        headers: besides Content-Length.
        cut: bytes of the body after which the connection is closed; None for all of them.
        claim: the Content-Length; None for the true one, -1 for none at all.
        times: how often this is the answer, before `then` is; None for always.
        then: the page after that.
        authorization: the Authorization header without which the answer is 401.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    claim: int | None = None
    times: int | None = None
    then: Page | None = None
    authorization: str | None = None


@dataclass
class ChartServer:
    """A running server.

    Attributes:
        url: ``http://127.0.0.1:PORT``.
        pages: by path; tests add and change them.
        requests: path and headers (names in lower case) of each request so far.
    """

    url: str
    pages: dict[str, Page]
    requests: list[tuple[str, dict[str, str]]]

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of each request for `path`."""
        return [headers for asked, headers in self.requests if asked == path]


@contextmanager
def running_chart_server(pages: dict[str, bytes | Page] | None = None) -> Iterator[ChartServer]:
    """Serve `pages` by path on a free port until the block ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        for path, page in (pages or {}).items():
            server.pages[path] = page if isinstance(page, Page) else Page(page)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            yield ChartServer(url, server.pages, server.requests)
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.server.requests.append((self.path, headers))
        page = self._page()
        if page.authorization and headers.get("authorization") != page.authorization:
            page = Page(b"who are you?", 401)
        self._answer(page)

    def _page(self) -> Page:
        page = self.server.pages.get(self.path, Page(b"not here", 404))
        if page.times == 0 and page.then:
            self.server.pages[self.path] = page = page.then
        elif page.times is not None:
            page.times -= 1
        return page

    def _answer(self, page: Page) -> None:
        self.send_response(page.status)
        for name, text in page.headers.items():
            self.send_header(name, text)
        claim = len(page.body) if page.claim is None else page.claim
        if claim >= 0:
            self.send_header("Content-Length", str(claim))
        if page.cut is not None or claim < 0:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with suppress(ConnectionError):  # who has seen enough hangs up
            self.wfile.write(page.body if page.cut is None else page.body[: page.cut])

    def log_message(self, *_: object) -> None:
        """Stay quiet."""
