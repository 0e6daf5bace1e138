"""A ledger in a folder: an append-only file of JSON lines, and one JSON file for each bundle.

::

    log.jsonl                       one event a line, oldest first; only ever appended to
    bundles/NAME/VERSION-HEX.json   what the bundle with the digest sha256:HEX… put where
    lock                            held while a load, a rollback or a prune runs

An event counts once its line has its newline and is on the disk; a record appears by rename. So a
crash at any point leaves the ledger as it was before a call, or as it is after.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from petra.bundle.fields import time_text
from petra.encoding.json import canonical_json, dump_json, load_json
from petra.encoding.models import Model, to_value, validate
from petra.errors import BusyError, PetraError, StorageError
from petra.load.ledger import Event, LoadRecord
from petra.oci._files import NewFile, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.load.ledger import Stamp

#: Bytes: some two hundred thousand events; 16 MiB is a record of as many files.
LOG_LIMIT: Final = 64 * 1024 * 1024
RECORD_LIMIT: Final = 16 * 1024 * 1024

_NAMED: Final = 16

_M = TypeVar("_M", bound=Model)


class FolderLedger:
    """A :class:`petra.load.ledger.Ledger` in a folder.

    Args:
        folder: made by the first event.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others out; see the protocol. The kernel lets go of a dead process's lock.

        Raises:
            BusyError: another process holds it; names it.
            StorageError: the folder cannot be written.
        """
        path = self._folder / "lock"
        with storage_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(number, 200, 0).decode(errors="replace").strip()
                raise BusyError(
                    "another load, rollback or prune is under way",
                    where=str(self._folder),
                    found=holder or None,
                ) from None
            now = time_text(datetime.now(UTC))
            with storage_errors(path):
                os.ftruncate(number, 0)
                os.pwrite(number, f"process {os.getpid()} since {now}\n".encode(), 0)
            yield
            os.ftruncate(number, 0)
        finally:
            os.close(number)

    def events(self) -> list[Event]:
        """Return all events, oldest first.

        A last line without its newline is one that a crash cut off, and does not count.

        Raises:
            StorageError: the file cannot be read, or a line is damaged; names it.
        """
        data = self._read(self._log, LOG_LIMIT)
        whole = data[: data.rfind(b"\n") + 1] if data else b""
        return [
            self._checked(Event, line, where)
            for number, line in enumerate(whole.splitlines(), 1)
            if (where := f"{self._log}:{number}")
        ]

    def append(self, event: Event) -> None:
        """Store an event; it is on the disk when this returns.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        line = canonical_json(to_value(event)) + b"\n"
        with storage_errors(self._log):
            self._folder.mkdir(parents=True, exist_ok=True)
            number = os.open(self._log, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                end = _whole_lines(number)
                os.ftruncate(number, end)
                if os.pwrite(number, line, end) != len(line):
                    raise StorageError("the disk took only a part", where=str(self._log))
                os.fsync(number)
            finally:
                os.close(number)
            _sync_folder(self._folder)

    def record(self, bundle: Stamp) -> LoadRecord | None:
        """Return what is known of a bundle; None for one that put nothing anywhere.

        Raises:
            StorageError: the file cannot be read, or is damaged, or is another bundle's.
        """
        path = self._record_path(bundle)
        data = self._read(path, RECORD_LIMIT)
        if data is None:
            return None
        record = self._checked(LoadRecord, data, str(path))
        if record.bundle != bundle:
            raise StorageError(
                "the record of another bundle",
                where=str(path),
                expected=bundle.digest,
                found=record.bundle.digest,
                hint=_DAMAGED,
            )
        return record

    def keep(self, record: LoadRecord) -> None:
        """Store a record, whole or not at all; it is on the disk when this returns.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        path = self._record_path(record.bundle)
        with NewFile(path.parent) as file:
            file.write(dump_json(to_value(record)))
            file.commit(path.name, durable=True)
        with storage_errors(path):
            for folder in (path.parent, path.parent.parent, self._folder):
                _sync_folder(folder)

    def _record_path(self, bundle: Stamp) -> Path:
        name = f"{bundle.version}-{bundle.digest.hex[:_NAMED]}.json"
        return self._folder / "bundles" / bundle.name / name

    def _read(self, path: Path, limit: int) -> bytes | None:
        with storage_errors(path):
            try:
                with path.open("rb") as file:
                    data = file.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(data) > limit:
            raise StorageError(
                "a file of the ledger is too large",
                where=str(path),
                expected=f"at most {limit} bytes",
                hint=_DAMAGED,
            )
        return data

    def _checked(self, model: type[_M], data: bytes, where: str) -> _M:
        try:
            return validate(model, load_json(data, where=where), where=where, error=StorageError)
        except PetraError as error:
            raise StorageError(
                "the ledger is damaged",
                where=error.where or where,
                expected=error.expected,
                found=error.found or error.message,
                hint=_DAMAGED,
            ) from None


_DAMAGED: Final = (
    "put the file back from a backup; without the ledger, replays of old bundles are not noticed"
)


def _whole_lines(number: int) -> int:
    """Return where the last whole line ends: what a crash left after it is no event."""
    end = os.fstat(number).st_size
    while end and os.pread(number, 1, end - 1) != b"\n":
        end -= 1
    return end


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
