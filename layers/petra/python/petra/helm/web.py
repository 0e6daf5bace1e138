"""What a chart repository over HTTP needs of a transport, and how its URLs are read."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from petra.errors import UsageError
from petra.oci.urls import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class HttpGetter(Protocol):
    """Gets small documents over HTTP: retries, redirects, proxies and certificates are its own.

    It passes no header of the caller's on to another host when it follows a redirect.
    """

    def get(self, url: str, *, limit: int, headers: Mapping[str, str]) -> bytes:
        """Return the whole body behind `url`.

        Args:
            url: ``http`` or ``https``, without userinfo.
            limit: the most bytes to take.
            headers: to send.

        Raises:
            NotFoundError: it is not there.
            AccessError: credentials are missing or refused.
            FormatError: it has more than `limit` bytes.
            TransportError: the network or the other side failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class WebUrl:
    """The URL of a chart repository, or of a file in one.

    Attributes:
        url: without userinfo and fragment.
        authorization: the header that the userinfo stands for, or None. A secret.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parts of `text`.

        Raises:
            UsageError: it is no URL with a host.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("http", "https") or _CONTROL.search(text):
            raise UsageError(
                "not a URL over HTTP", where=redact(text), expected="https://HOST/PATH"
            )
        netloc = f"[{host}]" if ":" in host else host
        netloc += f":{port}" if port else ""
        url = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
        if parts.username is None:
            return cls(url)
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(url, "Basic " + base64.b64encode(pair.encode()).decode())

    @property
    def is_secure(self) -> bool:
        """Whether the other side proves who it is."""
        return self.url.startswith("https:")

    def join(self, reference: str) -> str:
        """Return what `reference` stands for in a repository's index.

        A relative one is below the repository and keeps its query, as Helm has it.
        """
        if urlsplit(reference).scheme:
            return reference
        parts = urlsplit(self.url)
        base = urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))
        joined = urlsplit(urljoin(base, reference))
        return urlunsplit(joined._replace(query=joined.query or parts.query))

    def beside(self, suffix: str) -> str:
        """Return the URL of a neighbour of this file, its name with `suffix` added."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=parts.path + suffix))

    def headers_for(self, url: str) -> dict[str, str]:
        """Return the headers for `url`: credentials only where it is of the same origin."""
        if self.authorization and _origin(url) == _origin(self.url):
            return {"Authorization": self.authorization}
        return {}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
