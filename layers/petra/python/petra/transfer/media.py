"""Removable media: a bundle is written, forced onto the medium, read back, and only then named.

Everything is written into a hidden folder on the medium. What is read back comes from the medium
and not from memory, as far as the system lets us say so; when every byte is what it should be, the
folder gets its name in one step.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.archive.sink import check_space, storage_error, write_file
from petra.archive.source import FileSource
from petra.archive.sums import checksums
from petra.bundle.signatures import hash_source
from petra.content.digest import Digest
from petra.errors import DigestMismatchError, StorageError
from petra.transfer.copying import copy_file
from petra.transfer.sizes import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from petra.content.progress import Progress
    from petra.transfer.shipment import ShippedFile

SUMS: Final = "SHA256SUMS"
#: How the kernel writes spaces and the like in names.
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_MOUNTS: Final = Path("/proc/self/mountinfo")
#: The largest file of file systems that have a small limit, by the kernel's name for them.
_LIMITS: Final = {"vfat": PRESETS["fat32"], "msdos": PRESETS["fat32"]}


@dataclass(frozen=True, slots=True)
class Written:
    """What is on the medium.

    Attributes:
        folder: its folder.
        digests: of every file, by name.
        was_there: whether the same was there before; then nothing was written.
    """

    folder: Path
    digests: Mapping[str, Digest]
    was_there: bool = False


def file_limit(folder: Path, mounts: str | None = None) -> int | None:
    """Return the largest file that the file system of `folder` takes, or None for no small limit.

    Args:
        folder: on the medium.
        mounts: the kernel's list of mounts, in mountinfo's form; read where None.

    Source: proc_pid_mountinfo(5).
    """
    if mounts is None:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape") if _MOUNTS.is_file() else ""
    place, best, kind = folder.absolute().resolve(), Path(), ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        separator = fields.index("-") if "-" in fields else 0
        mount = (
            Path(_ESCAPE.sub(lambda one: chr(int(one[1], 8)), fields[4])) if separator else Path()
        )
        if place.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, fields[separator + 1]
    return _LIMITS.get(kind)


def write_media(
    folder: Path,
    files: Sequence[ShippedFile],
    texts: Callable[[Sequence[ShippedFile]], Mapping[str, bytes]],
    progress: Progress,
    fill: Callable[[Path], Sequence[ShippedFile]] | None = None,
) -> Written:
    """Write a bundle's files to a medium and read them back.

    Args:
        folder: the folder to appear on the medium.
        files: what is copied.
        texts: gives further small files, for people, by name.
        progress: told of each piece, written and read back.
        fill: writes the files itself into the folder that it is given, instead of a copy: to chunk
            straight onto the medium. Returns what it wrote.

    Raises:
        DigestMismatchError: the medium gave back something else than was written; names the file.
        NoSpaceError: it does not fit; nothing is left.
        StorageError: the medium refused, or holds something else under this name.
    """
    if folder.exists():
        return _again(folder, files, progress)
    hidden = folder.with_name(f".{folder.name}.partial")
    try:
        _begin(hidden, sum(one.size for one in files))
        written = fill(hidden) if fill else _copy(files, hidden, progress)
        digests = {one.name: one.digest for one in written}
        for name, data in texts(written).items():
            write_file(hidden / name, data)
            digests[name] = Digest.of(data)
        write_file(hidden / SUMS, checksums(sorted(digests.items())))
        _force(hidden)
        read_back(hidden, digests, progress)
        _publish(hidden, folder)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return Written(folder, digests)


def _begin(hidden: Path, size: int) -> None:
    try:
        hidden.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(hidden, ignore_errors=True)  # of a run that was killed
        check_space(hidden.parent, size)
        hidden.mkdir()
    except OSError as error:
        raise storage_error(error, hidden) from error


def _copy(files: Sequence[ShippedFile], folder: Path, progress: Progress) -> Sequence[ShippedFile]:
    progress.on_start(f"write to {folder.parent}", sum(one.size for one in files))
    for one in files:
        copy_file(one, folder / one.name, progress)
    progress.on_done()
    return files


def _force(folder: Path) -> None:
    """Force every file, and then their names, onto the medium, and out of memory."""
    for path in sorted(folder.iterdir()):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            with suppress(AttributeError, OSError):  # not every system can be asked to forget
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            os.close(fd)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems sync no folders
            os.fsync(fd)
    finally:
        os.close(fd)


def read_back(folder: Path, digests: Mapping[str, Digest], progress: Progress) -> None:
    """Read every file and compare.

    Raises:
        DigestMismatchError: one is something else; names it.
        StorageError: one cannot be read.
    """
    total = sum((folder / name).stat().st_size for name in digests)
    progress.on_start(f"read back {folder.name.strip('.').removesuffix('.partial')}", total)
    for name, digest in digests.items():
        with FileSource(folder / name) as source:
            found = hash_source(source, progress)
        if found != digest:
            raise DigestMismatchError(
                "the medium gave back something else than was written",
                where=str(folder / name),
                expected=digest,
                found=found,
                hint="do not use this medium; write to another one",
            )
    progress.on_done()


def _publish(hidden: Path, folder: Path) -> None:
    try:
        hidden.rename(folder)
    except OSError as error:
        raise storage_error(error, folder) from error
    _sync_folder(folder.parent)


def _again(folder: Path, files: Sequence[ShippedFile], progress: Progress) -> Written:
    """Find the same files there already, or refuse to touch what is there."""
    expected = {one.name: one.digest for one in files}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not files or not expected.keys() <= there:
        raise StorageError(
            "something else is there under this name; nothing is replaced",
            where=str(folder),
            expected=f"no such folder, or one with {', '.join(sorted(expected)) or 'these chunks'}",
            hint="remove it yourself, or write to another folder",
        )
    read_back(folder, expected, progress)
    return Written(folder, expected, was_there=True)
