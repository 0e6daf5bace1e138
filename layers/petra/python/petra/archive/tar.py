"""Tar headers: one canonical form is written, and nothing else is read. Format, section 2."""

from __future__ import annotations

import tarfile

from petra.errors import FormatError

BLOCK = 512
#: Two zero blocks close a tar file.
END = bytes(2 * BLOCK)
#: The largest size that fits a ustar header; one byte more takes a pax record.
USTAR_LIMIT = 8 * 1024**3 - 1

_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a FIFO",
    b"g": "a global pax header",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a sparse file",
}


def header(name: str, size: int, mtime: int) -> bytes:
    """Return the header of one regular file: 512 bytes, or 1,536 with a pax size record.

    Args:
        name: the member's path, at most 100 ASCII characters.
        size: the content's length in bytes.
        mtime: seconds since 1970.

    Source: POSIX.1-2001 pax, "ustar Interchange Format".
    """
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime, 0o644
    if size <= USTAR_LIMIT:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    return info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")


def header_size(size: int) -> int:
    """Return how many bytes the header of a member of `size` bytes takes."""
    return BLOCK if size <= USTAR_LIMIT else 3 * BLOCK


def padding(size: int) -> int:
    """Return how many zero bytes follow content of `size` bytes."""
    return -size % BLOCK


def span(size: int) -> int:
    """Return how many bytes a member of `size` bytes takes in the tar stream."""
    return header_size(size) + size + padding(size)


def parse_header(data: bytes, *, where: str) -> tuple[str, int, int]:
    """Return the name, size and mtime in a canonical header.

    Anything but the exact bytes that :func:`header` writes is refused: links, devices, owners,
    modes, prefixes and other extensions have no way in.

    Args:
        data: 512 bytes, or 1,536 where the first block is a pax header.
        where: the place in the archive, for errors.

    Raises:
        FormatError: it is no canonical header; the text says what it is instead.
    """
    fields = data[: 3 * BLOCK] if data[156:157] == b"x" else data[:BLOCK]
    try:
        info = tarfile.TarInfo.frombuf(fields[-BLOCK:], "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise FormatError("not a tar header", where=where, found=error) from None
    size = _pax_size(fields, where) if len(fields) > BLOCK else info.size
    _refuse_other_types(fields[-BLOCK:], info, where)
    _refuse_other_bytes(fields, info, size, where)
    return info.name, size, int(info.mtime)


def _pax_size(data: bytes, where: str) -> int:
    record = data[BLOCK : 2 * BLOCK].rstrip(b"\0")
    length, _, rest = record.partition(b" ")
    key, _, number = rest.partition(b"=")
    value = number.rstrip(b"\n")
    if key != b"size" or length != str(len(record)).encode() or not value.isdigit():
        raise FormatError(
            "pax header other than one size record",
            where=where,
            found=record[:80].decode("latin-1"),
        )
    return int(value)


def _refuse_other_types(data: bytes, info: tarfile.TarInfo, where: str) -> None:
    kind = data[156:157]
    if kind != tarfile.REGTYPE:
        raise FormatError(
            f"member {info.name!r} is no regular file",
            where=where,
            expected="a regular file",
            found=_TYPES.get(kind, f"tar type {kind!r}"),
            hint="do not unpack this file; ask the sender for a bundle made by petra",
        )


def _refuse_other_bytes(data: bytes, info: tarfile.TarInfo, size: int, where: str) -> None:
    expected = {"mode": "0o644", "uid": "0", "gid": "0", "owner": "", "group": ""}
    found = {
        "mode": oct(info.mode),
        "uid": str(info.uid),
        "gid": str(info.gid),
        "owner": info.uname,
        "group": info.gname,
    }
    for field, value in found.items():
        if value != expected[field]:
            raise FormatError(
                f"member {info.name!r} has another {field}",
                where=where,
                expected=expected[field] or "none",
                found=value,
            )
    if size < 0 or info.mtime < 0 or data != header(info.name, size, int(info.mtime)):
        raise FormatError(
            f"member {info.name!r} has a header in another form",
            where=where,
            expected="a plain ustar header, as petra writes it",
        )
