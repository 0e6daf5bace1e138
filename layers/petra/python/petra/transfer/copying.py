"""Copies an open source into a sink in one pass, hashing as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.archive.pipeline import Pipeline
from petra.archive.sink import FileSink
from petra.archive.source import FileSource
from petra.content.digest import Hasher
from petra.errors import DigestMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.archive.sink import Sink
    from petra.archive.source import Source
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.transfer.shipment import ShippedFile

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


def copy_file(
    file: ShippedFile,
    target: Path,
    progress: Progress,
    watch: Callable[[memoryview], None] | None = None,
    *,
    sync: bool = False,
) -> None:
    """Copy a file that was verified; the copy appears whole, or not at all.

    Args:
        file: what is copied.
        target: the copy's name.
        progress: told of each piece.
        watch: is handed every piece in order, on a thread of its own.
        sync: wait for the disk before the copy appears.

    Raises:
        DigestMismatchError: it is not what was verified.
        NoSpaceError: it does not fit.
        StorageError: it cannot be read or written.
    """
    sink = FileSink(target, file.size)
    try:
        with FileSource(file.path) as source:
            found = copy_hashed(source, sink, progress, watch)
        if found != file.digest:
            raise DigestMismatchError(
                "the file is not what was verified",
                where=str(file.path),
                expected=file.digest,
                found=found,
                hint="it changed meanwhile; verify it again",
            )
        if sync:
            sink.sync()
        sink.commit()
    finally:
        sink.abort()
