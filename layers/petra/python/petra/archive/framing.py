"""What the two compressions of a bundle have in common, for the writer.

Both can hold bytes as they are, in blocks with a short header each. So a blob's place in the file
follows from sizes alone, and a buffer can be laid out as the file's own bytes, with gaps for the
headers, before the blob's bytes are read straight into it.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, ClassVar, Protocol

from petra.archive import zstd
from petra.errors import FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.archive.zstd import Frame


class Framing(Protocol):
    """How a compression frames text and blobs.

    Attributes:
        suffix: the file name's ending.
        block: bytes of content in a stored block, at most.
        block_header: bytes before each of them.
        frame_header: bytes before the first of them.
        frame_limit: bytes of content in one frame, at most.
    """

    suffix: ClassVar[str]
    block: ClassVar[int]
    block_header: ClassVar[int]
    frame_header: ClassVar[int]
    frame_limit: ClassVar[int]
    needs_crc: ClassVar[bool]

    def open_file(self) -> bytes:
        """Return the bytes before the first frame."""
        ...

    def text(self, content: bytes) -> bytes:
        """Return `content` compressed, as a frame of its own."""
        ...

    def open_frame(self, content: int) -> bytes:
        """Return the bytes before the first stored block of a frame of `content` bytes."""
        ...

    def open_block(self, size: int, *, last: bool) -> bytes:
        """Return the bytes before a stored block of `size` bytes; `last` ends its frame."""
        ...

    def close_file(self, frames: Sequence[Frame], crc: int) -> bytes:
        """Return the bytes after the last frame.

        Args:
            frames: all of them, in order.
            crc: CRC-32 of all content, where ``needs_crc``.
        """
        ...

    def close_size(self, frames: int) -> int:
        """Return the length in bytes of what :meth:`close_file` gives for so many frames."""
        ...

    def expand(self, frame: bytes, content: int, *, where: str) -> bytes:
        """Return the content of one frame of text, refused unless it is `content` bytes.

        Raises:
            FormatError: it is damaged, or holds another number of bytes.
        """
        ...


class ZstdFraming:
    """One zstd frame a member, or several for one over 1 GiB; a seek table at the end."""

    suffix: ClassVar[str] = ".tar.zst"
    block: ClassVar[int] = zstd.BLOCK
    block_header: ClassVar[int] = zstd.BLOCK_HEADER
    frame_header: ClassVar[int] = zstd.FRAME_HEADER
    frame_limit: ClassVar[int] = zstd.FRAME_LIMIT
    needs_crc: ClassVar[bool] = False

    def open_file(self) -> bytes:
        """Return nothing: a zstd file is its frames."""
        return b""

    def text(self, content: bytes) -> bytes:
        """Return `content` as one compressed frame."""
        return zstd.compress(content)

    def open_frame(self, content: int) -> bytes:
        """Return the frame header."""
        return zstd.raw_header(content)

    def open_block(self, size: int, *, last: bool) -> bytes:
        """Return the raw block's header."""
        return zstd.raw_block_header(size, last=last)

    def close_file(self, frames: Sequence[Frame], crc: int) -> bytes:  # noqa: ARG002  # gzip's
        """Return the seek table."""
        return zstd.seek_table(frames)

    def close_size(self, frames: int) -> int:
        """Return the length of the seek table."""
        return len(zstd.seek_table([])) + 8 * frames

    def expand(self, frame: bytes, content: int, *, where: str) -> bytes:
        """Return the content of one compressed frame."""
        return zstd.decompress(frame, content, where=where)


class GzipFraming:
    """One gzip member for the whole file; blobs as stored deflate blocks.

    Source: RFC 1951, section 3.2.4 (stored blocks); RFC 1952, section 2.3 (header and trailer).
    """

    suffix: ClassVar[str] = ".tar.gz"
    block: ClassVar[int] = 65535
    block_header: ClassVar[int] = 5
    frame_header: ClassVar[int] = 0
    frame_limit: ClassVar[int] = 1 << 62
    needs_crc: ClassVar[bool] = True

    #: Deflate, no flags, no time, best compression, "unknown" operating system: no host shows.
    HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    END = b"\x01\x00\x00\xff\xff"

    def open_file(self) -> bytes:
        """Return the gzip header."""
        return self.HEADER

    def text(self, content: bytes) -> bytes:
        """Return `content` deflated, ended on a byte boundary and referring to nothing before."""
        data = self._deflate(content, zlib.Z_DEFAULT_STRATEGY)
        # A reader tells text from blobs by the first block's type. Text that zlib would store
        # takes fixed codes instead.
        return data if data[0] & 0b110 else self._deflate(content, zlib.Z_FIXED)

    def _deflate(self, content: bytes, strategy: int) -> bytes:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        return deflate.compress(content) + deflate.flush(zlib.Z_FULL_FLUSH)

    def open_frame(self, content: int) -> bytes:  # noqa: ARG002  # zstd's
        """Return nothing: deflate blocks follow each other."""
        return b""

    def open_block(self, size: int, *, last: bool) -> bytes:  # noqa: ARG002  # zstd's
        """Return the stored block's header."""
        return struct.pack("<BHH", 0, size, size ^ 0xFFFF)

    def close_file(self, frames: Sequence[Frame], crc: int) -> bytes:
        """Return the final empty block, the CRC and the length."""
        content = sum(frame.content for frame in frames)
        return self.END + struct.pack("<II", crc, content & 0xFFFFFFFF)

    def close_size(self, frames: int) -> int:  # noqa: ARG002  # zstd's
        """Return the trailer's length."""
        return len(self.END) + 8

    def expand(self, frame: bytes, content: int, *, where: str) -> bytes:
        """Return the content of one deflated run."""
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, content + 1)
        except zlib.error as error:
            raise FormatError("damaged deflate data", where=where, found=error) from None
        if len(data) != content:
            raise FormatError("text of another length", where=where, expected=content)
        return data


_FRAMINGS: dict[str, type[ZstdFraming | GzipFraming]] = {
    "tar.zst": ZstdFraming,
    "tar.gz": GzipFraming,
}


def framing(name: str) -> Framing:
    """Return the framing of `name`, ``tar.zst`` or ``tar.gz``.

    Raises:
        UsageError: there is no such format.
    """
    if name not in _FRAMINGS:
        raise UsageError("unknown bundle format", expected=" or ".join(_FRAMINGS), found=name)
    return _FRAMINGS[name]()
