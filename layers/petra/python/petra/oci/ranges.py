"""Blobs by range: exactly the bytes that were asked for, whatever happens to the connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

from petra.errors import SizeMismatchError, TransportError
from petra.oci.answers import Answer, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from petra.content.descriptor import Descriptor
    from petra.oci.retry import RetryPolicy

_WHOLE: Final = 200
_PARTIAL: Final = 206
_UNSATISFIABLE: Final = 416
#: Statuses that an answer to a request for a range may have.
RANGE_OK: Final = frozenset({_WHOLE, _PARTIAL, _UNSATISFIABLE})

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_SKIP_PIECE: Final = 256 * 1024
_READ_PIECE: Final = 1024 * 1024
# After a loss, bytes are asked of the socket in pieces of this size: what a larger read had
# received before the connection broke is not reported, so it would not count as progress.
_CAREFUL_PIECE: Final = 64 * 1024


def range_header(start: int, end: int) -> dict[str, str]:
    """Return the header that asks for the bytes from `start` up to, without, `end`."""
    return {"Range": f"bytes={start}-{end - 1}"}


def place(answer: Answer, descriptor: Descriptor, start: int, end: int) -> Answer:
    """Return `answer`, checked to be the range that was asked for and set to its first byte.

    A server may pass over the Range header and send everything (RFC 9110, section 14.2): what
    lies before the range is then read and thrown away.

    Args:
        answer: with a status in RANGE_OK.
        descriptor: of the whole blob.
        start: the first byte that was asked for.
        end: one after the last.

    Raises:
        TransportError: it is another range.
        SizeMismatchError: the blob has another size than its descriptor.
        ConnectionLostError: the connection broke on the way.
    """
    try:
        if answer.status in (_PARTIAL, _UNSATISFIABLE):
            _check_range(answer, descriptor, start, end)
        else:
            check_whole(answer, descriptor)
            _skip(answer, start)
    except BaseException:
        answer.drop()
        raise
    return answer


def check_whole(answer: Answer, descriptor: Descriptor) -> None:
    """Check that an answer with a whole blob announces the size that the blob must have.

    Raises:
        SizeMismatchError: it announces another.
    """
    if answer.length not in (None, descriptor.size):
        answer.drop()
        raise _size_error(answer, descriptor, f"{answer.length} bytes")


def _check_range(answer: Answer, descriptor: Descriptor, start: int, end: int) -> None:
    if answer.status == _UNSATISFIABLE:
        raise _size_error(answer, descriptor, f"a blob that ends before byte {start}")
    text = answer.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match and match[3] not in ("*", str(descriptor.size)):
        raise _size_error(answer, descriptor, f"{match[3]} bytes")
    found = (int(match[1]), int(match[2]) + 1) if match else None
    if found != (start, end) or answer.length not in (None, end - start):
        raise TransportError(
            f"{answer.url.authority} answered another range than it was asked for",
            where=str(answer.url),
            expected=f"bytes {start}-{end - 1}/{descriptor.size}",
            found=f"{text[:80] or 'no Content-Range'}, {answer.length} bytes long",
            hint="a cache or proxy on the way is broken; fetch from the registry itself",
        )


def _skip(answer: Answer, count: int) -> None:
    buffer = memoryview(bytearray(min(count, _SKIP_PIECE)))
    while count:
        got = answer.readinto(buffer[:count])
        if not got:
            raise ConnectionLostError(
                "the connection was cut in the middle of a blob", where=str(answer.url)
            )
        count -= got


def _size_error(answer: Answer, descriptor: Descriptor, found: str) -> SizeMismatchError:
    return SizeMismatchError(
        "the registry has a blob of another size",
        where=f"{answer.url} ({descriptor.digest})",
        expected=f"{descriptor.size} bytes",
        found=found,
        hint="the registry's copy is damaged; push the image again or fetch it elsewhere",
    )


class RangeStream:
    """A ByteStream over a range of a blob that goes on where a broken connection ended.

    Args:
        open_at: asks for the bytes from there to the end of the range, and returns the answer set
            to the first of them. Called once at once.
        start: the first byte.
        end: one after the last.
        retry: how often to go on without a byte in between, and how long to wait before.
        where: the blob, for errors.
        show_excess: whether a body of unannounced length that goes on after `end` is passed on, as
            for a whole blob: whoever checks it must see that it is too long.
    """

    def __init__(
        self,
        open_at: Callable[[int], Answer],
        start: int,
        end: int,
        *,
        retry: RetryPolicy,
        where: str,
        show_excess: bool = False,
    ) -> None:
        self._open_at = open_at
        self._position = start
        self._end = end
        self._retry = retry
        self._where = where
        self._piece = max(end - start, 1)
        self._losses = 0
        self._show_excess = show_excess
        self._closed = False
        self._answer: Answer | None = open_at(start)
        #: Whether the server keeps to ranges; if not, what lay before `start` came along in vain.
        self.is_partial = self._answer.status == _PARTIAL

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` and return how many bytes came; 0 only at the end of the range.

        Raises:
            TransportError: the connection broke again and again.
        """
        left = self._end - self._position
        if not left or not len(buffer):
            return self._past_end(buffer)
        view = buffer[:left]
        while True:
            # Errors of opening are final: it has had retries of its own.
            answer = self._answer = self._answer or self._open_at(self._position)
            try:
                count = answer.readinto(view[: self._piece])
            except ConnectionLostError as error:
                self._lost(error)
                continue
            if count:
                break
            self._lost(None)
        self._position += count
        self._losses = 0
        if self._position == self._end and not (self._show_excess and answer.length is None):
            self._finish()
        return count

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left for -1; empty only at the end."""
        if size >= 0:
            buffer = bytearray(min(size, max(self._end - self._position, 1)))
            return bytes(buffer[: self.readinto(memoryview(buffer))])
        whole = bytearray()
        while piece := self.read(_READ_PIECE):
            whole += piece
        return bytes(whole)

    def close(self) -> None:
        """Give the connection back, or close it if there is more to come on it."""
        self._closed = True
        self._position = self._end
        self._finish()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer and answer.length is None and not self._closed:
            answer.discard()  # the mark of a chunked body's end
        elif answer:
            answer.settle()

    def _past_end(self, buffer: memoryview) -> int:
        """Show what a body of unannounced length goes on with, so that checks can refuse it."""
        if self._answer is None or not len(buffer):
            return 0
        try:
            count = self._answer.readinto(buffer)
        except ConnectionLostError:
            count = 0
        if not count:
            self._finish()
        return count

    def _lost(self, error: ConnectionLostError | None) -> None:
        answer, self._answer = self._answer, None
        if answer:
            answer.drop()
        if self._losses >= self._retry.retries:
            raise error or ConnectionLostError(
                "the connection is cut in the middle of a blob again and again",
                where=self._where,
                expected=f"{self._end} bytes",
                found=f"{self._position} bytes",
                hint="check the network and any proxy on the way, then try again",
            )
        self._piece = _CAREFUL_PIECE
        self._retry.pause(self._losses)
        self._losses += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
