"""Streams that check what passes: size, digest and trailing bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Self

from petra.content.digest import Hasher
from petra.errors import DigestMismatchError, FormatError, SizeMismatchError

if TYPE_CHECKING:
    from types import TracebackType

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import ByteStream, Fetcher

#: Manifests, indexes and other small documents are read whole; none may be larger. OCI's
#: distribution-spec asks registries to take manifests up to this size.
DOCUMENT_LIMIT = 4 * 1024 * 1024

_COPY_SIZE = 1024 * 1024


class BytesStream(io.BytesIO):
    """A ByteStream over bytes in memory."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower on purpose
        """Fill `buffer` and return how many bytes came."""
        return super().readinto(buffer)


class VerifyReader:
    """Passes a stream on and checks it against a descriptor.

    The end is only reported after size and digest have been found right, and after the inner
    stream has shown that it holds nothing more.

    Args:
        inner: the stream; closed with this one.
        descriptor: what it must be.
        where: what to name in an error, a URL or a member.
    """

    def __init__(self, inner: ByteStream, descriptor: Descriptor, *, where: str = "") -> None:
        self._inner = inner
        self._descriptor = descriptor
        self._where = where or descriptor.digest
        self._hasher = Hasher()
        self._left = descriptor.size
        self._checked = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; 0 says that all bytes came and that they are the right ones.

        Raises:
            SizeMismatchError: the stream ended early, or went on after the announced size.
            DigestMismatchError: the bytes are others.
        """
        if not len(buffer):
            return 0
        if not self._left:
            self._finish()
            return 0
        count = self._inner.readinto(buffer[: self._left])
        if not count:
            raise self._size_error(self._descriptor.size - self._left)
        self._hasher.update(buffer[:count])
        self._left -= count
        return count

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all that are left, checked, for -1."""
        if size >= 0:
            buffer = bytearray(min(size, max(self._left, 1)))
            return bytes(buffer[: self.readinto(memoryview(buffer))])
        whole = bytearray()
        while piece := self.read(_COPY_SIZE):
            whole += piece
        return bytes(whole)

    def _finish(self) -> None:
        if self._checked:
            return
        if self._inner.read(1):
            raise self._size_error(f"more than {self._descriptor.size}")
        found = self._hasher.digest()
        if found != self._descriptor.digest:
            raise DigestMismatchError(
                "content has another digest",
                where=self._where,
                expected=self._descriptor.digest,
                found=found,
                hint="the source is damaged or serves something else; fetch it from a good one",
            )
        self._checked = True

    def _size_error(self, found: int | str) -> SizeMismatchError:
        return SizeMismatchError(
            "content has another size",
            where=self._where,
            expected=f"{self._descriptor.size} bytes",
            found=f"{found} bytes",
            hint="the source is truncated or serves something else; fetch it from a good one",
        )

    def close(self) -> None:
        """Close the inner stream."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def fetch_document(
    source: Fetcher, descriptor: Descriptor, *, where: str = "", limit: int = DOCUMENT_LIMIT
) -> bytes:
    """Return a small document, checked against its descriptor.

    Args:
        source: where it is.
        descriptor: what it must be.
        where: what to name in an error.
        limit: for its size, in bytes; whoever raises it can hold that much.

    Raises:
        FormatError: it is announced as larger than `limit`.
        NotFoundError: it is not there.
        DigestMismatchError: its bytes are others.
        SizeMismatchError: there are fewer or more of them.
    """
    if descriptor.size > limit:
        raise FormatError(
            "document too large",
            where=where or descriptor.digest,
            expected=f"at most {limit} bytes",
            found=f"{descriptor.size} bytes",
        )
    with VerifyReader(source.fetch(descriptor), descriptor, where=where) as stream:
        return stream.read()
