"""Puts files together from blocks that come in any order, several times, or not at all."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from petra.archive.sink import FileSink, storage_error
from petra.archive.source import FileSource
from petra.bundle.signatures import hash_source
from petra.content.progress import NoProgress
from petra.errors import NoSpaceError
from petra.transfer.framing import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from petra.content.digest import Digest
    from petra.transfer.framing import Block, BlockHeader

#: Files that are begun at once: each takes a file descriptor. Beyond, the one that has waited
#: longest for its next block is given up until it comes again.
_OPEN_LIMIT: Final = 256


class _Begun:
    """A file of which not all blocks are there."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.sink = FileSink(path, size)  # first: it knows whether the disk has room for `size`
        count = -(-size // BLOCK)
        self.there = bytearray(count)
        self.left = count

    def take(self, block: Block) -> bool:
        """Write a block, unless it is there; say whether all are."""
        number = block.header.offset // BLOCK
        if not self.there[number]:
            self.sink.write_at(block.header.offset, block.payload)
            self.there[number] = 1
            self.left -= 1
        return not self.left


class Spool:
    """Fills a folder with the files of a stream, as a diode's own software fills a hot folder.

    A file appears when all of it is there and has its digest. One of the same name with another
    digest takes the place of the one before, since a bundle may be made anew.

    Nobody has signed what a block says of its file: one that claims more than the disk has room
    for, or the name of something else, is passed over, and all others go on.

    Args:
        folder: where the files appear.
        on_note: is told what is passed over, once.

    Raises:
        StorageError: it cannot be made.
    """

    def __init__(self, folder: Path, on_note: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._on_note = on_note
        self._refused: dict[tuple[str, Digest], None] = {}
        self._hidden = folder / ".petra-stream"
        self._begun: dict[tuple[str, Digest], _Begun] = {}
        self._done: dict[str, Digest] = {}
        try:
            shutil.rmtree(self._hidden, ignore_errors=True)  # of a run that was killed
            self._hidden.mkdir(parents=True)
        except OSError as error:
            raise storage_error(error, folder) from error

    def take(self, block: Block) -> str | None:
        """Put a block to its file.

        Returns:
            The file's name, if it was the last that was missing; else None.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused.
        """
        header = block.header
        key = (header.name, header.digest)
        if key in self._refused or self._is_done(header):
            return None
        try:
            begun = self._begun.pop(key, None) or self._begin(header)
        except NoSpaceError as error:
            self._refuse(key, f"{header.size} bytes, and there are {error.found}")
            return None
        if not begun.take(block):
            self._begun[key] = begun  # at the end again: blocks came in last
            return None
        return header.name if self._appear(begun, header) else None

    def close(self) -> None:
        """Give up what is begun."""
        while self._begun:
            self._give_up()
        shutil.rmtree(self._hidden, ignore_errors=True)

    def _begin(self, header: BlockHeader) -> _Begun:
        if len(self._begun) >= _OPEN_LIMIT:
            self._give_up()
        return _Begun(self._hidden / f"{header.name}.{header.digest.hex}", header.size)

    def _refuse(self, key: tuple[str, Digest], reason: str) -> None:
        if len(self._refused) >= _OPEN_LIMIT:
            self._refused.pop(next(iter(self._refused)))
        self._refused[key] = None
        self._on_note(f"{key[0]} of the stream is passed over: {reason}")

    def _give_up(self) -> None:
        self._begun.pop(next(iter(self._begun))).sink.abort()

    def _is_done(self, header: BlockHeader) -> bool:
        """Say whether the very file is there; one of an earlier run is read once."""
        path = self._folder / header.name
        if path.exists() and not path.is_file():
            self._refuse((header.name, header.digest), "something else has its name")
            return True
        if not path.exists():
            return False
        if header.name not in self._done:
            with FileSource(path) as source:
                self._done[header.name] = hash_source(source, NoProgress())
        return self._done[header.name] == header.digest

    def _appear(self, begun: _Begun, header: BlockHeader) -> bool:
        try:
            begun.sink.commit()
        finally:
            begun.sink.abort()
        with FileSource(begun.path) as source:
            found = hash_source(source, NoProgress())
        try:
            if found != header.digest:
                begun.path.unlink()
                return False
            begun.path.rename(self._folder / header.name)
        except OSError as error:
            raise storage_error(error, self._folder / header.name) from error
        self._done[header.name] = header.digest
        return True
