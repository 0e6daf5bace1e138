"""Files written aside, in a hidden folder, and moved into their place when all are whole."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from petra.archive.sink import check_space, storage_error, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class AsideFile:
    """One file of known size; a Sink. It closes by itself with its last byte.

    Args:
        path: its name aside.
        final: its name for errors.
        size: its length in bytes; each is written once.
    """

    def __init__(self, path: Path, final: Path, size: int) -> None:
        self._path = path
        self._final = final
        self._left = size
        self._fd: int | None = None
        self._lock = threading.Lock()

    def write_at(self, offset: int, data: memoryview | bytes) -> None:
        """Write `data` to its place; see :class:`petra.archive.sink.Sink`."""
        view = memoryview(data)
        if not view:
            return
        with translated(self._final):
            write_all(self._opened(), offset, view)
            with self._lock:
                self._left -= len(view)
                done = not self._left
            if done:
                self._close()

    def _opened(self) -> int:
        with self._lock:
            if self._fd is None:
                flags = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                self._fd = os.open(self._path, flags, 0o644)
            return self._fd

    def commit(self) -> None:
        """Close the file; the folder moves it."""
        with translated(self._final):
            self._close()

    def abort(self) -> None:
        """Close the file; the folder removes it."""
        with suppress(OSError):
            self._close()

    def _close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class Aside:
    """A hidden folder inside the final one.

    Args:
        folder: the final folder; made if it is not there.
        size: the bytes to come; where they cannot fit, nothing is begun.

    Raises:
        NoSpaceError: `size` bytes do not fit.
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._hidden = folder / f".petra-{os.getpid()}.partial"
        self._files: dict[str, AsideFile] = {}
        self._moved: list[Path] = []
        self._made = not folder.exists()
        with translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, size)
            shutil.rmtree(self._hidden, ignore_errors=True)  # of a killed process with our number
            self._hidden.mkdir()

    def open(self, name: str, size: int) -> AsideFile:
        """Return a new file that will have this name and size."""
        file = AsideFile(self._hidden / name, self.folder / name, size)
        self._files[name] = file
        return file

    def write(self, name: str, data: bytes) -> None:
        """Write a whole small file."""
        self.open(name, len(data)).write_at(0, data)

    def path(self, name: str) -> Path:
        """Return where a file is now."""
        return self._hidden / name

    def publish(self, order: Sequence[str]) -> None:
        """Move all files to their final names, those in `order` last and in that order.

        Raises:
            StorageError: the disk refused; what was moved is removed again.
        """
        for file in self._files.values():
            file.commit()
        early = [name for name in self._files if name not in order]
        for name in (*early, *order):
            with translated(self.folder / name):
                self._moved.append(self.folder / name)  # before: an interrupt may come between
                self._hidden.joinpath(name).rename(self.folder / name)
        self._moved.clear()
        with suppress(OSError):
            self._hidden.rmdir()

    def abort(self) -> None:
        """Remove what was written. Safe to call at any time, also after :meth:`publish`."""
        for file in self._files.values():
            file.abort()
        for path in reversed(self._moved):  # the manifest first
            path.unlink(missing_ok=True)
        self._moved.clear()
        shutil.rmtree(self._hidden, ignore_errors=True)
        if self._made:
            with suppress(OSError):  # it stays where something is in it
                self.folder.rmdir()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what the disk refuses in Petra's terms."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error
