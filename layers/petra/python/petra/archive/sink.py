"""Where an archive is written to: nothing shows under the final name before all is well."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from petra.errors import NoSpaceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Our open files by number: how a file without a name gets one. Source: open(2), O_TMPFILE.
_FILES = Path("/proc/self/fd")
_UNNAMED = getattr(os, "O_TMPFILE", 0)
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class Sink(Protocol):
    """Takes an archive's bytes, each once, in any order."""

    def write_at(self, offset: int, data: memoryview | bytes, /) -> None:
        """Write `data` to its place. Several threads may call at once.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        ...

    def commit(self) -> None:
        """Let the file appear under its final name, whole."""
        ...

    def abort(self) -> None:
        """Remove what was written. Safe to call at any time, also after :meth:`commit`."""
        ...


class FileSink:
    """A file, written under a temporary name beside its final one.

    Args:
        path: the final name. What stands there stays until :meth:`commit`.
        size: the bytes to come, or None; where they cannot fit, nothing is begun.

    Raises:
        NoSpaceError: `size` bytes do not fit.
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():  # now, and not when all else is done
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            check_space(path.parent, size or 0)
            self._fd, self._is_named = self._open_temporary()
        self._open = True

    def _open_temporary(self) -> tuple[int, bool]:
        """Open a file without any name where the system can: then not even SIGKILL leaves one."""
        flags = os.O_WRONLY | os.O_CLOEXEC
        if _FILES.is_dir():
            try:
                return os.open(self._path.parent, flags | _UNNAMED, 0o644), False
            except OSError as error:
                if error.errno not in _NO_UNNAMED:
                    raise
        flags |= os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        return os.open(self._temporary, flags, 0o644), True

    def write_at(self, offset: int, data: memoryview | bytes) -> None:
        """Write `data` to its place; see :class:`Sink`."""
        with self._errors():
            write_all(self._fd, offset, memoryview(data))

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        with self._errors():
            os.fsync(self._fd)

    def commit(self) -> None:
        """Give the file its final name in one step."""
        with self._errors():
            if not self._is_named:
                self._temporary.unlink(missing_ok=True)  # of a killed process with our number
                # With src_dir_fd, which counts for nothing here, Python uses linkat(2): only
                # that follows the link to the file.
                os.link(_FILES / str(self._fd), self._temporary, src_dir_fd=self._fd)
            self._close()  # some file systems only now say that they are full
            self._temporary.replace(self._path)

    def abort(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, self._path) from error


def write_all(fd: int, offset: int, data: memoryview) -> None:
    """Write the whole of `data` to its place in an open file.

    Raises:
        OSError: the disk refused.
    """
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def check_space(folder: Path, size: int) -> None:
    """Refuse to begin what cannot fit.

    Raises:
        NoSpaceError: the disk of `folder` has not `size` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NoSpaceError(
            "the disk has no room for the file",
            where=str(folder),
            expected=f"{size} bytes",
            found=f"{free} bytes free",
            hint="free some space, or write elsewhere (--output-dir)",
        )


def storage_error(error: OSError, path: Path) -> StorageError:
    """Return what `error`, raised while writing `path`, means in Petra's terms."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            "the disk is full",
            where=str(path),
            hint="free some space, or write elsewhere (--output-dir); nothing was left behind",
        )
    return StorageError(
        f"cannot write: {error.strerror}", where=str(path), hint="check the folder and its rights"
    )


def write_file(path: Path, data: bytes) -> None:
    """Write a small file in one step: it is there whole, or as it was before.

    Raises:
        NoSpaceError: the disk is full.
        StorageError: the disk refused for another reason.
    """
    sink = FileSink(path, len(data))
    try:
        sink.write_at(0, data)
        sink.commit()
    finally:
        sink.abort()
