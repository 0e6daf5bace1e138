"""Copies an open source into a sink in one pass, hashing as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.archive.pipeline import Pipeline
from petra.content.digest import Hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.archive.sink import Sink
    from petra.archive.source import Source
    from petra.content.digest import Digest
    from petra.content.progress import Progress

#: Bytes read at a time, and how many such buffers there are: the whole memory of a pass.
_PIECE: Final = 2 * 1024 * 1024
_WINDOW: Final = 6


class _Piece:
    __slots__ = ("buffer", "data")

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_PIECE))
        self.data = self.buffer[:0]


def copy_hashed(
    source: Source,
    sink: Sink,
    progress: Progress,
    watch: Callable[[memoryview], None] | None = None,
) -> Digest:
    """Copy all of `source` and return its digest.

    Args:
        source: what is read, each byte once.
        sink: what is written; the caller commits it.
        progress: told of each piece.
        watch: is handed every piece in order, on a thread of its own.

    Raises:
        FormatError: the source ends before its size.
        StorageError: it cannot be read, or the sink cannot be written.
    """
    hasher = Hasher()

    def fetch(offset: int, take: Callable[[], _Piece]) -> Iterator[_Piece]:
        piece = take()
        piece.data = piece.buffer[: min(_PIECE, source.size - offset)]
        source.read_into(offset, piece.data)
        sink.write_at(offset, piece.data)
        yield piece

    def hash_whole(piece: _Piece) -> None:
        hasher.update(piece.data)
        progress.on_progress(len(piece.data))

    stages: list[Callable[[_Piece], None]] = [hash_whole]
    if watch:
        stages.append(lambda piece: watch(piece.data))
    slots = [_Piece() for _ in range(min(_WINDOW, source.size // _PIECE + 1))]
    Pipeline(fetch, stages, [slots]).run(iter(range(0, source.size, _PIECE)))
    return hasher.digest()
