"""Uploads: blobs into a registry, streamed, whole or in the pieces that it asks for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from petra.content.stream import BytesStream, VerifyReader
from petra.errors import AccessError, PetraError, RateLimitedError, TransportError
from petra.oci.answers import ConnectionLostError
from petra.oci.retry import RETRYABLE
from petra.oci.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import ByteStream
    from petra.oci.answers import Answer
    from petra.oci.auth import ScopedAuth
    from petra.oci.endpoint import Endpoint
    from petra.oci.retry import RetryPolicy
    from petra.oci.urls import Url

_PIECE: Final = 1024 * 1024
#: What one PATCH carries at least, in pieces, where a registry takes uploads in parts.
_PART_PIECES: Final = 16
_MAX_PART: Final = 1024**3
_STARTED: Final = 202
_CREATED: Final = 201
#: How registries without mounts, or without the other repository, refuse one.
_NO_MOUNTS: Final = frozenset({400, 404, 405, 501})
_DONE: Final = frozenset({200, 201, 204})
_OCTETS: Final = {"Content-Type": "application/octet-stream"}


class Uploader:
    """Puts blobs into one repository.

    Source: distribution-spec v1.1, "Pushing blobs".

    Args:
        endpoint: the repository.
        chunk_size: bytes that one request carries at most, whole MiB; 0 for whole blobs, unless
            the registry asks for parts.
    """

    def __init__(self, endpoint: Endpoint, chunk_size: int = 0) -> None:
        self._endpoint = endpoint
        self._chunk_size = chunk_size

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        """Upload `content`, checked against `descriptor` before its last bytes leave.

        Where that breaks it is begun anew if `content` is small enough to be kept.

        Raises:
            DigestMismatchError: the bytes are others; the registry keeps none of them.
            SizeMismatchError: there are fewer or more of them.
            PetraError: as for ``Transport.send``.
        """
        if descriptor.size <= _PIECE:
            whole = VerifyReader(content, descriptor, where=self._subject(descriptor)).read()
            self.send(descriptor, lambda: BytesStream(whole))
            return
        answer, auth = self._begin(descriptor)
        self._send_content(answer, auth, descriptor, content)

    def send(self, descriptor: Descriptor, open_content: Callable[[], ByteStream]) -> None:
        """Upload as :meth:`push` does, and begin anew where that breaks and another try can help.

        Args:
            descriptor: the blob.
            open_content: gives its bytes from the first one on, as often as it is called.

        Raises:
            PetraError: as for :meth:`push`.
        """
        retry = self._endpoint.transport.retry
        attempt = 0
        while True:
            # What is asked before bytes flow is repeated by the transport already. What carries
            # them is not: if only the answer was lost, the upload has ended and is not known.
            answer, auth = self._begin(descriptor)
            try:
                with open_content() as content:
                    return self._send_content(answer, auth, descriptor, content)
            except TransportError as error:
                if attempt >= retry.retries or not _worth_repeating(error, retry):
                    raise
                wait = error.retry_after if isinstance(error, RateLimitedError) else None
            retry.pause(attempt, wait)
            attempt += 1

    def mount(self, descriptor: Descriptor, source: str) -> bool:
        """Let the registry take the blob over from `source`, another of its repositories.

        Returns:
            Whether it did. If not, the blob is to be pushed.
        """
        auth = self._endpoint.writing(source)
        path = f"blobs/uploads/?mount={descriptor.digest}&from={source}"
        ok = frozenset({_CREATED, _STARTED, *_NO_MOUNTS})
        request = self._endpoint.request("POST", path, self._subject(descriptor), ok=ok)
        try:
            answer = self._send(request, auth)
        except AccessError:
            return False  # to that repository perhaps; to this one, sending will tell
        if answer.status == _STARTED:
            # It began an upload instead, by its right.
            self._cancel(self._location(answer), auth)
        return answer.status == _CREATED

    def _send(self, request: Request, auth: ScopedAuth | None) -> Answer:
        answer = self._endpoint.transport.send(request, auth)
        answer.discard()
        return answer

    def _subject(self, descriptor: Descriptor) -> str:
        return f"blob {descriptor.digest} of {self._endpoint.label}"

    def _begin(self, descriptor: Descriptor) -> tuple[Answer, ScopedAuth]:
        auth = self._endpoint.writing()
        subject = self._subject(descriptor)
        start = self._endpoint.request("POST", "blobs/uploads/", subject, ok=frozenset({_STARTED}))
        return self._send(start, auth), auth

    def _send_content(
        self, answer: Answer, auth: ScopedAuth, descriptor: Descriptor, content: ByteStream
    ) -> None:
        session = self._location(answer)
        verified = VerifyReader(content, descriptor, where=self._subject(descriptor))
        try:
            minimum = answer.headers.get("OCI-Chunk-Min-Length")
            part = _part_pieces(minimum, self._chunk_size)
            pieces = _pieces(verified)
            if part and descriptor.size:
                session = self._send_parts(session, auth, descriptor, pieces, part)
                self._put(session, auth, descriptor, b"", 0)
            elif descriptor.size <= _PIECE:
                whole = b"".join(bytes(piece) for piece in pieces)
                self._put(session, auth, descriptor, whole, len(whole))
            else:
                self._put(session, auth, descriptor, pieces, descriptor.size)
        except PetraError:
            self._cancel(session, auth)
            raise

    def _put(
        self,
        session: Url,
        auth: ScopedAuth,
        descriptor: Descriptor,
        body: bytes | Iterator[memoryview],
        length: int,
    ) -> None:
        url = session.with_query(f"digest={descriptor.digest}")
        request = Request("PUT", url, self._subject(descriptor), ok=_DONE, body=body)
        request.headers = {**_OCTETS, "Content-Length": str(length)}
        request.replayable = False
        self._send(request, self._auth_for(url, auth))

    def _send_parts(
        self,
        session: Url,
        auth: ScopedAuth,
        descriptor: Descriptor,
        pieces: Iterator[memoryview],
        part: int,
    ) -> Url:
        """Send one PATCH for each `part` pieces and return where the upload is to be closed."""
        for offset in range(0, descriptor.size, part * _PIECE):
            length = min(part * _PIECE, descriptor.size - offset)
            request = Request(
                "PATCH",
                session,
                self._subject(descriptor),
                {
                    **_OCTETS,
                    "Content-Length": str(length),
                    "Content-Range": f"{offset}-{offset + length - 1}",
                },
                body=islice(pieces, part),
                ok=frozenset({_STARTED, *_DONE}),
                replayable=False,
            )
            session = self._location(self._send(request, self._auth_for(session, auth)))
        return session

    def _auth_for(self, url: Url, auth: ScopedAuth) -> ScopedAuth | None:
        return auth if url.origin == self._endpoint.api.origin else None

    def _location(self, answer: Answer) -> Url:
        location = answer.headers.get("Location")
        if not location:
            raise TransportError(
                f"{answer.url.authority} does not say where an upload is to go",
                where=str(answer.url),
                expected="a Location header",
            )
        return self._endpoint.transport.follow_link(answer.url, location)

    def _cancel(self, session: Url, auth: ScopedAuth) -> None:
        """Let the registry forget an upload; it forgets it by itself some day if this fails."""
        request = Request("DELETE", session, "an upload", ok=frozenset({200, 202, 204}), retries=0)
        try:
            self._send(request, self._auth_for(session, auth))
        except PetraError:
            return


def _part_pieces(minimum: str | None, chunk_size: int = 0) -> int:
    """Return how many pieces one PATCH carries; 0 where nobody asks for parts.

    Args:
        minimum: what the registry asks for at least.
        chunk_size: what was asked for here, in bytes; the registry's wish goes first.
    """
    pieces = max(1, chunk_size // _PIECE) if chunk_size else 0
    if not minimum or not minimum.strip().isdigit():
        return pieces
    wanted = min(int(minimum.strip()[:18]), _MAX_PART)
    return max(pieces or _PART_PIECES, -(-wanted // _PIECE)) if wanted else pieces


def _worth_repeating(error: TransportError, retry: RetryPolicy) -> bool:
    if isinstance(error, RateLimitedError) and (error.retry_after or 0) > retry.patience:
        return False
    return isinstance(error, ConnectionLostError) or error.status in RETRYABLE


def _pieces(content: VerifyReader) -> Iterator[memoryview]:
    """Give the content in full pieces of _PIECE bytes, the last one after all has been checked.

    A registry that has all announced bytes could keep them even if the check fails afterwards.
    """
    buffers = [memoryview(bytearray(_PIECE)) for _ in range(2)]
    held = _fill(content, buffers[0])
    turn = 1
    while held:
        # The reader checks digest and size when it is asked for more after the last byte.
        following = _fill(content, buffers[turn])
        yield held
        held, turn = following, 1 - turn


def _fill(content: VerifyReader, buffer: memoryview) -> memoryview:
    filled = 0
    while filled < len(buffer) and (count := content.readinto(buffer[filled:])):
        filled += count
    return buffer[:filled]
