"""Answers: what a server said, read with bounds, and the errors made of it."""

from __future__ import annotations

import base64
import http.client
from typing import TYPE_CHECKING, Any, Final

import urllib3
import urllib3.exceptions

from petra.encoding.json import load_json
from petra.errors import (
    AccessError,
    FormatError,
    NoSpaceError,
    NotFoundError,
    PetraError,
    RateLimitedError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.oci.urls import Url

#: Bytes of an error's body that are looked at.
ERROR_LIMIT: Final = 64 * 1024
#: A longer rest is not worth reading just to keep the connection.
_DRAIN_LIMIT: Final = 64 * 1024
_TEXT_LIMIT: Final = 200
_PIECE: Final = 64 * 1024

_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({401, 403})
_RATE_LIMITED: Final = 429
_NO_SPACE: Final = 507
#: What reading from a broken connection can raise under urllib3.
BROKEN: Final = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)


class ConnectionLostError(TransportError):
    """No connection came about, or it broke, or nothing came in time: trying again can help."""


class UntrustedServerError(TransportError):
    """TLS found no reason to trust the server, or the other side speaks no TLS."""

    retryable = False


class Answer:
    """A status, headers, and a body that is still on the wire.

    One of :meth:`settle` and :meth:`drop` ends it; both are safe to call twice.

    Args:
        raw: urllib3's response, content neither preloaded nor decoded.
        url: where it came from in the end.
        method: what was asked; a HEAD has no body, whatever its headers announce.
        authorization: the header that was sent, so that no message repeats it.
    """

    __slots__ = ("_bodiless", "_raw", "headers", "length", "secrets", "status", "url")

    def __init__(
        self,
        raw: urllib3.BaseHTTPResponse,
        url: Url,
        *,
        method: str = "GET",
        authorization: str | None = None,
    ) -> None:
        self._raw = raw
        self._bodiless = method == "HEAD"
        self.url = url
        #: What no message may repeat.
        self.secrets: tuple[str, ...] = (authorization,) if authorization else ()
        self.status = raw.status
        self.headers = raw.headers
        length = raw.headers.get("Content-Length", "")
        #: The body's bytes; None where they are not announced.
        self.length = int(length[:18]) if length.isascii() and length.isdigit() else None

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, empty where there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip()

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the body; 0 at its end, and also where the connection was cut.

        Raises:
            ConnectionLostError: the connection broke.
        """
        try:
            return _receive(self._raw, buffer)
        except BROKEN as error:
            self.drop()
            raise connection_lost(error, self.url) from error

    def read(self, limit: int) -> bytes:
        """Return the body, but no more than `limit` bytes of it.

        Raises:
            ConnectionLostError: the connection broke, or was cut before the announced length.
        """
        body = bytearray()
        buffer = memoryview(bytearray(min(limit, _PIECE)))
        while len(body) < limit and (count := self.readinto(buffer[: limit - len(body)])):
            body += buffer[:count]
        if not self._bodiless and self.length is not None and len(body) < min(limit, self.length):
            self.drop()
            raise ConnectionLostError(
                "the connection was cut in the middle of an answer",
                where=str(self.url),
                expected=f"{self.length} bytes",
                found=f"{len(body)} bytes",
            )
        return bytes(body)

    def settle(self) -> None:
        """Keep the connection for the next request if the body has all been read, else drop it."""
        if self._raw.closed:
            self._raw.release_conn()
        else:
            self.drop()

    def discard(self) -> None:
        """Read a short rest of the body away, then settle."""
        buffer = memoryview(bytearray(8192))
        left = _DRAIN_LIMIT
        try:
            while left > 0 and (count := self.readinto(buffer)):
                left -= count
        except ConnectionLostError:
            return
        self.settle()

    def drop(self) -> None:
        """Close the connection: what is still to come on it is not wanted."""
        self._raw.close()
        # The pool makes a new one in its place.
        self._raw.release_conn()


def _receive(raw: urllib3.BaseHTTPResponse, buffer: memoryview) -> int:
    """Read from the socket straight into `buffer`.

    urllib3's own ``readinto`` reads bytes and copies them. The response of http.client below it
    has one that hands the buffer on to ``recv_into``; its place is no public interface, so where
    it is not found the public way serves.
    """
    source = getattr(raw, "_fp", None)
    if isinstance(source, http.client.HTTPResponse):
        return source.readinto(buffer)
    data = raw.read(len(buffer), decode_content=False)
    buffer[: len(data)] = data
    return len(data)


def connection_lost(error: BaseException, url: Url) -> TransportError:
    """Return what `error`, raised by urllib3 or below it, means for the user."""
    if untrusted := _untrusted(error, url):
        return untrusted
    return ConnectionLostError(
        f"no answer from {url.authority}: {_reason(error)}",
        where=str(url),
        hint="check the registry's name, the network and the proxy settings, then try again",
    )


def _untrusted(error: BaseException, url: Url) -> TransportError | None:
    for cause in _causes(error):
        reason = getattr(cause, "reason", None)
        if isinstance(reason, str) and reason == "CERTIFICATE_VERIFY_FAILED":
            detail = getattr(cause, "verify_message", "")
            return UntrustedServerError(
                f"the certificate of {url.authority} is not trusted: {detail}",
                where=str(url),
                hint="if a CA of your own signed it, name that CA's file",
            )
        if isinstance(reason, str) and reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            return UntrustedServerError(
                f"{url.authority} does not speak TLS",
                where=str(url),
                hint="if plain HTTP is meant, name it among the insecure registries",
            )
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """Return `error` and the errors that it wraps, outermost first."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < 16:  # noqa: PLR2004  # far deeper than any real chain
        current = waiting.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            waiting += [current.__cause__, getattr(current, "reason", None), *current.args]
    return found


def _reason(error: BaseException) -> str:
    """Return the innermost cause in a few words; never the wrappers' text, which quotes URLs."""
    causes = _causes(error)
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return "its name does not resolve"
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if texts:
        reason = clean(texts[-1])
    elif any(isinstance(c, (TimeoutError, urllib3.exceptions.TimeoutError)) for c in causes):
        reason = "timed out"
    else:
        reason = "the connection was closed"
    through_proxy = any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes)
    return f"{reason} (at the proxy)" if through_proxy else reason


def clean(text: object, secrets: Iterable[str] = ()) -> str:
    """Return `text` from the other side fit for a message: short, one line, no secrets.

    Args:
        text: anything.
        secrets: what to blot out; an Authorization header stands for what is in it.
    """
    whole = str(text)
    for secret in secrets:
        for part in _parts(secret):
            whole = whole.replace(part, "***")
    line = " ".join(whole[: _TEXT_LIMIT * 2].split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:_TEXT_LIMIT]


def _parts(secret: str) -> list[str]:
    """Return the forms in which a secret could come back, the longest first."""
    scheme, _, credentials = secret.partition(" ")
    parts = [secret, credentials]
    if scheme == "Basic":
        pair = base64.b64decode(credentials).decode(errors="replace")
        parts += [pair, pair.partition(":")[2]]
    return [part for part in parts if part]


def failure(
    answer: Answer, subject: str, *, retry_after: float | None = None, hint: str | None = None
) -> PetraError:
    """Return the error that an answer means, and end the answer.

    Args:
        answer: one with an unwelcome status.
        subject: what was asked for, as the user knows it.
        retry_after: the seconds that a 429 asked to wait.
        hint: what the reader can do about a refusal, 401 or 403.
    """
    error = _failure(answer, subject, retry_after, hint)
    error.status = answer.status
    return error


def _failure(
    answer: Answer, subject: str, retry_after: float | None, hint: str | None
) -> PetraError:
    detail = _detail(answer)
    status, where = answer.status, str(answer.url)
    said = f" ({detail})" if detail else ""
    if status == _NOT_FOUND:
        return NotFoundError(
            f"{subject} is not there{said}",
            where=where,
            hint="check the name, the tag or digest, and that the registry still holds it",
        )
    if status in _REFUSED:
        host = answer.url.authority
        return AccessError(
            f"{host} refuses access to {subject}: HTTP {status}{said}",
            where=where,
            hint=hint or f"run `docker login {host}` with an account that may do this",
        )
    if status == _RATE_LIMITED:
        wait = "wait" if retry_after is None else f"wait {retry_after:.0f} s"
        return RateLimitedError(
            f"{answer.url.authority} limits the rate of requests for {subject}{said}",
            retry_after=retry_after,
            where=where,
            hint=f"{wait} and try again, log in for a higher limit, or set a mirror",
        )
    if status == _NO_SPACE:
        return NoSpaceError(
            f"{answer.url.authority} has no room for {subject}{said}",
            where=where,
            hint="make room at the registry, and run the same call again",
        )
    return TransportError(
        f"{answer.url.authority} answered HTTP {status} for {subject}{said}",
        where=where,
        hint="try again later; if it goes on, ask the registry's operator",
    )


def _detail(answer: Answer) -> str:
    """Return the registry's own error code and message, bounded; ends the answer.

    Source: distribution-spec v1.1, "Error Codes".
    """
    try:
        body = answer.read(ERROR_LIMIT)
        answer.settle()
        errors = load_json(body, where="").get("errors")
        first = errors[0]
        parts = [first.get("code"), first.get("message")]
    except (ConnectionLostError, FormatError, AttributeError, TypeError, LookupError):
        answer.drop()
        return ""
    return clean(": ".join(str(part) for part in parts if part), answer.secrets)
