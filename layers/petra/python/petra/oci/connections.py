"""Connections: pools of sockets, straight or through a proxy, and one exchange over them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import urllib3

from petra.errors import SettingError
from petra.oci.answers import BROKEN, Answer, connection_lost
from petra.oci.proxies import proxy_for
from petra.oci.urls import Url, redact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: A request's body: whole, or in pieces (then Content-Length is among the headers).
Body: TypeAlias = "bytes | Iterable[memoryview | bytes] | None"

# A request is a small write after which an answer is awaited: Nagle's delay would cost 40 ms.
# The receive buffer stays the kernel's to size: fixing it measured no better.
_SOCKET_OPTIONS: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_CONNECT_TIMEOUT: Final = 10.0


class Connections:
    """Keep-alive pools, one for each server. Safe to use from many threads.

    Args:
        connections: idle connections kept for each server.
        timeout: seconds without a byte after which a connection counts as lost.
        ca_file: certificates trusted beside the system's.
        environ: the process's environment, for the proxy variables.
    """

    def __init__(
        self,
        *,
        connections: int,
        timeout: float,
        ca_file: Path | None,
        environ: Mapping[str, str],
    ) -> None:
        self._size = connections
        self._timeout = urllib3.Timeout(connect=min(timeout, _CONNECT_TIMEOUT), read=timeout)
        self._ca_file = ca_file
        self._environ = environ
        self._pools: dict[tuple[str, str, int], tuple[urllib3.HTTPConnectionPool, bool]] = {}
        self._proxies: list[urllib3.ProxyManager] = []
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def exchange(self, method: str, url: Url, headers: Mapping[str, str], body: Body) -> Answer:
        """Send one request and return its answer, whatever its status; follows nothing.

        Raises:
            ConnectionLostError: there was no answer.
            UntrustedServerError: TLS found no reason to trust the server.
            SettingError: the CA file or the proxy is unusable.
        """
        pool, forwarded = self._pools.get(url.origin) or self._make_pool(url)
        try:
            raw = pool.urlopen(
                method,
                url.absolute if forwarded else url.target,
                body=cast("bytes | None", body),  # pieces may be memoryviews, if not by its types
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except BROKEN as error:
            raise connection_lost(error, url) from error
        return Answer(raw, url, method=method, authorization=headers.get("Authorization"))

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool, _ in pools.values():
            pool.close()

    def _make_pool(self, url: Url) -> tuple[urllib3.HTTPConnectionPool, bool]:
        with self._lock:
            if made := self._pools.get(url.origin):
                return made
            proxy = proxy_for(*url.origin, self._environ)
            pool = self._through(proxy, url) if proxy else self._straight(url)
            # A proxy forwards plain requests by their whole URL, and tunnels the others.
            made = pool, bool(proxy) and url.scheme == "http"
            self._pools[url.origin] = made
            return made

    def _options(self) -> dict[str, Any]:
        # With more streams open than this urllib3 would log a warning for each one that ends.
        size = max(32, 4 * self._size)
        return {"maxsize": size, "timeout": self._timeout, "socket_options": _SOCKET_OPTIONS}

    def _straight(self, url: Url) -> urllib3.HTTPConnectionPool:
        if url.scheme == "http":
            return urllib3.HTTPConnectionPool(url.host, url.port, **self._options())
        context = self._tls()
        return urllib3.HTTPSConnectionPool(
            url.host, url.port, ssl_context=context, **self._options()
        )

    def _through(self, proxy: str, url: Url) -> urllib3.HTTPConnectionPool:
        from urllib.parse import unquote, urlsplit  # noqa: PLC0415  # only behind a proxy

        try:
            parts = urlsplit(proxy)
            login = (
                f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                if (parts.username)
                else None
            )
            manager = urllib3.ProxyManager(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
                proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
                ssl_context=self._tls() if "https" in (parts.scheme, url.scheme) else None,
                **self._options(),
            )
        except (ValueError, urllib3.exceptions.HTTPError):
            raise SettingError(
                "unusable proxy",
                where=redact(proxy),
                expected="http://HOST:PORT or https://HOST:PORT",
                hint="set HTTP_PROXY, HTTPS_PROXY and NO_PROXY",
            ) from None
        self._proxies.append(manager)
        return manager.connection_from_host(url.host, url.port, url.scheme)

    def _tls(self) -> ssl.SSLContext:
        # Loading the system's certificates costs some 20 ms: only where TLS is spoken at all.
        import ssl  # noqa: PLC0415

        if self._context is None:
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._ca_file:
                try:
                    context.load_verify_locations(cafile=self._ca_file)
                except (OSError, ssl.SSLError) as error:
                    raise SettingError(
                        "unusable CA file",
                        where=str(self._ca_file),
                        expected="a readable file of PEM certificates",
                        found=error.strerror or type(error).__name__,
                    ) from None
            self._context = context
        return self._context
