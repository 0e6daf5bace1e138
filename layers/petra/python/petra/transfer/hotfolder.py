"""A hot folder: what appears in it whole is taken across by the diode's own software.

Each file is written where the software does not look and appears in one step. What was taken is
gone from the folder, and is written again in the next round; what still lies there is not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.archive.sink import storage_error
from petra.archive.source import FileSource
from petra.bundle.signatures import hash_source
from petra.content.progress import NoProgress
from petra.errors import NotFoundError, SettingError, StorageError
from petra.transfer.copying import copy_file
from petra.transfer.names import wire_name
from petra.transfer.pacing import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.transfer.crossing import Clock
    from petra.transfer.shipment import ShippedFile

_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one round: how many files were written, and how many lay there still."""

    written: int
    stayed: int


class HotFolder:
    """The folder on the sending side.

    Args:
        folder: the hot folder; made if it is not there.
        bundle: the bundle's file name.
        aside: where files are written first, on the same file system; in the hot folder itself,
            without a name or hidden, where None.
        bucket: keeps to the link's rate; no limit where None.
        clock: for waiting; the system's where None.

    Raises:
        SettingError: `aside` is on another file system.
        StorageError: a folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        bundle: str,
        aside: Path | None = None,
        bucket: TokenBucket | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._bundle = bundle
        self._aside = aside or folder
        self._bucket = bucket or TokenBucket(None)
        self._clock = clock or time
        self._ours: dict[str, tuple[int, int, int]] = {}
        for each in (folder, self._aside):
            try:
                each.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(error, each) from error
        if self._aside.stat().st_dev != folder.stat().st_dev:
            raise SettingError(
                "files written aside could not appear in one step",
                where=str(aside),
                expected=f"a folder on the file system of {folder}",
                hint="name another folder, or none",
            )

    def send(self, files: Sequence[ShippedFile], progress: Progress) -> Round:
        """Write the files of one round, in order, except those that still lie there.

        Raises:
            DigestMismatchError: a file is not what was verified; it does not appear.
            NoSpaceError: the disk is full.
            StorageError: the disk refused, or something else lies there under a file's name.
        """
        progress.on_start(f"write to {self._folder}", sum(one.size for one in files))
        written = sum(self._put(one, progress) for one in files)
        progress.on_done()
        return Round(written, len(files) - written)

    def wait_taken(self, progress: Progress) -> None:
        """Wait until the diode's software has taken all that was written."""
        progress.on_start(f"wait until {self._folder} is emptied")
        while any(self._folder.joinpath(name).exists() for name in self._ours):
            self._clock.sleep(_POLL_SECONDS)
        progress.on_done()

    def _put(self, file: ShippedFile, progress: Progress) -> bool:
        name = wire_name(self._bundle, file.name)
        target = self._folder / name
        if self._lies_there(target, file.digest):
            progress.on_progress(file.size)
            return False
        aside = self._aside / name
        copy_file(
            file, aside, progress, watch=lambda piece: self._bucket.spend(len(piece)), sync=True
        )
        if aside != target:
            try:
                aside.rename(target)
            except OSError as error:
                raise storage_error(error, target) from error
        self._remember(target)
        return True

    def _lies_there(self, target: Path, digest: Digest) -> bool:
        """Say whether this very file lies there.

        Raises:
            StorageError: another one does.
        """
        try:
            if self._ours.get(target.name) == _identity(target):
                return True
            with FileSource(target) as source:
                found = hash_source(source, NoProgress())
        except (FileNotFoundError, NotFoundError):
            return False
        if found != digest:
            raise StorageError(
                "something else lies in the hot folder under this name; nothing is replaced",
                where=str(target),
                expected=digest,
                found=found,
                hint="wait until the diode has taken it, or find out whose it is",
            )
        self._remember(target)
        return True

    def _remember(self, target: Path) -> None:
        try:
            self._ours[target.name] = _identity(target)
        except FileNotFoundError:  # it was taken at once
            self._ours.setdefault(target.name, (0, 0, 0))


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
