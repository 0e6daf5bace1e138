"""Zstandard frames: text compressed, blobs as raw blocks, a seek table at the end.

Format, section 3. A frame of raw blocks needs no compressor, and its length follows from its
content's length alone: that is why every offset in a bundle is known before a layer is fetched.

Sources: RFC 8878, sections 3.1.1 (frames and blocks) and 3.1.2 (skippable frames); "Zstandard
Seekable Format" 0.1.0 in zstd's contrib/seekable_format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"\x28\xb5\x2f\xfd"
#: RFC 8878 allows blocks of 128 KiB at most.
BLOCK = 128 * 1024
BLOCK_HEADER = 3
FRAME_HEADER = 10
#: Entries of the seek table are 32 bits wide.
FRAME_LIMIT = 1024**3
LEVEL = 19
#: For texts beyond _SHORT bytes: an SBOM of 300 KB takes 0.3 s at level 19 and 0.01 s at this one,
#: which makes it a fifth larger.
QUICK_LEVEL = 12
_SHORT = 64 * 1024

#: Descriptor: a four-byte content size, no single segment, checksum or dictionary.
_DESCRIPTOR = 0x80
#: 2^(10 + 7) = 128 KiB: raw blocks refer to nothing, so the decoder needs no more.
_WINDOW = 7 << 3
#: Compressed text is tuned as for 1 MiB at most: a level 19 window of 8 MiB would cost the
#: compressor 90 MB.
_TUNED_SIZE = 1024 * 1024

_SKIPPABLE = 0x184D2A5E
_SEEK_MAGIC = 0x8F92EAB1
_ENTRY = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")
_SKIP_HEADER = struct.Struct("<II")
#: 16 million frames is a bundle of over 2 TB of the smallest blobs.
_FRAMES_LIMIT = 1 << 24


class Frame(NamedTuple):
    """One frame: bytes in the file, and bytes of content."""

    compressed: int
    content: int


def raw_header(content: int) -> bytes:
    """Return the 10-byte header of a frame of raw blocks with `content` bytes, 1 GiB at most."""
    return MAGIC + struct.pack("<BBI", _DESCRIPTOR, _WINDOW, content)


def raw_size(content: int) -> int:
    """Return the length in bytes of a frame of raw blocks that holds `content` bytes."""
    return FRAME_HEADER + BLOCK_HEADER * max(1, -(-content // BLOCK)) + content


def raw_block_header(size: int, *, last: bool) -> bytes:
    """Return the 3-byte header of a raw block of `size` bytes."""
    return (size << 3 | last).to_bytes(3, "little")


def compress(content: bytes) -> bytes:
    """Return `content` as one compressed frame, the same bytes for the same libzstd."""
    level = LEVEL if len(content) <= _SHORT else QUICK_LEVEL
    import zstandard  # noqa: PLC0415  # only those who write text pay for it

    tuned = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=max(1, min(len(content), _TUNED_SIZE))
    )
    return zstandard.ZstdCompressor(compression_params=tuned).compress(content)


def decompress(frame: bytes, content: int, *, where: str) -> bytes:
    """Return the content of one frame, refused unless it is exactly `content` bytes.

    Args:
        frame: the whole frame.
        content: the length in bytes that the seek table announces, already found acceptable;
            never more is made.
        where: the member, for errors.

    Raises:
        FormatError: the frame is damaged, or holds fewer or more bytes.
    """
    import zstandard  # noqa: PLC0415  # only those who read text pay for it

    reader = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
    try:
        # Comes before any memory is taken: the frame's own header says how much it would be.
        announced = zstandard.frame_content_size(frame)
        data = b"" if announced != content else reader.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError("damaged zstd frame", where=where, found=error) from None
    if announced != content:
        raise FormatError(
            "frame holds another number of bytes than the seek table says",
            where=where,
            expected=content,
            found=announced,
        )
    return data


def library_version() -> str:
    """Return libzstd's version: another one may compress text to other bytes."""
    import zstandard  # noqa: PLC0415  # as above

    return ".".join(str(part) for part in zstandard.ZSTD_VERSION)


def seek_table(frames: Sequence[Frame]) -> bytes:
    """Return the skippable frame that lists `frames`, which closes the file."""
    entries = b"".join(_ENTRY.pack(*frame) for frame in frames)
    size = len(entries) + _FOOTER.size
    return _SKIP_HEADER.pack(_SKIPPABLE, size) + entries + _FOOTER.pack(len(frames), 0, _SEEK_MAGIC)


def seek_table_size(footer: bytes, *, where: str) -> int:
    """Return the length in bytes of the seek table that ends with `footer`.

    Args:
        footer: the last 9 bytes of the file.
        where: the file, for errors.

    Raises:
        FormatError: the file does not end in a seek table as petra writes it.
    """
    if len(footer) != _FOOTER.size:
        raise _no_table(where)
    count, flags, magic = _FOOTER.unpack(footer)
    if magic != _SEEK_MAGIC or flags or not 0 < count <= _FRAMES_LIMIT:
        raise _no_table(where)
    return int(_SKIP_HEADER.size + count * _ENTRY.size + _FOOTER.size)


FOOTER_SIZE = _FOOTER.size


def parse_seek_table(table: bytes, file_size: int, *, where: str) -> list[Frame]:
    """Return the frames that `table` lists, which must fill the file to the last byte.

    Args:
        table: the skippable frame, whole.
        file_size: the length in bytes of the file that it closes.
        where: the file, for errors.

    Raises:
        FormatError: header and footer disagree, or frames and file do.
    """
    magic, size = _SKIP_HEADER.unpack_from(table)
    if magic != _SKIPPABLE or size != len(table) - _SKIP_HEADER.size:
        raise _no_table(where)
    entries = table[_SKIP_HEADER.size : -_FOOTER.size]
    frames = [Frame(*entry) for entry in _ENTRY.iter_unpack(entries)]
    covered = sum(frame.compressed for frame in frames) + len(table)
    if covered != file_size or any(frame.content > FRAME_LIMIT for frame in frames):
        raise FormatError(
            "the seek table does not fit the file: data was added, removed or cut off",
            where=where,
            expected=f"{covered} bytes",
            found=f"{file_size} bytes",
            hint="fetch the file again",
        )
    return frames


def _no_table(where: str) -> FormatError:
    return FormatError(
        "the file does not end in a seek table",
        where=where,
        expected="a bundle made by petra (.tar.zst)",
        hint="the file is cut off, has trailing data, or is no bundle; fetch it again",
    )
