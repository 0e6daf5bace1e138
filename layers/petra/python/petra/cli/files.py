"""Files that the user names: read within bounds, and missing ones told in the user's words."""

from __future__ import annotations

import errno
from pathlib import Path

from petra.errors import NoSpaceError, NotFoundError, PetraError, StorageError, UsageError


def read_file(path: str | Path, *, limit: int) -> bytes:
    """Return the content of a small file.

    Args:
        path: the file.
        limit: the most bytes that it may have.

    Raises:
        NotFoundError: it is not there.
        UsageError: it is larger, or a folder.
        StorageError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise from_os_error(error) from None
    if len(data) > limit:
        raise UsageError("file too large", where=str(path), expected=f"at most {limit} bytes")
    return data


_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SHAPE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
_ADDRESS = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})


def from_os_error(error: OSError) -> PetraError:
    """Return `error`, of the operating system, as one of ours, with the file and the next step."""
    where = None if error.filename is None else _name(error.filename)
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENOENT:
        return NotFoundError("no such file", where=where, hint="check the path")
    if error.errno in _SPACE:
        return NoSpaceError("no space left", where=where, found=reason, hint="free some and repeat")
    if error.errno in _SHAPE:
        return UsageError("not a usable path", where=where, found=reason)
    if error.errno in _ADDRESS:
        return UsageError(
            "cannot listen there", where=where, found=reason, hint="give another --listen"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "check the permissions of the file and its folder"
        return StorageError("not permitted", where=where, found=reason, hint=hint)
    return StorageError("the system refused", where=where, found=reason)


def _name(name: str | bytes | int) -> str:
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return f"file descriptor {name}" if isinstance(name, int) else name
