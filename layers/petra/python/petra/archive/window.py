"""The window of a pack: buffers that are laid out as the file's own bytes before data comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.archive import tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.archive.plan import Piece, Plan, Stored


class Slot:
    """One buffer of the window and what is in it.

    Attributes:
        piece: what the slot holds.
        output: the file's bytes.
        payloads: the parts of `output` that are content (tar headers, data, padding).
        data: the parts of `output` that are the member's own bytes.
    """

    __slots__ = ("_buffer", "_size", "data", "output", "payloads", "piece")

    piece: Piece

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer: memoryview | None = None
        self.output: memoryview | bytes = b""
        self.payloads: list[memoryview | bytes] = []
        self.data: list[memoryview] = []

    @property
    def buffer(self) -> memoryview:
        """The slot's memory, taken when first needed: a small bundle needs few."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(self._size))
        return self._buffer


def lay_out(plan: Plan, piece: Piece, slot: Slot) -> None:
    """Write headers, tar header and padding into the slot, and leave gaps for the data.

    Args:
        plan: the whole file.
        piece: a part of a stored member.
        slot: gets the piece's bytes as ``output``, and the gaps to be filled as ``data``.
    """
    member = piece.member
    assert member is not None  # noqa: S101  # for mypy: callers have looked
    framing, buffer, at = plan.framing, slot.buffer, 0
    slot.piece = piece
    if piece.start == piece.frame_start:
        opening = framing.open_frame(piece.frame_end - piece.frame_start)
        buffer[: len(opening)] = opening
        at = len(opening)
    payloads: list[memoryview | bytes] = []
    for start in range(piece.start, piece.end, framing.block):
        end = min(start + framing.block, piece.end)
        opening = framing.open_block(end - start, last=end == piece.frame_end)
        buffer[at : at + len(opening)] = opening
        at += len(opening)
        payloads.append(buffer[at : at + end - start])
        at += end - start
    slot.output, slot.payloads = buffer[:at], payloads
    slot.data = list(_data_parts(plan, piece, member, slot))


def _data_parts(plan: Plan, piece: Piece, member: Stored, slot: Slot) -> Iterator[memoryview]:
    """Fill in what is not data and give the parts that are, in order."""
    head = tar.header_size(member.size)
    data_end = head + member.size
    start = piece.start
    for part in slot.payloads:
        end = start + len(part)
        low = min(max(head - start, 0), len(part))
        high = max(min(data_end - start, len(part)), low)
        view = memoryview(part)
        if low:
            header = tar.header(member.name, member.size, plan.mtime)
            view[:low] = header[start : start + low]
        if high < len(part):
            view[high:] = bytes(len(part) - high)
        if low < high:
            yield view[low:high]
        start = end
