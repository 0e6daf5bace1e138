"""What has arrived in a folder: bundles and chunk folders, found and copied into an inbox."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING, Final

from petra.archive.sink import FileSink, check_space, storage_error
from petra.archive.source import FileSource
from petra.errors import NotFoundError, StorageError
from petra.transfer.copying import copy_hashed
from petra.transfer.names import MANIFEST, of_bundle
from petra.trust.blob import BUNDLE_SUFFIX, SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from pathlib import Path

    from petra.content.progress import Progress

_PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A bundle that lies somewhere, not yet looked into.

    Attributes:
        path: its file, or its chunk folder; in a folder that several bundles share, what its file
            would be called.
        files: all files that belong to it, by what they are called beside it or in its folder.
        in_chunks: whether it is a chunk folder.
    """

    path: Path
    files: Mapping[str, Path]
    in_chunks: bool


def find_arrivals(folder: Path) -> list[Arrival]:
    """Return the bundles in a folder, or else in the folders in it: a medium holds one or several.

    Args:
        folder: a chunk folder, a folder with bundles, or a medium.

    Raises:
        NotFoundError: there is none, or no such folder.
        StorageError: it cannot be read.
    """
    try:
        found = _in_folder(folder) or [
            one for path in folders_below(folder) for one in _in_folder(path)
        ]
    except FileNotFoundError:
        raise NotFoundError("no such folder", where=str(folder)) from None
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", where=str(folder)) from None
    if not found:
        raise NotFoundError(
            "no bundle has arrived here",
            where=str(folder),
            expected=f"a bundle with its signature, or a chunk folder with {MANIFEST}",
            hint="signatures and manifests are sent last: perhaps not everything is here yet",
        )
    return found


def _in_folder(folder: Path) -> list[Arrival]:
    files = files_in(folder)
    if MANIFEST in files:
        return [Arrival(folder, files, in_chunks=True)]
    return [
        Arrival(folder / bundle, parts, in_chunks=MANIFEST in parts)
        for bundle, parts in by_bundle(files.values()).items()
        if MANIFEST in parts or (bundle in parts and is_signed(bundle, parts))
    ]


def files_in(folder: Path) -> dict[str, Path]:
    """Return the regular files in a folder by name, in order.

    Links are passed over: one on a medium leads to what lies on this side, which is not the
    sender's to hand out.
    """
    found = sorted(folder.iterdir())
    return {path.name: path for path in found if path.is_file() and not path.is_symlink()}


def folders_below(folder: Path) -> list[Path]:
    """Return the folders in a folder, in order, but for hidden ones and links."""
    found = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in found if not path.name.startswith("."))


def by_bundle(files: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Sort the files of a folder that several bundles may share.

    Returns:
        By the bundle's file name: its files, by what they are called beside it or in its chunk
        folder. A file that belongs to no bundle is left out.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in files:
        if part := of_bundle(path.name):
            found.setdefault(part[0], {})[part[1]] = path
    return found


def is_signed(name: str, parts: Container[str]) -> bool:
    """Say whether a signature of the file `name` is among these file names."""
    return any(f"{name}{suffix}" in parts for suffix in (SIGNATURE_SUFFIX, BUNDLE_SUFFIX))


@contextmanager
def taken_in(arrival: Arrival, inbox: Path, progress: Progress) -> Iterator[tuple[Path, list[str]]]:
    """Copy an arrival into a hidden folder of the inbox; whoever leaves the block well gets it.

    A file that cannot be read is left out: parity may make up for it, and verification will tell.

    Args:
        arrival: what is copied; it stays as it is.
        inbox: where to.
        progress: told of each piece.

    Yields:
        The copy's bundle file or chunk folder, and the names of files that could not be read. It
        stays where it is until :func:`publish`; where the block raises, it is removed.

    Raises:
        NoSpaceError: it does not fit.
        StorageError: the inbox cannot be written.
    """
    with ExitStack() as stack:
        hidden = _prepare(inbox, arrival, stack)
        unread = _copy(arrival, hidden, progress)
        yield (hidden if arrival.in_chunks else hidden / arrival.path.name), unread


def _prepare(inbox: Path, arrival: Arrival, stack: ExitStack) -> Path:
    """Return a hidden folder that is ours alone until the stack ends, which removes it.

    Were it another run's too, bytes that nobody verified could get a verified one's name.
    """
    name = arrival.path.name
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        for path in inbox.glob(f".{escape(name)}.*{_PARTIAL}"):
            _remove_left(path)
        check_space(inbox, sum(path.stat().st_size for path in arrival.files.values()))
        hidden = inbox / f".{name}.{os.urandom(8).hex()}{_PARTIAL}"
        hidden.mkdir()
        stack.callback(shutil.rmtree, hidden, ignore_errors=True)
        fd = os.open(hidden, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        stack.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise storage_error(error, inbox) from error
    return hidden


def _remove_left(path: Path) -> None:
    """Remove what a run that was killed left; one that goes on holds a lock on it."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


def _copy(arrival: Arrival, folder: Path, progress: Progress) -> list[str]:
    unread = []
    total = sum(path.stat().st_size for path in arrival.files.values())
    progress.on_start(f"take in {arrival.path.name}", total)
    for name, path in arrival.files.items():
        try:
            _copy_file(path, folder / name, progress)
        except StorageError as error:
            if error.where != str(path):
                raise  # the inbox's disk, not the medium's
            unread.append(name)
            progress.on_note(f"{name} cannot be read and is left out")
    progress.on_done()
    return unread


def _copy_file(path: Path, target: Path, progress: Progress) -> None:
    with FileSource(path) as source:
        sink = FileSink(target, source.size)
        try:
            copy_hashed(source, sink, progress)
            sink.commit()
        finally:
            sink.abort()


def publish(copy: Path, inbox: Path, stem: str) -> Path:
    """Give a copy that was verified its name in the inbox; return the bundle file or chunk folder.

    Args:
        copy: as :func:`taken_in` gave it.
        inbox: the inbox.
        stem: ``NAME-VERSION``.

    Raises:
        StorageError: something is there under this name.
    """
    hidden = copy if copy.is_dir() else copy.parent
    target = inbox / stem
    if target.exists():
        raise StorageError(
            "something is in the inbox under this name; nothing is replaced",
            where=str(target),
            hint="remove it yourself, or receive into another inbox",
        )
    try:
        hidden.rename(target)
    except OSError as error:
        raise storage_error(error, target) from error
    return target if copy == hidden else target / copy.name
