"""Files as a stream of blocks that stand for themselves, for links that lose pieces of a stream.

Each block names its file (name, size, digest) and its place in it, and ends with a checksum. A
reader that lost its way looks for the next block's beginning; so a lost datagram costs the blocks
that it lay in, and these can come again in a later round, in any order. The checksum only finds
accidents: a file counts when its digest is right, and that is trusted when a signature names it.

A block is: MAGIC; length of the header, 2 bytes; length of the payload, 4 bytes, both big-endian;
the header, canonical JSON; the payload; CRC-32 of all from the lengths on, 4 bytes.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from petra.archive.source import FileSource, read
from petra.bundle.fields import INTEGER_LIMIT, DigestField
from petra.encoding.json import canonical_json, load_json
from petra.encoding.models import Model, to_value, validate
from petra.errors import FormatError, PetraError
from petra.transfer.names import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.transfer.shipment import ShippedFile

MAGIC: Final = b"\xd1PETRA\r\n"
#: Bytes of a file in one block; the last one of a file may have fewer.
BLOCK: Final = 256 * 1024
HEADER_LIMIT: Final = 1024
_LENGTHS: Final = struct.Struct(">HI")
_CHECK: Final = struct.Struct(">I")
_START: Final = len(MAGIC) + _LENGTHS.size


class BlockHeader(Model):
    """What a block says of itself: which file, and where in it."""

    name: Annotated[str, Field(pattern=f"^{FILE_NAME.pattern}$")]
    size: Annotated[int, Field(ge=1, le=INTEGER_LIMIT)]
    digest: DigestField
    offset: Annotated[int, Field(ge=0, le=INTEGER_LIMIT, multiple_of=BLOCK)]

    @property
    def length(self) -> int:
        """The bytes of the payload; less than 1 where the block would lie behind the end."""
        return min(BLOCK, self.size - self.offset)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a file.

    Attributes:
        header: which part of which file.
        payload: its bytes.
    """

    header: BlockHeader
    payload: bytes


def frames(file: ShippedFile, name: str) -> Iterator[bytes]:
    """Yield the blocks of a file, as they are sent.

    Args:
        file: what is sent.
        name: what it is called on the other side.

    Raises:
        FormatError: it became shorter.
        StorageError: it cannot be read.
    """
    with FileSource(file.path) as source:
        for offset in range(0, file.size, BLOCK):
            header = BlockHeader(name=name, size=file.size, digest=file.digest, offset=offset)
            head, payload = canonical_json(to_value(header)), read(source, offset, header.length)
            body = b"".join((_LENGTHS.pack(len(head), len(payload)), head, payload))
            yield b"".join((MAGIC, body, _CHECK.pack(zlib.crc32(body))))


class Unframer:
    """Finds the blocks in a stream of which parts are missing. Memory: one block and one piece.

    Attributes:
        skipped: bytes that were no part of a whole block.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take the next piece of the stream and yield the blocks that it completes."""
        self._buffer += data
        while block := self._next():
            yield block

    def _next(self) -> Block | None:
        """Return the next block, or None when more of the stream is needed."""
        while self._at_magic():
            if len(self._buffer) < _START:
                return None
            head, payload = _LENGTHS.unpack_from(self._buffer, len(MAGIC))
            end = _START + head + payload
            if head <= HEADER_LIMIT and payload <= BLOCK:
                if len(self._buffer) < end + _CHECK.size:
                    return None
                if block := self._block(head, end):
                    del self._buffer[: end + _CHECK.size]
                    return block
            self._skip(1)
        return None

    def _at_magic(self) -> bool:
        """Go on to the next beginning of a block; say whether there is one."""
        found = self._buffer.find(MAGIC)
        if found < 0:
            self._skip(max(len(self._buffer) - len(MAGIC) + 1, 0))
            return False
        self._skip(found)
        return True

    def _block(self, head: int, end: int) -> Block | None:
        view = bytes(self._buffer[len(MAGIC) : end])
        if zlib.crc32(view) != _CHECK.unpack_from(self._buffer, end)[0]:
            return None
        start = _LENGTHS.size + head
        with suppress(PetraError):
            value = load_json(view[_LENGTHS.size : start], where="block")
            header = validate(BlockHeader, value, where="block", error=FormatError)
            if header.length == len(view) - start > 0:
                return Block(header, view[start:])
        return None

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self.skipped += count
