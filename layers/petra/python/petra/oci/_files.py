"""Files as streams, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from petra.errors import NoSpaceError, NotFoundError, PetraError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn what the disk says into Petra's errors.

    Args:
        where: the file or folder concerned, for the error.

    Raises:
        NoSpaceError: the disk is full.
        StorageError: it refused for another reason.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, where) from error


def storage_error(error: OSError, where: Path) -> PetraError:
    """Return `error`, from the disk at `where`, as one of Petra's."""
    if error.errno in _FULL:
        return NoSpaceError(
            "the disk is full",
            where=str(where),
            hint="make room there, or choose another folder, and run the same call again",
        )
    return StorageError("the disk refused", where=str(where), found=error.strerror or error)


class FileStream:
    """A ByteStream over a part of an open file.

    Args:
        file: the file, not buffered; closed with the stream.
        offset: bytes to pass over first.
        length: bytes to give at most; None for all that are there.
    """

    def __init__(self, file: io.FileIO, offset: int = 0, length: int | None = None) -> None:
        self._file = file
        self._left = length
        if offset:
            file.seek(offset)

    @classmethod
    def open(cls, path: Path, offset: int = 0, length: int | None = None) -> Self:
        """Open the regular file at `path`.

        Raises:
            NotFoundError: there is none.
            StorageError: it is something else, or cannot be read.
        """
        try:
            # Without O_NONBLOCK a pipe that someone put there would hang us.
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFoundError("no such file", where=str(path)) from None
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            file = io.FileIO(number, "r")
        except OSError as error:  # a directory
            os.close(number)
            raise storage_error(error, path) from error
        if not stat.S_ISREG(os.fstat(number).st_mode):
            file.close()
            raise StorageError("not a regular file", where=str(path))
        return cls(file, offset, length)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the front and return how many bytes came; 0 at the end."""
        part = buffer if self._left is None else buffer[: self._left]
        with storage_errors(Path(str(self._file.name))):
            count = self._file.readinto(part) or 0
        if self._left is not None:
            self._left -= count
        return count

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left for -1."""
        wanted = size if self._left is None else self._left if size < 0 else min(size, self._left)
        with storage_errors(Path(str(self._file.name))):
            data = self._file.read(wanted) or b""
        if self._left is not None:
            self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class NewFile:
    """A file that gets its name only when it is whole; left without :meth:`commit`, it vanishes.

    Args:
        folder: where it will lie, and where its bytes lie until then, under a hidden name.
    """

    #: What the names begin with that files have before they are whole.
    PREFIX: ClassVar[str] = ".new-"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=self.PREFIX, dir=folder)
        self._file = io.FileIO(number, "w")
        self._path: Path | None = Path(name)

    def write(self, data: memoryview | bytes) -> None:
        """Append `data`.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: it refused for another reason.
        """
        view = memoryview(data)
        with storage_errors(self._folder):
            while view:
                view = view[self._file.write(view) :]

    def commit(self, name: str, *, durable: bool = False) -> None:
        """Let the file appear as `name` in its folder, in place of what stood there.

        Args:
            name: of the file.
            durable: wait until the disk has the bytes.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: it refused for another reason.
        """
        if self._path is None:
            raise ValueError("the file was committed or discarded before")
        with storage_errors(self._folder):
            os.fchmod(self._file.fileno(), 0o644)
            if durable:
                os.fsync(self._file.fileno())
            self._file.close()  # some file systems only now say that they are full
            self._path.replace(self._folder / name)
        self._path = None

    def discard(self) -> None:
        """Let the file vanish, unless it was committed. Safe to call twice."""
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()
