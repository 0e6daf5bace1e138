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
from petra.errors import UsageError

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
        """Return the bytes before a stored block of `size` bytes, the `last` of its frame or not."""
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


class ZstdFraming:
    """One zstd frame a member, or several for one over 1 GiB; a seek table at the end."""

    suffix = ".tar.zst"
    block = zstd.BLOCK
    block_header = zstd.BLOCK_HEADER
    frame_header = zstd.FRAME_HEADER
    frame_limit = zstd.FRAME_LIMIT
    needs_crc = False

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


class GzipFraming:
    """One gzip member for the whole file; blobs as stored deflate blocks.

    Source: RFC 1951, section 3.2.4 (stored blocks); RFC 1952, section 2.3 (header and trailer).
    """

    suffix = ".tar.gz"
    block = 65535
    block_header = 5
    frame_header = 0
    frame_limit = 1 << 62
    needs_crc = True

    #: Deflate, no flags, no time, best compression, "unknown" operating system: no host shows.
    _HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    _END = b"\x01\x00\x00\xff\xff"

    def open_file(self) -> bytes:
        """Return the gzip header."""
        return self._HEADER

    def text(self, content: bytes) -> bytes:
        """Return `content` deflated, ended on a byte boundary and referring to nothing before."""
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
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
        return self._END + struct.pack("<II", crc, content & 0xFFFFFFFF)

    def close_size(self, frames: int) -> int:  # noqa: ARG002  # zstd's
        """Return the trailer's length."""
        return len(self._END) + 8


_FRAMINGS: dict[str, type[ZstdFraming] | type[GzipFraming]] = {
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
