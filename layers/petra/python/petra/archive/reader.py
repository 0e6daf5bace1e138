"""Reads members in place: nothing is unpacked, nothing is read that was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from petra.archive import members, tar, zstd
from petra.archive.directory import Extent, Located, locate, read_text, zstd_extents
from petra.archive.framing import Framing, GzipFraming, ZstdFraming
from petra.archive.gzip import gzip_extents
from petra.archive.source import read
from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.errors import DigestMismatchError, FormatError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from petra.archive.source import Source
    from petra.content.protocols import ByteStream


def framing_of(source: Source) -> Framing:
    """Return the compression of `source`, by its first bytes.

    Raises:
        FormatError: it is neither zstd nor gzip.
    """
    magic = read(source, 0, min(4, source.size))
    if magic == zstd.MAGIC:
        return ZstdFraming()
    if magic.startswith(GzipFraming.HEADER[:2]):
        return GzipFraming()
    raise FormatError(
        "not a bundle: neither zstd nor gzip",
        where=source.name,
        hint="give the NAME-VERSION.tar.zst or .tar.gz that petra made",
    )


def extents_of(source: Source, framing: Framing) -> list[Extent]:
    """Return the frames of `source` in order.

    Raises:
        FormatError: they do not fill the file exactly.
    """
    return zstd_extents(source) if isinstance(framing, ZstdFraming) else gzip_extents(source)


class ArchiveReader:
    """A bundle's members, by name, where they lie in the file.

    Several threads may read at once. Whether the file is to be believed is not known here: see
    :func:`petra.archive.verify.verify_archive`.

    Args:
        source: the file; closed with the reader.

    Attributes:
        source: the file.
        members: all members in order.

    Raises:
        FormatError: the file is no bundle, or its frames and its metadata disagree.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._framing = framing_of(source)
        self.extents = extents_of(source, self._framing)
        self.members: Mapping[str, Located] = locate(source, self.extents, self._framing)

    @property
    def is_zstd(self) -> bool:
        """Whether the file is compressed with zstd; with gzip otherwise."""
        return isinstance(self._framing, ZstdFraming)

    def find(self, name: str) -> Located:
        """Return where `name` lies.

        Raises:
            NotFoundError: there is no such member.
        """
        if name not in self.members:
            raise NotFoundError("the bundle has no such member", where=name)
        return self.members[name]

    def read(self, name: str) -> bytes:
        """Return a text member whole, checked against the metadata.

        Raises:
            NotFoundError: there is no such member.
            FormatError: it is damaged, too large, or another member stands in its place.
            DigestMismatchError: it is not what the metadata says.
        """
        return self.read_with_time(name)[0]

    def read_with_time(self, name: str) -> tuple[bytes, int]:
        """Return a text member as :meth:`read` does, and its mtime in seconds since 1970."""
        located = self.find(name)
        if members.is_stored(name) or len(located.extents) != 1:
            raise FormatError("not a text member", where=name)
        found, mtime, data = read_text(self.source, located.extents[0], self._framing, where=name)
        if found != name:
            raise FormatError("another member stands here", expected=name, found=found)
        if located.digest and Digest.of(data) != located.digest:
            raise DigestMismatchError(
                "a member is not what the metadata says",
                where=name,
                expected=located.digest,
                found=Digest.of(data),
            )
        return data, mtime

    def open(self, name: str, offset: int = 0, length: int | None = None) -> StoredStream:
        """Return a stored member's bytes, or a range of them, not yet checked.

        Args:
            name: a blob or a chart.
            offset: the first byte.
            length: how many bytes; to the end for None.

        Raises:
            NotFoundError: there is no such member, or no such range in it.
            FormatError: the member is not stored as the format says.
        """
        located = self.find(name)
        end = located.size if length is None else offset + length
        if not 0 <= offset <= end <= located.size:
            raise NotFoundError("no such range", where=name, expected=f"within {located.size}")
        if not members.is_stored(name):
            raise FormatError("not a stored member", where=name)
        self._check_stored(located)
        head = tar.header_size(located.size)
        return StoredStream(self.source, located, self._framing, head + offset, head + end)

    def _check_stored(self, located: Located) -> None:
        for extent in located.extents:
            blocks = -(-extent.content // self._framing.block)
            overhead = self._framing.frame_header + blocks * self._framing.block_header
            if extent.compressed != overhead + extent.content:
                raise FormatError("a blob is compressed, not stored", where=located.name)

    def open_content(self, name: str) -> ByteStream:
        """Return any member with its tar header and padding, as the tar stream has it.

        Raises:
            NotFoundError: there is no such member.
            FormatError: it is damaged.
        """
        located = self.find(name)
        if not members.is_stored(name):
            frame = read(self.source, located.extents[0].offset, located.extents[0].compressed)
            return BytesStream(self._framing.expand(frame, tar.span(located.size), where=name))
        self._check_stored(located)
        return StoredStream(self.source, located, self._framing, 0, tar.span(located.size))

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class StoredStream:
    """The bytes `start` to `end` of a stored member's content, read in place, block by block."""

    def __init__(
        self, source: Source, located: Located, framing: Framing, start: int, end: int
    ) -> None:
        self._source = source
        self._located = located
        self._framing = framing
        self._at = start
        self._end = end

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as one block reaches; 0 at the end."""
        if self._at >= self._end or not len(buffer):
            return 0
        place, run = self._place()
        count = min(run, len(buffer), self._end - self._at)
        self._source.read_into(place, buffer[:count])
        self._at += count
        return count

    def _place(self) -> tuple[int, int]:
        """Return where the next byte lies in the file and how many follow it in its block."""
        within = self._at
        for extent in self._located.extents:
            if within < extent.content:
                break
            within -= extent.content
        block = within // self._framing.block
        headers = self._framing.frame_header + (block + 1) * self._framing.block_header
        end = min((block + 1) * self._framing.block, extent.content)
        return extent.offset + headers + within, end - within

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all that are left for -1."""
        left = self._end - self._at
        wanted = left if size < 0 else min(size, left)
        data = bytearray(wanted)
        view = memoryview(data)
        while count := self.readinto(view):
            view = view[count:]
        return bytes(data)

    def close(self) -> None:
        """Do nothing: the file belongs to the reader."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
