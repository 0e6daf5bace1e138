"""The custody log: who did what with which digest, when, and with what verdict. One line an event.

Each line is canonical JSON (RFC 8785) and holds the digest of the line before it, so nothing in the
middle can be changed, left out or put in. At the end of a stage a seal signs all that came before.
The receiver's log goes on where the sender's ended, in the same file or in one of its own.

What a log cannot show is that its end was cut off behind an earlier seal: the receiver's own log
names what arrived.
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from petra import __version__
from petra.archive.sink import storage_error
from petra.bundle.fields import INTEGER_LIMIT, DigestField, Moment, Text, time_text
from petra.content.digest import Digest
from petra.encoding.json import canonical_json, load_json
from petra.encoding.models import Model, to_value, validate
from petra.errors import FormatError, NotFoundError, SignatureError, StorageError
from petra.trust.text import decode_base64, encode_base64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer

#: The longest line, in bytes.
LINE_LIMIT: Final = 256 * 1024
#: The longest log that is read, in bytes.
LOG_LIMIT: Final = 64 * 1024 * 1024

Verdict = Literal["ok", "refused"]


class _Line(Model):
    """What every line has.

    Attributes:
        number: counted from 1 through the whole chain.
        previous: the digest of the line before, without its newline; None for the first.
        stage: where on the way: ``connected``, ``media``, ``receive`` …
        time: the clock of whoever wrote it.
    """

    number: int = Field(ge=1, le=INTEGER_LIMIT)
    previous: DigestField | None = None
    stage: Text
    time: Moment


class Entry(_Line):
    """One event."""

    kind: Literal["entry"]
    action: Text
    digests: dict[str, DigestField]
    verdict: Verdict
    reason: Text | None = None
    tool: Text
    who: Text


class Seal(_Line):
    """The end of a stage.

    Attributes:
        key: the fingerprint of the key that signed.
        signature: base64 of the DER signature over this line without the field `signature`.
    """

    kind: Literal["seal"]
    key: Text
    signature: Text


@dataclass(frozen=True, slots=True)
class Stage:
    """Entries up to a seal, and whose seal it is."""

    entries: tuple[Entry, ...]
    seal: Seal
    key: PublicKey


class CustodyLog:
    """A log that is written to. Lines are only ever added; several processes may do so.

    Args:
        path: the file; made with the first line.
        continues: the log that a new file goes on from; it is read only when there is no file yet.
        who: who acts, ``USER@HOST`` of this process where None.
        now: the clock.
    """

    def __init__(
        self,
        path: Path,
        *,
        continues: Path | None = None,
        who: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._continues = continues
        self._who = who or _whoami()
        self._now = now

    def append(  # the fields of an entry
        self,
        stage: str,
        action: str,
        digests: Mapping[str, Digest],
        verdict: Verdict = "ok",
        *,
        reason: str | None = None,
    ) -> None:
        """Write down one event.

        Args:
            stage: where on the way it happened.
            action: what was done: ``create``, ``chunk``, ``verify`` …
            digests: of what, by name.
            verdict: how it ended.
            reason: why it was refused.

        Raises:
            FormatError: the log's last line is damaged.
            StorageError: it cannot be written.
        """
        event: dict[str, Any] = {
            "kind": "entry",
            "action": action,
            "digests": dict(digests),
            "verdict": verdict,
            "tool": f"petra {__version__}",
            "who": self._who,
        }
        self._add(stage, event | ({"reason": reason} if reason else {}), None)

    def seal(self, stage: str, signer: Signer) -> None:
        """Sign all that the log holds.

        Args:
            stage: the stage that ends.
            signer: who signs.

        Raises:
            FormatError: the log is empty, or its last line is damaged.
            PetraError: what the signer and the disk raise.
        """
        self._add(stage, {"kind": "seal", "key": signer.public_key.fingerprint}, signer)

    def _add(self, stage: str, event: Mapping[str, Any], signer: Signer | None) -> None:
        with self._locked() as fd:
            last = _last_line(fd, self._path) or self._inherited()
            if signer and last is None:
                raise FormatError("there is nothing to seal", where=str(self._path))
            before = _parse(last, f"{self._path}, last line") if last else None
            line: dict[str, Any] = {
                "number": before.number + 1 if before else 1,
                "stage": stage,
                "time": time_text(self._now()),
                **event,
            }
            if last is not None:
                line["previous"] = Digest.of(last)
            if signer:
                der = signer.sign_digest(Digest.of(canonical_json(line)))
                line["signature"] = encode_base64(der)
            _parse(canonical_json(line), str(self._path))  # what is written can be read
            os.write(fd, canonical_json(line) + b"\n")
            os.fsync(fd)

    def _inherited(self) -> bytes | None:
        if self._continues is None:
            return None
        lines = _lines(self._continues)
        if not lines:
            raise FormatError("the log to continue is empty", where=str(self._continues))
        return lines[-1]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, flags, 0o644)
        except OSError as error:
            raise storage_error(error, self._path) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        except OSError as error:
            raise storage_error(error, self._path) from None
        finally:
            os.close(fd)


def verify_custody(paths: Sequence[Path], keys: Sequence[PublicKey]) -> list[Stage]:
    """Check a chain of custody from its first line to its last.

    Args:
        paths: the logs in order, each going on where the one before ended.
        keys: whose seals count.

    Raises:
        FormatError: a line was changed, left out, added or cut; names file and line.
        SignatureError: a seal is not by one of the keys, or the end of the chain has none.
        NotFoundError: a log is not there.
    """
    stages: list[Stage] = []
    entries: list[Entry] = []
    before: bytes | None = None
    where = str(paths[0])
    for number, (where, line) in enumerate(_chain(paths), start=1):
        found = _parse(line, where)
        _check_place(found, number, before, where)
        before = line
        if isinstance(found, Entry):
            entries.append(found)
        else:
            stages.append(Stage(tuple(entries), found, _check_seal(found, line, keys, where)))
            entries = []
    if entries or not stages:
        raise SignatureError(
            "the end of the chain is not sealed",
            where=where,
            expected="a seal behind the last entry",
            hint="seal the stage where it was written, or ask for the whole log",
        )
    return stages


def _chain(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            yield f"{path}:{number}", line


def _lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            data = file.read(LOG_LIMIT + 1)
    except FileNotFoundError:
        raise NotFoundError("no such custody log", where=str(path)) from None
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", where=str(path)) from None
    if len(data) > LOG_LIMIT:
        raise FormatError("log too large", where=str(path), expected=f"at most {LOG_LIMIT} bytes")
    if data and not data.endswith(b"\n"):
        raise FormatError("the log ends within a line", where=str(path))
    return data.split(b"\n")[:-1]


def _last_line(fd: int, path: Path) -> bytes | None:
    size = os.fstat(fd).st_size
    if not size:
        return None
    start = max(size - LINE_LIMIT - 2, 0)
    tail = os.pread(fd, size - start, start)
    if not tail.endswith(b"\n"):
        raise FormatError(
            "the log ends within a line",
            where=str(path),
            hint="keep it as it is and begin another log that names it",
        )
    return tail[:-1].rpartition(b"\n")[2]


def _parse(line: bytes, where: str) -> Entry | Seal:
    """Return a line's meaning, if it is written in the one way there is."""
    if len(line) > LINE_LIMIT:
        raise FormatError("line too long", where=where, expected=f"at most {LINE_LIMIT} bytes")
    value = load_json(line, where=where)
    kind = value.get("kind") if isinstance(value, dict) else None
    found: Entry | Seal
    if kind == "entry":
        found = validate(Entry, value, where=where, error=FormatError)
    elif kind == "seal":
        found = validate(Seal, value, where=where, error=FormatError)
    else:
        raise FormatError("no line of a custody log", where=where)
    if canonical_json(to_value(found)) != line:
        raise FormatError("the line is not in canonical form", where=where)
    return found


def _check_place(found: Entry | Seal, number: int, before: bytes | None, where: str) -> None:
    expected = None if before is None else Digest.of(before)
    if (found.number, found.previous) != (number, expected):
        raise FormatError(
            "the chain is broken: the line before was changed, left out or added",
            where=where,
            expected=f"line {number}, behind {expected or 'none'}",
            found=f"line {found.number}, behind {found.previous or 'none'}",
            hint="ask whoever kept the log; what it says from here on is not proven",
        )


def _check_seal(seal: Seal, line: bytes, keys: Sequence[PublicKey], where: str) -> PublicKey:
    value = load_json(line, where=where)
    signature = decode_base64(value.pop("signature"), what="signature", where=where)
    digest = Digest.of(canonical_json(value))
    for key in keys:
        if key.fingerprint == seal.key and key.verifies_digest(signature, digest):
            return key
    raise SignatureError(
        "a seal is not by a key that counts",
        where=where,
        expected=f"one of {', '.join(f'sha256:{key.fingerprint[:16]}…' for key in keys)}",
        found=f"sha256:{seal.key[:16]}…",
        hint="give the key of each side with --key, or find out who changed the log",
    )


def _whoami() -> str:
    from getpass import getuser  # noqa: PLC0415  # start-up time

    try:
        user = getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
