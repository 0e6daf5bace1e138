"""Finds the members of a ``.tar.gz``, which has no seek table.

Text runs are inflated, stored blobs are stepped over: their length follows from the size in their
tar header. So even here a reader touches only the head and one block for each blob.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from petra.archive import tar
from petra.archive.directory import TEXT_LIMIT, Extent
from petra.archive.framing import GzipFraming
from petra.archive.scan import header_size_field
from petra.archive.source import read
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.archive.source import Source

#: A full flush ends in an empty stored block, whose lengths are these four bytes. RFC 1951, 3.2.4.
_MARKER = b"\x00\x00\xff\xff"
_CHUNK = 64 * 1024
_TRAILER = 8


def gzip_extents(source: Source) -> list[Extent]:
    """Return the runs of a ``.tar.gz`` that Petra wrote, one for each member and one for the end.

    Raises:
        FormatError: the file has another form, is cut off, or goes on behind its end.
    """
    head = GzipFraming.HEADER
    if source.size < len(head) or read(source, 0, len(head)) != head:
        raise FormatError(
            "not a bundle: the gzip header is not petra's",
            where=source.name,
            hint="a .tar.gz that was packed again is no bundle any more; fetch the original",
        )
    return list(_runs(source, len(head)))


def _runs(source: Source, offset: int) -> Iterator[Extent]:
    name = "the start"
    while True:
        try:
            run = _run(source, offset)
        except FormatError as error:
            # A size that lies shows where the next member should be.
            error.name(f"what follows {name}")
            raise
        if run is None:
            return
        extent, name = run
        yield extent
        offset = extent.offset + extent.compressed


def _run(source: Source, offset: int) -> tuple[Extent, str] | None:
    """Return the run at `offset` and its member's name; None at the archive's end."""
    first = _peek(source, offset, 1)
    if first == b"\x01":
        _check_end(source, offset)
        return None
    return _stored(source, offset) if first == b"\x00" else _text(source, offset)


def _name(header: bytes | bytearray) -> str:
    """Return the name in a tar header, which nobody has checked, to show it."""
    return repr(bytes(header[:100]).partition(b"\0")[0].decode("latin-1"))


def _peek(source: Source, offset: int, length: int) -> bytes:
    return read(source, offset, min(length, max(source.size - offset, 1)))


def _check_end(source: Source, offset: int) -> None:
    end = offset + len(GzipFraming.END) + _TRAILER
    if _peek(source, offset, len(GzipFraming.END)) != GzipFraming.END or end != source.size:
        raise FormatError(
            "data behind the end of the archive, or an end cut off",
            where=source.name,
            expected=f"{end} bytes",
            found=f"{source.size} bytes",
            hint="fetch the file again",
        )


def stored_size(content: int) -> int:
    """Return the length in bytes of stored blocks that hold `content` bytes."""
    return -(-content // GzipFraming.block) * GzipFraming.block_header + content


def _stored(source: Source, offset: int) -> tuple[Extent, str]:
    """Return the run of stored blocks at `offset`. The header lies in its first block."""
    data = _peek(source, offset, GzipFraming.block_header + 3 * tar.BLOCK)
    header = data[GzipFraming.block_header :]
    if header[156:157] != b"x":
        header = header[: tar.BLOCK]
    if len(header) < tar.BLOCK:
        raise FormatError("the archive is cut off", where=f"{source.name} at {offset}")
    name = _name(header[-tar.BLOCK :])
    size = header_size_field(header, where=name)
    span = tar.span(size)
    extent = Extent(offset, stored_size(span), span)
    if offset + extent.compressed > source.size:
        raise FormatError(
            "a member is larger than the file",
            where=f"{name} of {source.name}",
            expected=f"at most {source.size - offset} bytes",
            found=f"{extent.compressed} bytes",
        )
    return extent, name


def _text(source: Source, offset: int) -> tuple[Extent, str]:
    """Return the deflated run at `offset`: up to the flush at which it has become a member."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    content = bytearray()
    at = offset
    try:
        while True:
            chunk = _up_to_marker(source, at)
            content += inflate.decompress(chunk, TEXT_LIMIT + 1 - len(content))
            at += len(chunk)
            if chunk.endswith(_MARKER) and len(content) == _span(content, source, offset):
                return Extent(offset, at - offset, len(content)), _name(content)
            if inflate.unconsumed_tail or inflate.eof:
                break
    except zlib.error as error:
        raise FormatError(
            "damaged deflate data", where=f"{source.name} at {offset}", found=error
        ) from None
    raise FormatError(
        "text member too large or without an end", where=f"{_name(content)} of {source.name}"
    )


def _up_to_marker(source: Source, offset: int) -> bytes:
    """Return the bytes from `offset` to the next marker, or a chunk that holds none."""
    if offset >= source.size:
        raise FormatError("the archive is cut off", where=source.name)
    chunk = _peek(source, offset, _CHUNK)
    found = chunk.find(_MARKER)
    if found >= 0:
        return chunk[: found + len(_MARKER)]
    # A marker may straddle the chunk's end: leave its possible beginning for the next one.
    return chunk[:-3] if len(chunk) == _CHUNK else chunk


def _span(content: bytearray, source: Source, offset: int) -> int:
    """Return how long the member that `content` begins is, or -1 while that cannot be said."""
    if content == tar.END:
        return len(content)
    if len(content) < tar.BLOCK or content[156] == ord("x"):
        return -1
    size = header_size_field(bytes(content[: tar.BLOCK]), where=f"{source.name} at {offset}")
    return tar.span(size)
