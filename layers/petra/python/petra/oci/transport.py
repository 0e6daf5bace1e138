"""Transport: redirects, credentials, retries and bounds around single exchanges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from petra import __version__
from petra.errors import FormatError, TransportError
from petra.oci.answers import Answer, ConnectionLostError, failure
from petra.oci.retry import RETRYABLE, RetryPolicy, parse_retry_after
from petra.oci.urls import Url, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.oci.connections import Body, Connections

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})
_MAX_REDIRECTS: Final = 5
_UNAUTHORIZED: Final = 401
_AGENT: Final = f"petra/{__version__}"


class Auth(Protocol):
    """Credentials for one server."""

    def header(self) -> str | None:
        """Return the Authorization header to send, None to go without."""
        ...

    def renew(self, refused: str | None, challenges: Sequence[str]) -> str | None:
        """Return another header after a 401; None where there is no better one.

        Args:
            refused: the header that the server did not accept.
            challenges: its WWW-Authenticate headers.
        """
        ...

    def hint(self) -> str | None:
        """Return what a user can do about a refusal."""
        ...


@dataclass(slots=True)
class Request:
    """One request and what may be done with it.

    Attributes:
        method: GET, HEAD, PUT …
        url: where to.
        subject: what is asked for, as the user knows it, for errors.
        headers: sent to every server that a redirect leads to.
        private: sent to the first server only.
        body: whole, or in pieces.
        ok: statuses that the caller handles; any other becomes an error.
        replayable: whether it can be sent again; not so for a body that can be read only once.
        retries: tries after the first; None for what the policy says.
        secret: one that stands in the body: then no redirect takes it to another server, and no
            error repeats it.
    """

    method: str
    url: Url
    subject: str
    headers: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    ok: frozenset[int] = frozenset({200})
    replayable: bool = True
    retries: int | None = None
    secret: str = field(default="", repr=False)


class Transport:
    """Sends requests until there is an answer that the caller can use. Thread-safe.

    Plain HTTP is spoken to loopback hosts and to the named ones only; nothing goes from https to
    http. Redirects are followed here, and credentials stay with the server that they are for.

    Args:
        connections: the sockets.
        retry: when to try again.
        insecure: hosts, with or without port, that plain HTTP may be spoken to.
    """

    def __init__(
        self, connections: Connections, retry: RetryPolicy, insecure: frozenset[str] = frozenset()
    ) -> None:
        self._connections = connections
        self.retry = retry
        self._insecure = insecure

    def speaks_plain(self, host: str, port: int | None) -> bool:
        """Say whether plain HTTP may be spoken to a server."""
        return is_loopback(host) or not self._insecure.isdisjoint({host, f"{host}:{port}"})

    def send(self, request: Request, auth: Auth | None = None) -> Answer:
        """Send `request` and return an answer of a status in ``request.ok``, its body unread.

        Raises:
            NotFoundError: 404, and the caller does not handle it.
            AccessError: 401 or 403.
            RateLimitedError: 429, and the retries or the patience are used up.
            TransportError: any other status, or no answer at all.
            SettingError: the CA file or the proxy is unusable.
        """
        self._permit(request.url, None)
        attempt = 0
        while True:
            retry_after = None
            try:
                answer = self._follow(request, auth)
            except ConnectionLostError:
                if not self._may_retry(request, attempt):
                    raise
            else:
                if answer.status in request.ok:
                    return answer
                retry_after = self._retry_after(answer)
                if not self._worth_retrying(answer, request, attempt, retry_after):
                    hint = auth.hint() if auth else None
                    answer.secrets += (request.secret,)
                    raise failure(answer, request.subject, retry_after=retry_after, hint=hint)
                answer.discard()
            self.retry.pause(attempt, retry_after)
            attempt += 1

    def document(
        self, request: Request, auth: Auth | None = None, *, limit: int
    ) -> tuple[Answer, bytes]:
        """Send `request` and return its answer, ended, and its whole body.

        A connection that breaks within the body is a reason to try again.

        Args:
            request: as for :meth:`send`.
            auth: as for :meth:`send`.
            limit: the most bytes to take.

        Raises:
            FormatError: the body has more than `limit` bytes.
            PetraError: as for :meth:`send`.
        """
        attempt = 0
        while True:
            answer = self.send(request, auth)
            try:
                if (answer.length or 0) > limit:
                    raise _too_large(answer, request.subject, limit)
                body = answer.read(limit + 1)
            except ConnectionLostError:
                if not self._may_retry(request, attempt):
                    raise
                self.retry.pause(attempt)
                attempt += 1
                continue
            if len(body) > limit:
                raise _too_large(answer, request.subject, limit)
            answer.settle()
            return answer, body

    def get(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the document behind `url`, which need not be a registry's.

        Args:
            url: ``https``, or ``http`` where plain HTTP may be spoken.
            limit: the most bytes to take.
            headers: sent to that server, and to no other that it redirects to.

        Raises:
            FormatError: the body has more than `limit` bytes.
            PetraError: as for :meth:`send`.
        """
        parsed = Url.parse(url)
        request = Request("GET", parsed, str(parsed), private=headers or {})
        return self.document(request, limit=limit)[1]

    def follow_link(self, base: Url, location: str) -> Url:
        """Return the URL that `location`, said by the server at `base`, leads to.

        Raises:
            TransportError: it is no URL, or leads from https to http, or to a server that plain
                HTTP may not be spoken to.
        """
        url = base.join(location)
        self._permit(url, base)
        return url

    def _permit(self, url: Url, came_from: Url | None) -> None:
        if url.scheme == "https":
            return
        if came_from is not None and came_from.scheme == "https":
            raise TransportError(
                f"{came_from.authority} leads from https to plain http",
                where=str(came_from),
                found=str(url),
                hint="ask the registry's operator: behind a proxy it may not know its own name",
            )
        if not self.speaks_plain(url.host, url.port):
            raise TransportError(
                f"plain HTTP to {url.authority} is refused",
                where=str(url),
                hint=f"if it is meant, name {url.authority} among the insecure registries",
            )

    def _follow(self, request: Request, auth: Auth | None) -> Answer:
        """Send `request`, once more after a 401, and follow where the answers lead."""
        url, at_home, renewed = request.url, True, False
        header = auth.header() if auth else None
        hops = 0
        while True:
            answer = self._exchange(request, url, header if at_home else None, at_home=at_home)
            if answer.status == _UNAUTHORIZED and auth and at_home and not renewed:
                renewed = True
                fresh = self._renew(request, auth, header, answer)
                if fresh is None:
                    return answer
                header = fresh
            elif answer.status in _REDIRECTS and "Location" in answer.headers:
                hops += 1
                url = self._redirect(request, answer, hops)
                at_home = at_home and url.origin == request.url.origin
            else:
                return answer
            answer.discard()

    def _exchange(
        self, request: Request, url: Url, authorization: str | None, *, at_home: bool
    ) -> Answer:
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **request.headers}
        if at_home:
            headers.update(request.private)
            if authorization:
                headers["Authorization"] = authorization
        return self._connections.exchange(request.method, url, headers, request.body)

    def _renew(
        self, request: Request, auth: Auth, refused: str | None, answer: Answer
    ) -> str | None:
        if not request.replayable:
            return None
        try:
            return auth.renew(refused, answer.headers.getlist("WWW-Authenticate"))
        except BaseException:
            answer.drop()
            raise

    def _redirect(self, request: Request, answer: Answer, hops: int) -> Url:
        """Return where the answer leads, or end it and say why nobody goes there."""
        try:
            url = self.follow_link(answer.url, answer.headers["Location"])
            _check_redirect(request, answer, url, hops)
        except TransportError:
            answer.drop()
            raise
        return url

    def _retry_after(self, answer: Answer) -> float | None:
        return parse_retry_after(answer.headers.get("Retry-After"), self.retry.now())

    def _may_retry(self, request: Request, attempt: int) -> bool:
        retries = self.retry.retries if request.retries is None else request.retries
        return request.replayable and attempt < retries

    def _worth_retrying(
        self, answer: Answer, request: Request, attempt: int, retry_after: float | None
    ) -> bool:
        patient = retry_after is None or retry_after <= self.retry.patience
        return answer.status in RETRYABLE and patient and self._may_retry(request, attempt)


def _check_redirect(request: Request, answer: Answer, url: Url, hops: int) -> None:
    """Refuse a redirect that leads on and on, or that would take a body where it must not go."""
    repeatable = answer.status in _KEEP_METHOD and request.replayable
    if hops > _MAX_REDIRECTS:
        problem = f"more than {_MAX_REDIRECTS} redirects"
    elif request.method not in ("GET", "HEAD") and not repeatable:
        problem = f"a redirect of a {request.method} that cannot be repeated"
    elif request.secret and url.origin != request.url.origin:
        problem = "a redirect that would take credentials to another server"
    else:
        return
    raise TransportError(
        f"{request.subject}: {problem}",
        where=str(answer.url),
        found=str(url),
        hint="name the server that it leads to instead, or ask the registry's operator",
    )


def _too_large(answer: Answer, subject: str, limit: int) -> FormatError:
    answer.drop()
    return FormatError(
        f"{subject} is too large",
        where=str(answer.url),
        expected=f"at most {limit} bytes",
        found=f"{answer.length} bytes" if answer.length else f"more than {limit} bytes",
    )
