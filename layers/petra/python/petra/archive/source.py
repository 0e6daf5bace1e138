"""Where an archive is read from: one open file (later a chunk set or an S3 version), by offset.

What was verified is what is read: a source stays on the file descriptor that it opened and never
goes by the name again. Format, section 5.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol, Self

from petra.errors import FormatError, NotFoundError, StorageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Source(Protocol):
    """Bytes by offset. Several threads may read at once.

    Attributes:
        name: what to call it in errors.
        size: its length in bytes, fixed when it was opened.
    """

    name: str
    size: int

    def read_into(self, offset: int, buffer: memoryview, /) -> None:
        """Fill the whole of `buffer` with the bytes from `offset` on.

        Raises:
            FormatError: the source ends before.
            StorageError: it cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        ...


class FileSource:
    """A file, held open.

    Raises:
        NotFoundError: there is no such file.
        StorageError: it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            # Without O_NONBLOCK a pipe that someone put there would hang us.
            self._fd: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFoundError("no such file", where=self.name, hint="check the path") from None
        except OSError as error:
            raise self._unreadable(error) from None
        status = os.fstat(self._fd)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError("not a regular file", where=self.name, hint="give the bundle's file")

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on; see :class:`Source`."""
        assert self._fd is not None, "read after close"  # noqa: S101  # a defect, not an input
        while len(buffer):
            try:
                count = os.preadv(self._fd, [buffer], offset)
            except OSError as error:
                raise self._unreadable(error) from None
            if not count:
                raise FormatError(
                    "the file ends too early",
                    where=self.name,
                    expected=f"{len(buffer)} more bytes at {offset}",
                    hint="fetch the file again",
                )
            buffer, offset = buffer[count:], offset + count

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(f"cannot read: {error.strerror}", where=self.name)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(source: Source, offset: int, length: int) -> bytes:
    """Return `length` bytes of `source` from `offset` on; the caller has bounded `length`.

    Raises:
        FormatError: the source ends before.
        StorageError: it cannot be read.
    """
    data = bytearray(length)
    source.read_into(offset, memoryview(data))
    return bytes(data)
