"""Where zstd frames begin and end: its reader takes a stream that breaks off for one that ends.

Source: RFC 8878, 3.1; zstd's contrib/seekable_format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.transfer.guard.stop import StopError

if TYPE_CHECKING:
    from collections.abc import Callable

_FRAME: Final = 0xFD2FB528
#: The skippable frame that a seek table is; the most bytes that it has for a frame, and besides.
_TABLE: Final = 0x184D2A5E
_TABLE_ENTRY: Final = 12
_TABLE_REST: Final = 9
#: Bytes of the content's size, and of a dictionary's id, by two bits of the descriptor.
_SIZES: Final = (0, 2, 4, 8)
_DICTIONARIES: Final = (0, 1, 2, 4)
_RLE: Final = 1


class Frames:
    """Follows the bytes of zstd frames, whatever pieces they come in, and expands nothing."""

    def __init__(self) -> None:
        self._count = 0
        self._ended = False
        self._checksum = 0
        self._skip = 0
        self._held = b""
        self._need = 4
        self._next: Callable[[bytes], None] = self._magic

    @property
    def whole(self) -> bool:
        """Whether the bytes so far end where a frame does."""
        return not self._skip and not self._held and self._next == self._magic

    def feed(self, data: bytes | bytearray) -> None:
        """Follow the next bytes.

        Raises:
            StopError: a frame holds no content, and is no seek table at the end.
        """
        place = 0
        while place < len(data):
            if self._skip:
                step = min(self._skip, len(data) - place)
                self._skip -= step
            else:
                step = min(self._need - len(self._held), len(data) - place)
                self._held += data[place : place + step]
                if len(self._held) == self._need:
                    held, self._held = self._held, b""
                    self._next(held)
            place += step

    def _then(self, need: int, following: Callable[[bytes], None]) -> None:
        self._need, self._next = need, following

    def _magic(self, held: bytes) -> None:
        magic = int.from_bytes(held, "little")
        if self._ended or magic not in (_FRAME, _TABLE):
            raise StopError("container", "a frame that is no content", found=f"{magic:08x}")
        self._ended = magic == _TABLE
        self._count += magic == _FRAME
        self._then(*((4, self._table) if self._ended else (1, self._descriptor)))

    def _table(self, held: bytes) -> None:
        size, limit = int.from_bytes(held, "little"), self._count * _TABLE_ENTRY + _TABLE_REST
        if size > limit:
            expected = f"at most {limit} bytes for {self._count} frames"
            raise StopError("container", "a seek table too long", expected=expected, found=size)
        self._skip = size
        self._then(4, self._magic)

    def _descriptor(self, held: bytes) -> None:
        bits = held[0]
        single = bits >> 5 & 1
        self._checksum = 4 * (bits >> 2 & 1)
        size = _SIZES[bits >> 6] or single
        self._skip = size + (not single) + _DICTIONARIES[bits & 3]
        self._then(3, self._block)

    def _block(self, held: bytes) -> None:
        bits = int.from_bytes(held, "little")
        is_last, kind, size = bits & 1, bits >> 1 & 3, bits >> 3
        self._skip = 1 if kind == _RLE else size
        if is_last:
            self._skip += self._checksum
            self._then(4, self._magic)
