"""Endpoints: one repository at one host, and the requests of the distribution API to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import DigestMismatchError
from petra.oci import media_types
from petra.oci.answers import Answer, ConnectionLostError
from petra.oci.ranges import RANGE_OK, check_whole, place, range_header
from petra.oci.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.descriptor import Descriptor
    from petra.oci.auth import ScopedAuth
    from petra.oci.connections import Body
    from petra.oci.transport import Transport
    from petra.oci.urls import Url

_ACCEPT: Final = {"Accept": ", ".join(media_types.ACCEPTED_MANIFESTS)}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SKIP_SECONDS: Final = 60.0
_LOCATION_SECONDS: Final = 60.0
_LOCATIONS: Final = 64
#: What a signed URL that has run out answers, or one whose storage has moved on.
_GONE: Final = frozenset({400, 401, 403, 404, 410})


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest as it came, its digest computed from the bytes.

    Attributes:
        raw: the bytes.
        digest: theirs.
        media_type: as the registry announced it; empty where that is of no use.
    """

    raw: bytes
    digest: Digest
    media_type: str


class Endpoint:
    """One repository at one host.

    Args:
        transport: sends the requests.
        auth: the way in, by scopes.
        api: any URL of the host.
        name: the repository's path there.
        label: ``registry/repository`` as the user knows it, for errors.
        clock: seconds that only go forward.
        retries: tries after the first; None for what the policy says.
    """

    def __init__(
        self,
        transport: Transport,
        auth: Callable[..., ScopedAuth],
        api: Url,
        name: str,
        *,
        label: str,
        clock: Callable[[], float],
        retries: int | None = None,
    ) -> None:
        self.transport = transport
        self.api = api
        self.name = name
        self.label = label
        self._auth = auth
        self._clock = clock
        self._retries = retries
        self._skip_until = float("-inf")
        self._locations: dict[str, tuple[Url, float]] = {}
        self.reading = auth(f"repository:{name}:pull")

    def writing(self, *from_names: str) -> ScopedAuth:
        """Return the way in to write here, and to read from other repositories for a mount."""
        sources = (f"repository:{name}:pull" for name in from_names)
        return self._auth(f"repository:{self.name}:pull,push", *sources)

    def deleting(self) -> ScopedAuth:
        """Return the way in to delete here."""
        return self._auth(f"repository:{self.name}:pull,delete")

    def request(
        self,
        method: str,
        path: str,
        subject: str,
        *,
        ok: frozenset[int] = frozenset({200}),
        headers: dict[str, str] | None = None,
        body: Body = None,
    ) -> Request:
        """Return a request for `path`, below the repository's own."""
        url = self.api.at(f"/v2/{self.name}/{path}")
        return Request(method, url, subject, headers or {}, body=body, ok=ok, retries=self._retries)

    def subject(self, reference: str) -> str:
        """Return `reference`, a tag or a digest, as the user knows it."""
        return f"{self.label}{'@' if ':' in reference else ':'}{reference}"

    # Whether a mirror is worth asking.

    @property
    def skipped(self) -> bool:
        """Whether this host failed a moment ago."""
        return self._clock() < self._skip_until

    def skip(self) -> None:
        """Leave this host alone for a while."""
        self._skip_until = self._clock() + _SKIP_SECONDS

    # Manifests.

    def head(self, kind: str, reference: str, *ok: int) -> Answer:
        """Ask whether there is a manifest or blob, and return the answer, ended.

        Args:
            kind: ``manifests`` or ``blobs``.
            reference: a tag or a digest.
            ok: the statuses that the caller handles.
        """
        headers = _ACCEPT if kind == "manifests" else None
        subject = self.subject(reference)
        request = self.request(
            "HEAD", f"{kind}/{reference}", subject, ok=frozenset(ok), headers=headers
        )
        answer = self.transport.send(request, self.reading)
        answer.discard()
        return answer

    def manifest(self, reference: str) -> ManifestBytes:
        """Return the manifest that `reference`, a tag or a digest, stands for.

        Raises:
            DigestMismatchError: its bytes are not what was asked for, or not what was announced.
            FormatError: it is too large.
            PetraError: as for ``Transport.send``.
        """
        subject = self.subject(reference)
        request = self.request("GET", f"manifests/{reference}", subject, headers=_ACCEPT)
        answer, raw = self.transport.document(request, self.reading, limit=DOCUMENT_LIMIT)
        digest = Digest.of(raw)
        expected = reference if ":" in reference else announced_digest(answer)
        if expected not in (None, digest):
            raise DigestMismatchError(
                f"{subject}: the manifest has another digest",
                where=str(answer.url),
                expected=expected,
                found=digest,
                hint="the registry, or a proxy on the way, serves something else; use another",
            )
        known = media_types.is_manifest(answer.media_type)
        known = known or media_types.is_schema1(answer.media_type)
        return ManifestBytes(raw, digest, answer.media_type if known else "")

    # Blobs.

    def open_blob(self, descriptor: Descriptor, start: int, end: int) -> Answer:
        """Ask for the bytes of a blob from `start` up to, without, `end`.

        Returns:
            The answer, set to the first of them.

        Raises:
            SizeMismatchError: the blob has another size.
            PetraError: as for ``Transport.send``.
        """
        attempt = 0
        while True:
            answer = self._ask_blob(descriptor, start, end)
            try:
                if end - start == descriptor.size:
                    check_whole(answer, descriptor)
                    return answer
                return place(answer, descriptor, start, end)
            except ConnectionLostError:
                if attempt >= self.transport.retry.retries:
                    raise
                self.transport.retry.pause(attempt)
                attempt += 1

    def _ask_blob(self, descriptor: Descriptor, start: int, end: int) -> Answer:
        whole = end - start == descriptor.size
        subject = f"blob {descriptor.digest} of {self.label}"
        request = self.request("GET", f"blobs/{descriptor.digest}", subject)
        if not whole:
            request.headers, request.ok = range_header(start, end), RANGE_OK
        if answer := self._ask_storage(request, descriptor.digest):
            return answer
        answer = self.transport.send(request, self.reading)
        if answer.url.origin != self.api.origin:
            self._remember(descriptor.digest, answer.url)
        return answer

    def _ask_storage(self, request: Request, digest: str) -> Answer | None:
        """Ask where the registry sent us for this blob a moment ago: it saves the way round.

        Registries that redirect to a store sign the URL for minutes at least.
        """
        url, ends = self._locations.get(digest, (None, 0.0))
        if url is None or self._clock() >= ends:
            return None
        direct = Request("GET", url, request.subject, request.headers, ok=request.ok | _GONE)
        direct.retries = 0
        try:
            answer = self.transport.send(direct)
        except ConnectionLostError:
            self._locations.pop(digest, None)
            return None
        if answer.status in request.ok:
            return answer
        self._locations.pop(digest, None)
        answer.discard()
        return None

    def _remember(self, digest: str, url: Url) -> None:
        for oldest in list(self._locations)[: 1 - _LOCATIONS]:
            self._locations.pop(oldest, None)
        self._locations[digest] = url, self._clock() + _LOCATION_SECONDS


def announced_digest(answer: Answer) -> Digest | None:
    """Return the digest in Docker-Content-Digest; None where there is none that Petra can check."""
    text = answer.headers.get("Docker-Content-Digest", "").strip()
    return Digest(text) if _DIGEST.fullmatch(text) else None
