"""URLs of registries: parsed once, compared by origin, shown without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

from petra.errors import TransportError

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?\.?")
# What no part of a URL holds as it is: other parsers could split there (RFC 3986, section 2).
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]|\\")


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL, without userinfo and fragment.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a lower-case name, or an address without brackets.
        port: always set.
        target: path and query, as the request line carries them.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return `text` as a URL.

        Raises:
            TransportError: it is no absolute http or https URL.
        """
        try:
            parts = urlsplit(text)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _unusable(text) from None
        if _UNSAFE.search(text) or parts.scheme not in _PORTS or not _is_host(host):
            raise _unusable(text)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], target)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be equal for two URLs to be the same server's (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """``host[:port]``, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def absolute(self) -> str:
        """The whole URL, query and all: for requests, never for people."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def at(self, target: str) -> Url:
        """Return the same server's URL of `target`, a path with an optional query."""
        return Url(self.scheme, self.host, self.port, target)

    def join(self, location: str) -> Url:
        """Return what `location`, absolute or relative to this URL, stands for.

        Raises:
            TransportError: it is no http or https URL.
        """
        try:
            return Url.parse(urljoin(self.absolute, location))
        except ValueError:
            raise _unusable(location) from None

    def with_query(self, text: str) -> Url:
        """Return the URL with `text`, ``name=value``, added to its query."""
        return self.at(f"{self.target}{'&' if '?' in self.target else '?'}{text}")

    def __str__(self) -> str:
        """Return the URL without its query, which may hold a signature or a token."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


def _is_host(host: str) -> bool:
    return bool(_NAME.fullmatch(host)) or (":" in host and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _unusable(text: str) -> TransportError:
    return TransportError("not a usable URL", where=redact(text), expected="http or https")


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Say whether `host`, without port, is this machine: 127.0.0.0/8, ::1 or ``localhost``."""
    if host == "localhost":
        return True
    return _is_address(host) and ip_address(host).is_loopback


def redact(text: str) -> str:
    """Return `text`, a URL, fit for a message: no userinfo, no query, no fragment."""
    bare = re.split(r"[?#]", text, maxsplit=1)[0]
    bare = re.sub(r"(?<=//)[^/]*@", "", bare)
    return "".join(letter if letter.isprintable() else "?" for letter in bare[:300])
