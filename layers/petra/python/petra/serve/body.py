"""Request bodies, of a length announced or in chunks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

from petra.errors import TransportError

if TYPE_CHECKING:
    import io
    from types import TracebackType

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_LIMIT: Final = 1024
_TRAILERS: Final = 32
_PIECE: Final = 64 * 1024


class _Body:
    """What both kinds share: ``read`` and ``drain`` over ``readinto``."""

    def readinto(self, buffer: memoryview) -> int:
        raise NotImplementedError

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; for -1, as many as one call gives."""
        buffer = bytearray(_PIECE if size < 0 else min(size, _PIECE))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def drain(self, limit: int) -> bool:
        """Read what is left, up to `limit` bytes; says whether that was all."""
        buffer = memoryview(bytearray(_PIECE))
        while limit > 0:
            count = self.readinto(buffer)
            if not count:
                return True
            limit -= count
        return False

    def close(self) -> None:
        """Do nothing: the connection goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SizedBody(_Body):
    """A body of `length` bytes."""

    def __init__(self, source: io.BufferedReader, length: int) -> None:
        self._source = source
        self._left = length

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; 0 at the body's end.

        Raises:
            TransportError: the client stopped in the middle.
        """
        if not self._left or not buffer:
            return 0
        count = self._source.readinto(buffer[: self._left])
        if not count:
            raise TransportError("the client stopped in the middle of a body")
        self._left -= count
        return count


class ChunkedBody(_Body):
    """A body in chunks.

    Source: RFC 9112, section 7.1. Extensions and trailers are read and ignored.
    """

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self._left = 0
        self._ended = False
        self._first = True

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the current chunk; 0 at the body's end.

        Raises:
            TransportError: the client stopped in the middle, or what it sends are no chunks.
        """
        if not buffer:
            return 0
        if not self._left and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        count = self._source.readinto(buffer[: self._left])
        if not count:
            raise TransportError("the client stopped in the middle of a body")
        self._left -= count
        return count

    def _next_chunk(self) -> None:
        if not self._first and self._line() not in (b"\r\n", b"\n"):
            raise TransportError("a chunk of a body has no end")
        self._first = False
        match = _CHUNK_LINE.fullmatch(self._line())
        if match is None:
            raise TransportError("a chunk of a body has no size")
        self._left = int(match[1], 16)
        if self._left:
            return
        for _ in range(_TRAILERS):
            if self._line() in (b"\r\n", b"\n"):
                self._ended = True
                return
        raise TransportError("a body has too many trailers")

    def _line(self) -> bytes:
        line = self._source.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise TransportError("the client stopped in the middle of a body")
        return line
